"""Changes of the training rows, drawn anew for each batch. Add one: class, then union.

``training.augmentation`` is a list, applied in its order, on the device and only while
training. ``fits`` names the inputs that a change is for, ``build`` returns a function
from a batch to the changed batch, which draws from the device's own generator. Values
are those that the network is given: 8-bit images from 0 to 1, what is standardised in
deviations. Tensors are (batch, channels, height, width), (batch, steps, features) or
(batch, features).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import BeforeValidator, Field, model_validator

from trainer.spec.augmentation.augmented import (
    Augmented,
    Fill,
    InputKind,
    Layout,
    Probability,
    Ranged,
    Share,
)
from trainer.spec.base import Count, Fraction, Named, Rate
from trainer.spec.shapes import Shape

if TYPE_CHECKING:
    from typing import Self

    from torch import Tensor

    from trainer.spec.augmentation.augmented import Change


class Flip(Augmented):
    """Mirror images at random, after Krizhevsky et al. (2012), NIPS, section 4.1."""

    kind: Literal["flip"] = "flip"
    horizontal: Probability = 0.5
    """How likely an image is mirrored left to right."""
    vertical: Probability = 0.0
    """How likely an image is turned upside down."""
    moves: ClassVar[bool] = True

    def build(self, layout: Layout) -> Change:
        """Return the function from a batch to a changed batch."""
        from trainer.augmentation.draws import happens
        from trainer.augmentation.flipping import flipped

        def change(x: Tensor) -> Tensor:
            for axis, probability in ((3, self.horizontal), (2, self.vertical)):
                if probability:
                    x = flipped(x, happens(x, probability), axis)
            return x

        return change


class Shift(Augmented):
    """Move images by whole pixels, after LeCun et al. (1998), Proc. IEEE."""

    kind: Literal["shift"] = "shift"
    height: Share = 0.1
    """Largest way up or down, as a share of the height; not 0: at least one pixel."""
    width: Share = 0.1
    """Largest way left or right, as a share of the width; not 0: at least a pixel."""
    fill: Fill = "zeros"
    """What comes in from outside."""
    moves: ClassVar[bool] = True

    def build(self, layout: Layout) -> Change:
        """Return the function from a batch to a changed batch."""
        from trainer.augmentation.displacement import displaced
        from trainer.augmentation.draws import whole

        shares, sizes = (self.height, self.width), layout.shape[1:]
        ways = [
            max(1, round(share * size)) if share else 0
            for share, size in zip(shares, sizes, strict=True)
        ]

        def change(x: Tensor) -> Tensor:
            for axis, way in enumerate(ways, start=2):
                x = displaced(x, whole(x, way), axis, way, self.fill)
            return x

        return change


class Crop(Augmented):
    """Pad images and cut their size out anywhere, after He et al. (2016), CVPR, 4.2."""

    kind: Literal["crop"] = "crop"
    padding: Annotated[int, Field(ge=1, le=1000)] = 4
    """Pixels that are added on each side before."""
    fill: Fill = "zeros"
    """What comes in from outside."""
    moves: ClassVar[bool] = True

    def excess(self, shape: Shape) -> tuple[str, str] | None:
        """Refuse a padding that could leave nothing of an image."""
        least = min(shape[1:])
        if self.padding < least:
            return None
        why = f"images of {shape[1]} by {shape[2]} pixels could be cut away whole; "
        return "padding", why + f"it is below {least}"

    def build(self, layout: Layout) -> Change:
        """Return the function from a batch to a changed batch."""
        from trainer.augmentation.displacement import displaced
        from trainer.augmentation.draws import whole

        most = self.padding

        def change(x: Tensor) -> Tensor:
            for axis in (2, 3):
                x = displaced(x, whole(x, most), axis, most, self.fill)
            return x

        return change


class Rotate(Augmented):
    """Turn images about their centre, after Simard et al. (2003), ICDAR."""

    kind: Literal["rotate"] = "rotate"
    degrees: Annotated[float, Field(gt=0, le=180)] = 15.0
    """Largest angle either way, in degrees; between pixels values are interpolated."""
    fill: Fill = "zeros"
    """What comes in from outside."""
    moves: ClassVar[bool] = True

    def build(self, layout: Layout) -> Change:
        """Return the function from a batch to a changed batch."""
        from math import radians

        from trainer.augmentation.draws import between
        from trainer.augmentation.warping import turned

        angle = radians(self.degrees)
        return lambda x: turned(x, between(x, -angle, angle), self.fill)


class Scale(Ranged):
    """Zoom images about their centre, after Simard et al. (2003), ICDAR."""

    kind: Literal["scale"] = "scale"
    fill: Fill = "zeros"
    """What comes in from outside where an image becomes smaller."""
    moves: ClassVar[bool] = True

    def build(self, layout: Layout) -> Change:
        """Return the function from a batch to a changed batch."""
        from trainer.augmentation.draws import between
        from trainer.augmentation.warping import zoomed

        return lambda x: zoomed(x, between(x, self.minimum, self.maximum), self.fill)


class Brightness(Augmented):
    """Add one number to all of an image, after Howard (2013), arXiv 1312.5402."""

    kind: Literal["brightness"] = "brightness"
    delta: Rate = 0.2
    """Largest number that is added or taken away; 8-bit images reach from 0 to 1."""

    def build(self, layout: Layout) -> Change:
        """Return the function from a batch to a changed batch."""
        from trainer.augmentation.draws import between
        from trainer.augmentation.values import brightened

        return lambda x: brightened(
            x, between(x, -self.delta, self.delta), layout.limits
        )


class Contrast(Ranged):
    """Stretch an image's values about their mean, after Howard (2013), arXiv 1312.5402.

    m + f (x - m) with m the mean of each channel.
    """

    kind: Literal["contrast"] = "contrast"

    def build(self, layout: Layout) -> Change:
        """Return the function from a batch to a changed batch."""
        from trainer.augmentation.draws import between
        from trainer.augmentation.values import contrasted

        return lambda x: contrasted(
            x, between(x, self.minimum, self.maximum), layout.limits
        )


class Noise(Augmented):
    """Add independent normal noise to every number, after Bishop (1995).

    Training with noise is Tikhonov regularisation. Of tables only columns that are
    numbers get it; for time series it is called jitter.
    """

    kind: Literal["noise"] = "noise"
    deviation: Rate = 0.1
    """Standard deviation of the noise."""
    fits: ClassVar[frozenset[InputKind]] = frozenset(
        {"image", "sequence", "table", "array"}
    )

    def build(self, layout: Layout) -> Change:
        """Return the function from a batch to a changed batch."""
        from trainer.augmentation.columns import per_feature
        from trainer.augmentation.values import noised

        def change(x: Tensor) -> Tensor:
            where = per_feature(layout.numeric, layout.widths, x.device)
            return noised(x, self.deviation, where, layout.limits)

        return change


class Erase(Augmented):
    """Blank out a rectangle of an image, after Zhong et al. (2020), AAAI, algorithm 1.

    As cutout, of DeVries and Taylor (2017), with ``aspect`` 1 and one area.
    """

    kind: Literal["erase"] = "erase"
    probability: Probability = 0.5
    """How likely an image loses a rectangle."""
    minimum_area: Share = 0.02
    """Smallest area, as a share of the image's."""
    maximum_area: Share = 0.33
    """Largest area, as a share of the image's."""
    aspect: Annotated[float, Field(ge=1, le=100)] = 3.3
    """Largest ratio of the longer to the shorter side, in units of the image's."""
    value: float = 0.0
    """What stands in the rectangle."""

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.minimum_area > self.maximum_area:
            raise ValueError("minimum_area is above maximum_area")
        return self

    def build(self, layout: Layout) -> Change:
        """Return the function from a batch to a changed batch."""
        from trainer.augmentation.draws import between, happens
        from trainer.augmentation.erasing import erased, rectangles

        def change(x: Tensor) -> Tensor:
            area = between(x, self.minimum_area, self.maximum_area)
            ratio = between(x, -self.aspect_logarithm, self.aspect_logarithm).exp()
            inside = rectangles(x, area, ratio)
            chosen = happens(x, self.probability)[:, None, None, None]
            return erased(x, inside & chosen, self.value)

        return change

    @property
    def aspect_logarithm(self) -> float:
        """Return the largest logarithm of height to width."""
        from math import log

        return log(self.aspect)


class FeatureDropout(Augmented):
    """Blank out columns of a table at random, after Vincent et al. (2008), ICML.

    A number becomes 0, which is its mean where columns are standardised; a category
    becomes unknown. Unlike dropout it rescales nothing.
    """

    kind: Literal["feature_dropout"] = "feature_dropout"
    rate: Fraction = 0.1
    """Share of the values that are blanked out."""
    fits: ClassVar[frozenset[InputKind]] = frozenset({"table"})

    def build(self, layout: Layout) -> Change:
        """Return the function from a batch to a changed batch."""
        from trainer.augmentation.columns import chosen_columns
        from trainer.augmentation.erasing import erased

        return lambda x: erased(x, chosen_columns(x, self.rate, layout.widths), 0.0)


class SwapNoise(Augmented):
    """Take some values from other rows of the batch, after Jahrer (2017), Kaggle.

    Each column keeps its distribution. All features of a category are swapped together.
    """

    kind: Literal["swap_noise"] = "swap_noise"
    rate: Fraction = 0.15
    """Share of the values that come from another row."""
    fits: ClassVar[frozenset[InputKind]] = frozenset({"table"})

    def build(self, layout: Layout) -> Change:
        """Return the function from a batch to a changed batch."""
        from trainer.augmentation.columns import chosen_columns, swapped

        widths = layout.widths
        return lambda x: swapped(x, chosen_columns(x, self.rate, widths), widths)


class TimeShift(Augmented):
    """Move sequences along time by whole steps, after Um et al. (2017), ICMI."""

    kind: Literal["time_shift"] = "time_shift"
    steps: Count = 1
    """Largest number of steps, earlier or later."""
    fill: Fill = "edge"
    """What comes in at the ends."""
    fits: ClassVar[frozenset[InputKind]] = frozenset({"sequence"})
    moves: ClassVar[bool] = True

    def build(self, layout: Layout) -> Change:
        """Return the function from a batch to a changed batch."""
        from trainer.augmentation.displacement import displaced
        from trainer.augmentation.draws import whole

        most = min(self.steps, layout.shape[0])
        return lambda x: displaced(x, whole(x, most), 1, most, self.fill)


class TimeMask(Augmented):
    """Blank out a run of steps of a sequence, after Park et al. (2019), Interspeech."""

    kind: Literal["time_mask"] = "time_mask"
    steps: Count = 1
    """Largest number of steps in a row; the length is drawn from 0 to this."""
    value: float = 0.0
    """What stands in the gap."""
    fits: ClassVar[frozenset[InputKind]] = frozenset({"sequence"})

    def build(self, layout: Layout) -> Change:
        """Return the function from a batch to a changed batch."""
        from trainer.augmentation.erasing import erased, runs

        return lambda x: erased(x, runs(x, self.steps), self.value)


Augmentation = Annotated[
    Annotated[
        Flip
        | Shift
        | Crop
        | Rotate
        | Scale
        | Brightness
        | Contrast
        | Noise
        | Erase
        | FeatureDropout
        | SwapNoise
        | TimeShift
        | TimeMask,
        Field(discriminator="kind"),
    ],
    Named,
]


def _listed(value: object) -> object:
    """Take null and "none" for an empty list."""
    return () if value is None or value == "none" else value


Augmentations = Annotated[
    tuple[Augmentation, ...], BeforeValidator(_listed), Field(max_length=100)
]
"""Augmentations in the order they are applied."""
