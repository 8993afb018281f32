"""The forms in which a model leaves, beside those that every model has.

Add one: its name here, what it cannot hold in `refusal` if that shows without torch,
and its writer in `trainer.export.requested`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, get_args

from trainer.spec.base import Spec

ExportFormat = Literal["torch_export", "keras", "pytorch_script", "onnx_pipeline"]

FORMATS: tuple[ExportFormat, ...] = get_args(ExportFormat)
FILES: dict[ExportFormat, str] = {
    "torch_export": "network.pt2",
    "keras": "model.keras",
    "pytorch_script": "network.py",
    "onnx_pipeline": "pipeline.onnx",
}
"""The file that each form is, among the model's others."""

TOKENIZED = frozenset({"token_numbers", "token_counts"})
"""What texts become; the tokenizers are no operators of ONNX."""

NO_KERAS_TWIN: dict[str, str] = {
    "absolute_difference": "Keras has no layer that gives how far two inputs differ",
    "cosine_distance": "Keras has no layer that gives a distance",
    "columns": "Keras has no layer that takes runs of numbers out of a row",
    "column_embedding": "Keras has no layer that looks names up in a row of numbers",
    "distance_threshold": "Keras has no layer that compares a distance with a number",
    "euclidean_distance": "Keras has no layer that gives a distance",
    "positional_encoding": "Keras 3 itself has no positional encoding",
    "select": "Keras has no layer that takes one of two examples",
    "shared": "a layer that is used twice is written once, and Keras would need both",
    "tied_dense": "Keras has no layer with the weights of another",
    "transformer_block": "Keras 3 itself has no transformer block",
}
"""Kinds of layers that Keras has no layer for, and why."""


class ExportRequest(Spec):
    """What a model is to be written as."""

    format: ExportFormat
    """`onnx_pipeline`: an ONNX graph from a person's own rows to answers;
    `torch_export`: an archive of `torch.export`; `keras`: a model that Keras 3 loads;
    `pytorch_script`: the network as a script that needs torch and numpy only."""


def refusal(
    wanted: ExportFormat, card: Mapping[str, Any], kinds: Sequence[tuple[str, str]]
) -> str | None:
    """Say why a model cannot be written in a form; None if nothing is known against it.

    `card` is what its description says, `kinds` are its layers' names and kinds.
    """
    if wanted == "onnx_pipeline":
        encodings = (card.get("preprocessing") or {}).get("encodings") or ()
        for encoding in encodings:
            if encoding.get("kind") in TOKENIZED:
                return (
                    f"the column {encoding.get('column')!r} is a text that a tokenizer "
                    "reads, which standard ONNX has no operators for; model.onnx takes "
                    "the tokens' numbers"
                )
    if wanted == "keras":
        for name, kind in kinds:
            if kind in NO_KERAS_TWIN:
                return f"the layer {name!r} is a {kind}: {NO_KERAS_TWIN[kind]}"
    return None
