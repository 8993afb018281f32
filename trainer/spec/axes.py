"""Where features lie in the shape of one example, and how a layer widens them."""

from trainer.spec.shapes import Shape


def features_axis(shape: Shape) -> int:
    """Return the axis of an example along which its features or channels lie.

    That is the last of a sequence (steps, features), the first of anything else.
    """
    return 1 if len(shape) == 2 else 0


def widened(shape: Shape, factor: int, axis: int | None = None) -> Shape:
    """Return the shape with `factor` times as many features along `axis`."""
    axis = features_axis(shape) if axis is None else axis
    return (*shape[:axis], shape[axis] * factor, *shape[axis + 1 :])
