"""A dense layer on the weights of another one: the decoder of a tied autoencoder."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import PrivateAttr

from trainer.spec.base import LayerName
from trainer.spec.layers.blocks import Block, Defaults, Step, of_dense
from trainer.spec.shapes import Impossible, Shape, TensorShape

if TYPE_CHECKING:
    from typing import Self

    from torch import nn


class TiedDense(Block):
    """Multiply by another dense layer's weights, after Vincent et al. (2008).

    ICML, section 2.2: y = f(h Wᵀ + c), where the other layer computes f(x W + b). W is
    that layer's tensor and no copy, c is a bias of its own. W belongs to the other
    layer: its initial values, penalties, limits, learning rate and freezing are said
    there, and it is counted and saved once.
    """

    kind: Literal["tied_dense"] = "tied_dense"
    tied_to: LayerName
    """Name of an earlier dense layer, whose weights are used: as many numbers come in
    here as it has units, as many come out as it takes."""
    borrows: ClassVar[str] = "tied_to"
    _weight: Shape | None = PrivateAttr(default=None)

    def filled(self, defaults: Defaults) -> Self:
        """Return the layer with every absent field taken from `defaults`."""
        whole = super().filled(of_dense(self.name, defaults))
        return whole.model_copy(update={"initializer": self.initializer})

    def borrowing(self, lender: Step, shapes: Sequence[Shape]) -> Self:
        """Return the layer once the shape of the other's weights is known."""
        if getattr(lender, "kind", "") != "dense" or not isinstance(lender, Block):
            kind = getattr(lender, "kind", "")
            raise Impossible(
                f"only the weights of dense layers can be shared so, {self.tied_to!r} "
                f"is {kind}",
                field="tied_to",
            )
        found = self.model_copy()
        found._weight = lender.own_tensors(shapes)["weight"].shape  # noqa: SLF001
        return found

    def output_shape(self, shapes: Sequence[Shape]) -> Shape:
        """Return (features,): as many numbers as the other layer takes."""
        units, features = self._units_and_features()
        if prod(shapes[0]) != units:
            raise Impossible(
                f"{self.tied_to!r} has weights for {units} sums, so {units} numbers "
                f"must come in, not {prod(shapes[0])}",
                field="tied_to",
            )
        return (features,)

    def own_tensors(self, shapes: Sequence[Shape]) -> dict[str, TensorShape]:
        """Return bias (features,): the weights belong to the other layer."""
        for field in ("initializer", "regularization"):
            if getattr(self, field) is not None:
                raise Impossible(
                    f"the weights belong to {self.tied_to!r}: say {field} there",
                    field=field,
                )
        if self.bias is False:
            return {}
        return {"bias": TensorShape(self.output_shape(shapes), role="bias")}

    def flops(self, shapes: Sequence[Shape]) -> int:
        """Return two per weight, though it is another layer's."""
        return 2 * prod(self._units_and_features())

    def build(self, shapes: Sequence[Shape]) -> nn.Module:
        """Return the module for inputs of these shapes."""
        from trainer.modules.dense import TiedDense as Module

        shape = self.output_shape(shapes)
        return Module(shape[0], bias=self.bias is not False, tail=self.tail(shape))

    def _units_and_features(self) -> Shape:
        if self._weight is None:
            raise Impossible(f"it stands on {self.tied_to!r}", field="tied_to")
        return self._weight
