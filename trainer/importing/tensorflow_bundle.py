"""TensorFlow's V2 checkpoints: `.index` and `.data-00000-of-00001` (and SavedModels).

The index is a LevelDB table (after tensorflow/core/lib/io/format.cc) whose values are
`BundleEntryProto` messages; the data file is the tensors' bytes. TensorFlow itself, the
only kept library that reads them, is hundreds of megabytes for these two hundred lines.
Every size is checked against the file, every tensor against its CRC-32C.
"""

from __future__ import annotations

import re
from math import prod
from typing import TYPE_CHECKING

import numpy as np

from trainer.importing.checksum import masked_crc32c
from trainer.importing.errors import damaged, oversized, unfit
from trainer.importing.found import Weights
from trainer.importing.protobuf import Message, mapped, varint

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from trainer.importing.found import Array

MAGIC = 0xDB4775248B80FB57
FOOTER, TRAILER = 48, 5
LARGEST_INDEX = 256 * 2**20
TYPES = {
    1: "<f4",
    2: "<f8",
    3: "<i4",
    4: "|u1",
    5: "<i2",
    6: "|i1",
    9: "<i8",
    10: "|b1",
    17: "<u2",
    19: "<f2",
    22: "<u4",
    23: "<u8",
}
"""DataType of types.proto → numpy, for the types that numbers have."""
TEXT, BFLOAT16 = 7, 14
SLICES = 7
"""Field of an entry that is stored in pieces."""
SHARD = re.compile(r"\.data-(\d{5})-of-(\d{5})$")
SLOTS = re.compile(
    r"(^|/)(global_step|beta[12]_power|save_counter|learning_rate|decay|momentum|iter)"
    r"($|/|_\d+$)|/(Adam|Adam_1|Momentum|RMSProp|RMSProp_1|Adagrad|Ftrl|Ftrl_1)(_\d+)?$"
    r"|OPTIMIZER_SLOT|(^|/)_?optimizer/|_CHECKPOINTABLE_OBJECT_GRAPH|keras_api/metrics"
)
"""What optimizers and training leave in a checkpoint beside the model."""


def read(files: Mapping[str, Path], kind: str) -> Weights:
    """Return the tensors of a checkpoint; slots of optimizers are left out."""
    indexes = [name for name in files if name.endswith(".index")]
    if len(indexes) != 1:
        raise unfit(
            "incomplete_checkpoint",
            f"a checkpoint has one .index file, {len(indexes)} came",
            "send NAME.index and NAME.data-00000-of-00001 (NAME.meta is not needed)",
        )
    stem = indexes[0].removesuffix(".index")
    tensors: dict[str, Array] = {}
    left_out = []
    shards: dict[int, memoryview] = {}
    entries = dict(_entries(files[indexes[0]].read_bytes()))
    header = Message(entries.pop(b"", b""))
    count = header.number(1, 1)
    if header.number(2):
        raise unfit("big_endian", "the checkpoint was written by a big-endian machine")
    for key, value in entries.items():
        name, entry = key.decode(errors="replace"), Message(value)
        if entry.number(1) == TEXT or SLOTS.search(name):
            left_out.append(name)
            continue
        number = entry.number(3)
        if number not in shards:
            shards[number] = _shard(files, stem, number, count)
        tensors[name] = _tensor(name, entry, shards[number])
    notes = (f"left out: {', '.join(left_out[:20])}",) if left_out else ()
    return Weights(kind, tensors, ("tensorflow",), notes=notes)


def _shard(files: Mapping[str, Path], stem: str, number: int, count: int) -> memoryview:
    name = f"{stem}.data-{number:05d}-of-{count:05d}"
    if name not in files:
        raise unfit(
            "incomplete_checkpoint",
            f"the checkpoint's file {name!r} is missing",
            f"send {name} together with {stem}.index",
        )
    return mapped(files[name])


def _tensor(name: str, entry: Message, shard: memoryview) -> Array:
    """Return one tensor, checked against what the index says of it."""
    if SLICES in entry:
        raise unfit("sliced_tensor", f"{name!r} is stored in slices of a partition")
    code = entry.number(1)
    known = TYPES.get(code)
    if known is None and code != BFLOAT16:
        raise unfit("unknown_type", f"{name!r} is of TensorFlow's type {code}")
    dtype = np.dtype("<u2" if known is None else known)
    shape_message = entry.message(2)
    dims = shape_message.messages(2) if shape_message is not None else []
    shape = tuple(dim.number(1) for dim in dims)
    offset, size = entry.number(4), entry.number(5)
    if min((0, *shape)) < 0 or prod(shape) * dtype.itemsize != size:
        raise damaged("the checkpoint", f"{name!r} {list(shape)} has {size:,} bytes")
    if offset < 0 or offset + size > len(shard):
        raise damaged(
            "the checkpoint",
            f"{name!r} lies beyond the end of the data file, which is cut off",
        )
    raw = shard[offset : offset + size]
    stated = entry.number(6) & 0xFFFFFFFF
    if stated and masked_crc32c(raw) != stated:
        raise damaged("the checkpoint", f"{name!r} does not have its checksum")
    values = np.frombuffer(raw, dtype).reshape(shape)
    if known is None:  # the upper half of a float32
        values = (values.astype(np.uint32) << 16).view(np.float32)
    return values.copy()


def _entries(content: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Yield the entries of a LevelDB table in order."""
    if len(content) > LARGEST_INDEX:
        raise oversized("index_too_large", f"the index has {len(content):,} bytes")
    view = memoryview(content)
    if len(view) < FOOTER or int.from_bytes(view[-8:], "little") != MAGIC:
        raise damaged("the index", "it does not end as a table does")
    footer = view[-FOOTER:]
    at = 0
    for _ in range(2):  # the metaindex's place is of no use
        _, at = varint(footer, at)
    offset, at = varint(footer, at)
    size, at = varint(footer, at)
    for _, handle in _block(view, offset, size):
        place = memoryview(handle)
        start, at = varint(place, 0)
        length, _ = varint(place, at)
        yield from _block(view, start, length)


def _block(view: memoryview, offset: int, size: int) -> Iterator[tuple[bytes, bytes]]:
    """Yield keys and values of one block; keys share their beginnings."""
    if offset + size + TRAILER > len(view):
        raise damaged("the index", "a block lies beyond its end")
    if view[offset + size]:
        raise unfit("compressed_index", "the checkpoint's index is compressed")
    if masked_crc32c(view[offset : offset + size + 1]) != int.from_bytes(
        view[offset + size + 1 : offset + size + TRAILER], "little"
    ):
        raise damaged("the index", "a block does not have its checksum")
    block = view[offset : offset + size]
    restarts = int.from_bytes(block[-4:], "little")
    end = len(block) - 4 - 4 * restarts
    if end < 0:
        raise damaged("the index", "a block is shorter than it says")
    at, key = 0, b""
    while at < end:
        shared, at = varint(block, at)
        own, at = varint(block, at)
        length, at = varint(block, at)
        if shared > len(key) or at + own + length > end:
            raise damaged("the index", "an entry is cut off")
        key = key[:shared] + bytes(block[at : at + own])
        at += own
        yield key, bytes(block[at : at + length])
        at += length
