"""Read a model's weights without their zeros, as numpy arrays.

`weights.sparse.safetensors` is among a model's files where it is smaller than
`weights.safetensors`; it holds the same numbers. The layout is told in
docs/fast-and-sparse.md. This needs numpy, which the client does not bring along.
"""

import json
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, Any

from frostline.errors import Unreadable

if TYPE_CHECKING:
    from numpy.typing import NDArray

FORMAT = "frostline-sparse-1"
TYPES = {"U8": "u1", "U16": "<u2", "U32": "<u4", "I64": "<i8"}
TYPES |= {"F16": "<f2", "F32": "<f4", "F64": "<f8", "I32": "<i4", "BOOL": "?"}
"""What safetensors calls numbers, and what numpy does."""


def read_sparse(path: str | Path) -> dict[str, "NDArray[Any]"]:
    """Return every tensor of a sparse file by its name, zeros and all.

    Raises:
        Unreadable: it is not such a file.
    """
    import numpy as np  # noqa: PLC0415 - the client works without it

    try:
        content = Path(path).read_bytes()
        length = int.from_bytes(content[:8], "little")
        header = json.loads(content[8 : 8 + length])
        metadata = header.pop("__metadata__", {})
        if metadata.get("format") != FORMAT:
            raise Unreadable(str(path), f"it is not {FORMAT}")
        parts = {}
        for name, about in header.items():
            start, stop = (8 + length + each for each in about["data_offsets"])
            flat = np.frombuffer(content[start:stop], TYPES[about["dtype"]])
            parts[name] = flat.reshape(about["shape"])
        table = json.loads(metadata["tensors"])
        return {name: _whole(name, table[name], parts) for name in table}
    except OSError as error:
        raise Unreadable(str(path), error.strerror or "unreadable") from None
    except (KeyError, IndexError, ValueError) as error:
        raise Unreadable(str(path), f"it is not {FORMAT}: {error}") from error


def _whole(
    name: str, about: dict[str, Any], parts: dict[str, "NDArray[Any]"]
) -> "NDArray[Any]":
    import numpy as np  # noqa: PLC0415 - the client works without it

    if about["layout"] == "dense":
        return parts[name].copy()
    size = prod(about["shape"])
    if about["layout"] == "bitmask":
        kept = np.flatnonzero(np.unpackbits(parts[f"{name}:mask"], count=size))
    else:
        rows, offsets = about["shape"][0], parts[f"{name}:offsets"].astype("i8")
        kept = np.repeat(np.arange(rows), np.diff(offsets)) * (size // rows)
        kept = kept + parts[f"{name}:columns"]
    whole = np.zeros(size, about["dtype"])
    whole[kept] = parts[f"{name}:values"]
    return whole.reshape(about["shape"])
