"""Layers that slide learned filters over the steps of a sequence."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar, Literal

from trainer.spec.base import Count
from trainer.spec.layers.blocks import Block, sequence_of
from trainer.spec.layers.convolutions import slid
from trainer.spec.masks import Mask, Slide
from trainer.spec.shapes import Impossible, Shape, TensorShape

if TYPE_CHECKING:
    from torch import nn

    from trainer.modules.padding import Border

StepPadding = Literal["valid", "same", "causal"]
"""``valid``: the filter stays inside; ``same``: the output is as long as the input over
the stride, zeros are added evenly and the odd one at the end; ``causal``: as long, all
zeros before, so that no output sees a later step (van den Oord et al., 2016)."""


class SequenceBlock(Block):
    """A layer that slides over steps; its tail works on (filters, steps)."""

    tail_axis: ClassVar[int | None] = 0
    minds_padding: ClassVar[bool] = True

    def tail_shape(self, shapes: Sequence[Shape]) -> Shape:
        """Return (filters, steps)."""
        steps, filters = self.output_shape(shapes)
        return (filters, steps)


class _Sliding1d(SequenceBlock):
    """A window over steps."""

    kernel_size: Count = 3
    """Length of each filter, in steps."""
    stride: Count = 1
    """Steps from one position to the next."""
    padding: StepPadding = "valid"
    """What happens at the ends."""
    dilation: Count = 1
    """Steps between the filter's own taps."""

    def slid_steps(self, steps: int) -> int:
        """Return how many steps come out."""
        reach = (self.kernel_size - 1) * self.dilation + 1
        kind = str(type(self).model_fields["kind"].default)
        return slid(kind, (steps,), (reach,), (self.stride,), self.padding)[0]

    def mask(
        self, masks: Sequence[Mask | None], shapes: Sequence[Shape]
    ) -> Mask | None:
        """Return the mask after the window went over it."""
        move = Slide(self.kernel_size, self.stride, self.padding, self.dilation)
        return None if masks[0] is None else masks[0].then(move)

    def flops(self, shapes: Sequence[Shape]) -> int:
        """Return two per weight and step."""
        steps = self.output_shape(shapes)[0]
        weights = (t for t in self.tensors(shapes).values() if t.role == "weight")
        return sum(2 * weight.elements * steps for weight in weights)

    def border(self, steps: int) -> Border | None:
        """Return the zeros round a sequence of so many steps, if there are any."""
        from trainer.modules.padding import Border

        if self.padding == "valid":
            return None
        window = ((self.kernel_size,), (self.stride,), (self.dilation,))
        return Border((steps,), *window, causal=self.padding == "causal")


class Conv1d(_Sliding1d):
    """Convolve a sequence with learned filters, after Waibel et al. (1989).

    With a ``kernel_size`` of 1 it is one dense layer applied at every step, what Keras
    calls time distributed; the kind ``dense`` lays all steps out in a row instead.
    Steps that are padding count as zeros.
    """

    kind: Literal["conv1d"] = "conv1d"
    widens: ClassVar[bool] = True
    filters: Count
    """Number of output features."""
    groups: Count = 1
    """Groups of features that see only each other; the input's features: depthwise."""

    def output_shape(self, shapes: Sequence[Shape]) -> Shape:
        """Return (steps, filters)."""
        steps, features = sequence_of(shapes, self.kind)
        if features % self.groups or self.filters % self.groups:
            raise Impossible(
                f"{self.groups} groups divide neither evenly: {features} features in, "
                f"{self.filters} filters",
                field="groups",
            )
        return (self.slid_steps(steps), self.filters)

    def own_tensors(self, shapes: Sequence[Shape]) -> dict[str, TensorShape]:
        """Return weight (filters, features / groups, kernel) and bias."""
        self.output_shape(shapes)
        sums = self.filters * self.sums_per_output
        size = (sums, shapes[0][1] // self.groups, self.kernel_size)
        return self.weight_and_bias(size)

    def build(self, shapes: Sequence[Shape]) -> nn.Module:
        """Return the module for inputs of these shapes."""
        from trainer.modules.sequence_convolution import Conv1d as Module

        return Module(
            self.own_tensors(shapes)["weight"].shape,
            stride=self.stride,
            border=self.border(shapes[0][0]),
            dilation=self.dilation,
            groups=self.groups,
            bias=self.bias is not False,
            tail=self.tail(self.tail_shape(shapes)),
        )


class SeparableConv1d(_Sliding1d):
    """Filter each feature alone, then mix them at each step, after Chollet (2017).

    CVPR, section 3; fewer weights than a full convolution. Steps that are padding
    count as zeros.
    """

    kind: Literal["separable_conv1d"] = "separable_conv1d"
    widens: ClassVar[bool] = True
    filters: Count
    """Number of output features."""
    depth_multiplier: Count = 1
    """Filters of each input feature."""

    def output_shape(self, shapes: Sequence[Shape]) -> Shape:
        """Return (steps, filters)."""
        steps, _ = sequence_of(shapes, self.kind)
        return (self.slid_steps(steps), self.filters)

    def own_tensors(self, shapes: Sequence[Shape]) -> dict[str, TensorShape]:
        """Return depthwise_weight, pointwise_weight and bias."""
        self.output_shape(shapes)
        return separable_tensors(
            self, shapes[0][1], (self.kernel_size,), self.depth_multiplier, self.filters
        )

    def build(self, shapes: Sequence[Shape]) -> nn.Module:
        """Return the module for inputs of these shapes."""
        from trainer.modules.separable_convolution import SeparableConv

        tensors = self.own_tensors(shapes)
        return SeparableConv(
            tensors["depthwise_weight"].shape,
            tensors["pointwise_weight"].shape,
            stride=(self.stride,),
            border=self.border(shapes[0][0]),
            dilation=(self.dilation,),
            bias=self.bias is not False,
            tail=self.tail(self.tail_shape(shapes)),
        )


def separable_tensors(
    layer: Block, channels: int, kernel: Shape, multiplier: int, filters: int
) -> dict[str, TensorShape]:
    """Return what a separable convolution has.

    depthwise_weight (channels x multiplier, 1, *kernel), pointwise_weight (filters,
    channels x multiplier, 1, …) and bias (filters,).
    """
    between, sums = channels * multiplier, filters * layer.sums_per_output
    mixed = layer.weight_and_bias((sums, between, *(1 for _ in kernel)))
    depthwise = depthwise_weight(channels, kernel, multiplier)
    rest = {name: tensor for name, tensor in mixed.items() if name != "weight"}
    return {
        "depthwise_weight": depthwise,
        "pointwise_weight": mixed["weight"],
        **rest,
    }


def depthwise_weight(channels: int, kernel: Shape, multiplier: int) -> TensorShape:
    """Return the filters of channels that are each looked at alone."""
    taps = 1
    for size in kernel:
        taps *= size
    return TensorShape(
        (channels * multiplier, 1, *kernel),
        role="weight",
        fans=(taps, multiplier * taps),
    )
