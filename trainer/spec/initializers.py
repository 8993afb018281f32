"""Initial values of weights and biases. Add one: class here, name in ``Initializer``.

``fan_in`` is the number of inputs that one output sums over, ``fan_out`` the number of
outputs that one input reaches; for a convolution both count the kernel's positions.

The rule, `fans`: a weight is (outputs, inputs, *kernel), so fan_in is
inputs x kernel and fan_out outputs x kernel; a vector has fan_in 1. The stacked gates
of a recurrent layer count as so many outputs, as in Keras. A layer whose weight lies
otherwise says so in its `TensorShape`: `unit_axis` where the axis of outputs is not the
first (a transposed convolution), `fans` where the numbers do not follow from the shape
(a convolution of each channel alone).
"""

from __future__ import annotations

from math import sqrt
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field, model_validator

from trainer.spec.base import Coefficient, Named, Rate, Spec

if TYPE_CHECKING:
    from typing import Self

    from torch import Generator, Tensor

Fans = tuple[int, int]
"""(fan_in, fan_out), where a tensor's shape does not tell them."""

TRUNCATED_DEVIATION = 0.87962566103423978
"""Standard deviation of a standard normal distribution cut off at -2 and 2."""


def fans(shape: tuple[int, ...]) -> Fans:
    """Return (fan_in, fan_out) of a weight (units, features) or (out, in, *kernel)."""
    kernel = 1
    for size in shape[2:]:
        kernel *= size
    return (shape[1] if len(shape) > 1 else 1) * kernel, shape[0] * kernel


def fill_normal(
    weight: Tensor, deviation: float, generator: Generator, mean: float = 0.0
) -> None:
    """Fill `weight` in place from N(mean, deviation²)."""
    from torch.nn.init import normal_

    normal_(weight, mean, deviation, generator=generator)


def fill_truncated(
    weight: Tensor, mean: float, deviation: float, generator: Generator
) -> None:
    """Fill `weight` from N(mean, deviation²) without what lies two deviations out."""
    from torch.nn.init import trunc_normal_

    low, high = mean - 2 * deviation, mean + 2 * deviation
    trunc_normal_(weight, mean, deviation, low, high, generator=generator)


def fill_uniform(weight: Tensor, limit: float, generator: Generator) -> None:
    """Fill `weight` in place from the uniform distribution on [-limit, limit]."""
    from torch.nn.init import uniform_

    uniform_(weight, -limit, limit, generator=generator)


class GlorotUniform(Spec):
    """Uniform to √(6 / (fan_in + fan_out)), after Glorot and Bengio (2010)."""

    kind: Literal["glorot_uniform"] = "glorot_uniform"

    def fill(
        self, weight: Tensor, generator: Generator, told: Fans | None = None
    ) -> None:
        """Fill `weight` in place."""
        fill_uniform(
            weight, sqrt(6 / sum(told or fans(tuple(weight.shape)))), generator
        )


class GlorotNormal(Spec):
    """Normal, √(2 / (fan_in + fan_out)), after Glorot and Bengio (2010)."""

    kind: Literal["glorot_normal"] = "glorot_normal"

    def fill(
        self, weight: Tensor, generator: Generator, told: Fans | None = None
    ) -> None:
        """Fill `weight` in place."""
        fill_normal(weight, sqrt(2 / sum(told or fans(tuple(weight.shape)))), generator)


class HeUniform(Spec):
    """Uniform with limit √(6 / fan_in), after He et al. (2015), ICCV."""

    kind: Literal["he_uniform"] = "he_uniform"

    def fill(
        self, weight: Tensor, generator: Generator, told: Fans | None = None
    ) -> None:
        """Fill `weight` in place."""
        fill_uniform(
            weight, sqrt(6 / (told or fans(tuple(weight.shape)))[0]), generator
        )


class HeNormal(Spec):
    """Normal with deviation √(2 / fan_in), after He et al. (2015), equation 10."""

    kind: Literal["he_normal"] = "he_normal"

    def fill(
        self, weight: Tensor, generator: Generator, told: Fans | None = None
    ) -> None:
        """Fill `weight` in place."""
        fill_normal(weight, sqrt(2 / (told or fans(tuple(weight.shape)))[0]), generator)


class LecunUniform(Spec):
    """Uniform with limit √(3 / fan_in), after LeCun et al. (1998), section 4.6."""

    kind: Literal["lecun_uniform"] = "lecun_uniform"

    def fill(
        self, weight: Tensor, generator: Generator, told: Fans | None = None
    ) -> None:
        """Fill `weight` in place."""
        fill_uniform(
            weight, sqrt(3 / (told or fans(tuple(weight.shape)))[0]), generator
        )


class LecunNormal(Spec):
    """Normal with deviation √(1 / fan_in), after LeCun et al. (1998), section 4.6."""

    kind: Literal["lecun_normal"] = "lecun_normal"

    def fill(
        self, weight: Tensor, generator: Generator, told: Fans | None = None
    ) -> None:
        """Fill `weight` in place."""
        fill_normal(weight, sqrt(1 / (told or fans(tuple(weight.shape)))[0]), generator)


class VarianceScaling(Spec):
    """Any distribution with variance scale / fan, after He et al. (2015) and Keras.

    Glorot's, He's and LeCun's initialisations are members: scale 1 and fan_average,
    2 and fan_in, 1 and fan_in.
    """

    kind: Literal["variance_scaling"] = "variance_scaling"
    scale: Rate = 1.0
    """Variance of the weights times the fan."""
    mode: Literal["fan_in", "fan_out", "fan_average"] = "fan_in"
    """What the scale is divided by."""
    distribution: Literal["truncated_normal", "normal", "uniform"] = "truncated_normal"
    """The truncated normal is cut off at two deviations and widened by 1 / 0.8796, so
    that its variance is what was asked for."""

    def fill(
        self, weight: Tensor, generator: Generator, told: Fans | None = None
    ) -> None:
        """Fill `weight` in place."""
        fan_in, fan_out = told or fans(tuple(weight.shape))
        fan = {
            "fan_in": float(fan_in),
            "fan_out": float(fan_out),
            "fan_average": (fan_in + fan_out) / 2,
        }[self.mode]
        variance = self.scale / max(1.0, fan)
        if self.distribution == "uniform":
            fill_uniform(weight, sqrt(3 * variance), generator)
        elif self.distribution == "normal":
            fill_normal(weight, sqrt(variance), generator)
        else:
            fill_truncated(weight, 0.0, sqrt(variance) / TRUNCATED_DEVIATION, generator)


class Normal(Spec):
    """Normal with a mean and a deviation of one's own."""

    kind: Literal["normal"] = "normal"
    mean: float = Field(default=0.0, ge=-1e6, le=1e6)
    """Mean of the drawn weights."""
    deviation: Rate = 0.05
    """Standard deviation of the drawn weights."""

    def fill(
        self, weight: Tensor, generator: Generator, told: Fans | None = None
    ) -> None:
        """Fill `weight` in place."""
        fill_normal(weight, self.deviation, generator, self.mean)


class TruncatedNormal(Spec):
    """Normal, drawn again beyond two deviations from the mean, as in Keras.

    The drawn weights' own deviation is 0.8796 times the one that is given.
    """

    kind: Literal["truncated_normal"] = "truncated_normal"
    mean: float = Field(default=0.0, ge=-1e6, le=1e6)
    """Mean of the drawn weights."""
    deviation: Rate = 0.05
    """Standard deviation before the cut."""

    def fill(
        self, weight: Tensor, generator: Generator, told: Fans | None = None
    ) -> None:
        """Fill `weight` in place."""
        fill_truncated(weight, self.mean, self.deviation, generator)


class Uniform(Spec):
    """Uniform on [-limit, limit], or on [low, high]."""

    kind: Literal["uniform"] = "uniform"
    limit: Rate = 0.05
    """Largest absolute value drawn, where low and high are absent."""
    low: float | None = Field(default=None, ge=-1e6, le=1e6)
    """Smallest value drawn; goes with high."""
    high: float | None = Field(default=None, ge=-1e6, le=1e6)
    """Largest value drawn; goes with low."""

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if (self.low is None) != (self.high is None):
            raise ValueError("low and high go together; give both, or limit alone")
        if self.low is not None and self.high is not None and self.low >= self.high:
            raise ValueError(f"low {self.low} is not below high {self.high}")
        return self

    def fill(
        self, weight: Tensor, generator: Generator, told: Fans | None = None
    ) -> None:
        """Fill `weight` in place."""
        from torch.nn.init import uniform_

        low = -self.limit if self.low is None else self.low
        high = self.limit if self.high is None else self.high
        uniform_(weight, low, high, generator=generator)


class Identity(Spec):
    """Pass the inputs through, after Le et al. (2015), arXiv:1504.00941.

    For recurrent and for very deep layers. A matrix that is not square is cut off or
    filled up with zeros; a convolution passes on the pixel in its middle; a bias
    becomes 0.
    """

    kind: Literal["identity"] = "identity"
    gain: Coefficient = 1.0
    """Factor on the identity."""

    def fill(
        self, weight: Tensor, generator: Generator, told: Fans | None = None
    ) -> None:
        """Fill `weight` in place."""
        values = weight.data.zero_()
        if weight.ndim < 2:
            return
        for axis in range(weight.ndim - 1, 1, -1):
            values = values.select(axis, (weight.shape[axis] - 1) // 2)
        values.diagonal().fill_(self.gain)


class Orthogonal(Spec):
    """Orthogonal rows or columns, after Saxe et al. (2014), ICLR."""

    kind: Literal["orthogonal"] = "orthogonal"
    gain: Coefficient = 1.0
    """Factor on the orthogonal matrix."""

    def fill(
        self, weight: Tensor, generator: Generator, told: Fans | None = None
    ) -> None:
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

    def fill(
        self, weight: Tensor, generator: Generator, told: Fans | None = None
    ) -> None:
        """Fill `weight` in place."""
        weight.data.fill_(self.value)


class Zeros(Spec):
    """Every value 0: for biases; weights of a hidden layer would never differ."""

    kind: Literal["zeros"] = "zeros"

    def fill(
        self, weight: Tensor, generator: Generator, told: Fans | None = None
    ) -> None:
        """Fill `weight` in place."""
        weight.data.zero_()


class Ones(Spec):
    """Every value 1."""

    kind: Literal["ones"] = "ones"

    def fill(
        self, weight: Tensor, generator: Generator, told: Fans | None = None
    ) -> None:
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
        | VarianceScaling
        | Normal
        | TruncatedNormal
        | Uniform
        | Orthogonal
        | Identity
        | Constant
        | Zeros
        | Ones,
        Field(discriminator="kind"),
    ],
    Named,
]
