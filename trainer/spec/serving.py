"""How a model is made to answer fast; its catalogued weights stay as they are."""

from typing import Literal

from trainer.spec.base import Spec


class Serving(Spec):
    """What is done to the graph that predictions run on, and to nothing else."""

    fold_normalization: bool = False
    """Whether batch normalisation is worked into the weights of the layer below it,
    which is exact up to rounding; layers where it cannot be are named in the card."""
    precision: Literal["float32", "float16", "int8"] = "float32"
    """How weights are held: float16 halves the file and is computed in float32; int8
    quantises the products of dense layers, weights once for each unit and inputs for
    each request, after Jacob et al. (2018), CVPR."""

    @property
    def asked(self) -> bool:
        """Return whether anything is to be done."""
        return self.fold_normalization or self.precision != "float32"
