"""Initial values of weights and biases. Add one: class here, name in ``Initializer``.

``fan_in`` is the number of inputs that one output sums over, ``fan_out`` the number of
outputs that one input reaches; for a convolution both count the kernel's positions.
"""

from __future__ import annotations

from math import sqrt
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from trainer.spec.base import Coefficient, Named, Rate, Spec

if TYPE_CHECKING:
    from torch import Generator, Tensor


def fans(shape: tuple[int, ...]) -> tuple[int, int]:
    """Return (fan_in, fan_out) of a weight (units, features) or (out, in, *kernel)."""
    kernel = 1
    for size in shape[2:]:
        kernel *= size
    return (shape[1] if len(shape) > 1 else 1) * kernel, shape[0] * kernel


def fill_normal(weight: Tensor, deviation: float, generator: Generator) -> None:
    """Fill `weight` in place from N(0, deviation²)."""
    from torch.nn.init import normal_

    normal_(weight, 0.0, deviation, generator=generator)


def fill_uniform(weight: Tensor, limit: float, generator: Generator) -> None:
    """Fill `weight` in place from the uniform distribution on [-limit, limit]."""
    from torch.nn.init import uniform_

    uniform_(weight, -limit, limit, generator=generator)


class GlorotUniform(Spec):
    """Uniform to √(6 / (fan_in + fan_out)), after Glorot and Bengio (2010)."""

    kind: Literal["glorot_uniform"] = "glorot_uniform"

    def fill(self, weight: Tensor, generator: Generator) -> None:
        """Fill `weight` in place."""
        fill_uniform(weight, sqrt(6 / sum(fans(tuple(weight.shape)))), generator)


class GlorotNormal(Spec):
    """Normal, √(2 / (fan_in + fan_out)), after Glorot and Bengio (2010)."""

    kind: Literal["glorot_normal"] = "glorot_normal"

    def fill(self, weight: Tensor, generator: Generator) -> None:
        """Fill `weight` in place."""
        fill_normal(weight, sqrt(2 / sum(fans(tuple(weight.shape)))), generator)


class HeUniform(Spec):
    """Uniform with limit √(6 / fan_in), after He et al. (2015), ICCV."""

    kind: Literal["he_uniform"] = "he_uniform"

    def fill(self, weight: Tensor, generator: Generator) -> None:
        """Fill `weight` in place."""
        fill_uniform(weight, sqrt(6 / fans(tuple(weight.shape))[0]), generator)


class HeNormal(Spec):
    """Normal with deviation √(2 / fan_in), after He et al. (2015), equation 10."""

    kind: Literal["he_normal"] = "he_normal"

    def fill(self, weight: Tensor, generator: Generator) -> None:
        """Fill `weight` in place."""
        fill_normal(weight, sqrt(2 / fans(tuple(weight.shape))[0]), generator)


class LecunUniform(Spec):
    """Uniform with limit √(3 / fan_in), after LeCun et al. (1998), section 4.6."""

    kind: Literal["lecun_uniform"] = "lecun_uniform"

    def fill(self, weight: Tensor, generator: Generator) -> None:
        """Fill `weight` in place."""
        fill_uniform(weight, sqrt(3 / fans(tuple(weight.shape))[0]), generator)


class LecunNormal(Spec):
    """Normal with deviation √(1 / fan_in), after LeCun et al. (1998), section 4.6."""

    kind: Literal["lecun_normal"] = "lecun_normal"

    def fill(self, weight: Tensor, generator: Generator) -> None:
        """Fill `weight` in place."""
        fill_normal(weight, sqrt(1 / fans(tuple(weight.shape))[0]), generator)


class Normal(Spec):
    """Normal with a deviation of one's own, mean 0."""

    kind: Literal["normal"] = "normal"
    deviation: Rate = 0.05
    """Standard deviation of the drawn weights."""

    def fill(self, weight: Tensor, generator: Generator) -> None:
        """Fill `weight` in place."""
        fill_normal(weight, self.deviation, generator)


class Uniform(Spec):
    """Uniform on [-limit, limit]."""

    kind: Literal["uniform"] = "uniform"
    limit: Rate = 0.05
    """Largest absolute value drawn."""

    def fill(self, weight: Tensor, generator: Generator) -> None:
        """Fill `weight` in place."""
        fill_uniform(weight, self.limit, generator)


class Orthogonal(Spec):
    """Orthogonal rows or columns, after Saxe et al. (2014), ICLR."""

    kind: Literal["orthogonal"] = "orthogonal"
    gain: Coefficient = 1.0
    """Factor on the orthogonal matrix."""

    def fill(self, weight: Tensor, generator: Generator) -> None:
        """Fill `weight` in place; a vector becomes normal instead."""
        from torch.nn.init import orthogonal_

        if weight.ndim < 2:
            fill_normal(weight, 1.0, generator)
        else:
            orthogonal_(weight, self.gain, generator=generator)


class Constant(Spec):
    """Every value the same."""

    kind: Literal["constant"] = "constant"
    value: float
    """The value written everywhere."""

    def fill(self, weight: Tensor, generator: Generator) -> None:
        """Fill `weight` in place."""
        weight.data.fill_(self.value)


class Zeros(Spec):
    """Every value 0: for biases; weights of a hidden layer would never differ."""

    kind: Literal["zeros"] = "zeros"

    def fill(self, weight: Tensor, generator: Generator) -> None:
        """Fill `weight` in place."""
        weight.data.zero_()


class Ones(Spec):
    """Every value 1."""

    kind: Literal["ones"] = "ones"

    def fill(self, weight: Tensor, generator: Generator) -> None:
        """Fill `weight` in place."""
        weight.data.fill_(1.0)


Initializer = Annotated[
    Annotated[
        GlorotUniform
        | GlorotNormal
        | HeUniform
        | HeNormal
        | LecunUniform
        | LecunNormal
        | Normal
        | Uniform
        | Orthogonal
        | Constant
        | Zeros
        | Ones,
        Field(discriminator="kind"),
    ],
    Named,
]
