"""idx files, the format of MNIST: images and labels, paired by their names."""

import math
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from catalog.ingest import gzipped
from catalog.ingest.columns import Array, Draft, Upload, image_shape
from catalog.ingest.errors import refuse, too_large
from catalog.ingest.order import File, Limits
from trainer.spec.data.schema import ColumnKind

DTYPES = {0x08: "|u1", 0x09: "|i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}
BLOCK = 4 * 1024**2
PARTS = ("train", "validation", "test")


@dataclass
class Idx:
    """One idx file and what its header says."""

    path: Path
    file: File
    dtype: np.dtype[np.generic]
    shape: tuple[int, ...]

    @property
    def part(self) -> str:
        """Return the part that the file's name stands for."""
        name = self.file.name.lower()
        if name.startswith(("t10k", "test")):
            return "test"
        return "validation" if name.startswith("val") else "train"

    @property
    def is_label(self) -> bool:
        """Tell whether the file holds one number per row."""
        return len(self.shape) == 1

    def blocks(self) -> Iterator[tuple[int, Array]]:
        """Yield (first row, rows) in blocks of bounded size.

        Raises:
            Refused: the file is shorter or longer than its header says, or damaged.
        """
        rows, shape = self.shape[0], self.shape[1:]
        row_bytes = self.dtype.itemsize * math.prod(shape)
        step = max(1, BLOCK // row_bytes)
        try:
            with gzipped.opened(self.path) as stream:
                stream.read(4 + 4 * len(self.shape))
                for start in range(0, rows, step):
                    count = min(step, rows - start)
                    block = stream.read(count * row_bytes)
                    if len(block) < count * row_bytes:
                        raise self._wrong_length(start + len(block) // row_bytes)
                    values = np.frombuffer(block, self.dtype)
                    yield start, values.reshape(count, *shape)
                if stream.read(1):
                    raise self._wrong_length(None)
        except gzipped.BROKEN as error:
            raise gzipped.damaged(self.file.name, error) from None

    def _wrong_length(self, rows: int | None) -> Exception:
        held = "more" if rows is None else f"only {rows:,}"
        return refuse(
            "damaged_file",
            f"{self.file.name!r} declares {self.shape[0]:,} rows and holds {held}",
            "the file seems to be cut off or damaged: send it whole",
            file=self.file.name,
        )


def read(upload: Upload, draft: Draft) -> None:
    """Store pairs of idx files as the columns `image` and `label`."""
    files = [_header(upload.path(file), file, upload.limits) for file in upload.files]
    pairs = _paired(files)
    draft.source, draft.target = "idx", "label"
    draft.options |= {"format": "idx"}
    draft.set_parts([(part, images.shape[0]) for part, (images, _) in pairs.items()])
    first = next(iter(pairs.values()))[0]
    kind, shape = _kind(first)
    image = draft.add("image", kind, shape=shape)
    label = draft.add("label", "integer")
    for part in draft.parts:
        images, labels = pairs[part.name]
        for start, values in images.blocks():
            image.write(part.start + start, values.reshape(len(values), *shape))
        for start, values in labels.blocks():
            label.write(part.start + start, values)
    draft.options["kinds"] = {"image": kind, "label": "integer"}


def _header(path: Path, file: File, limits: Limits) -> Idx:
    try:
        with gzipped.opened(path) as stream:
            start = stream.read(4).ljust(4, b"\0")
            count = start[3]
            sizes = stream.read(4 * count)
    except gzipped.BROKEN as error:
        raise gzipped.damaged(file.name, error) from None
    if not count or len(sizes) < 4 * count or start[2] not in DTYPES:
        raise refuse(
            "damaged_file",
            f"{file.name!r} has no whole idx header",
            "send the idx file as it was published",
            file=file.name,
        )
    dtype = np.dtype(DTYPES[start[2]])
    shape = struct.unpack(f">{count}I", sizes)
    size = dtype.itemsize * math.prod(shape)
    if not size:
        raise refuse(
            "no_rows",
            f"{file.name!r} has no rows (shape {shape})",
            "send a file with rows",
            file=file.name,
        )
    if size > gzipped.most_bytes(file, limits):
        raise too_large(
            "too_compressed",
            f"{file.name!r} of {file.bytes:,} bytes declares {size:,} bytes of values",
            "check the file: its header is damaged",
            file=file.name,
        )
    return Idx(path, file, dtype, shape)


def _paired(files: list[Idx]) -> dict[str, tuple[Idx, Idx]]:
    """Return images and labels by part, the training part first."""
    pairs: dict[str, tuple[Idx, Idx]] = {}
    for part in PARTS:
        images = [f for f in files if f.part == part and not f.is_label]
        labels = [f for f in files if f.part == part and f.is_label]
        if not images and not labels:
            continue
        if len(images) != 1 or len(labels) != 1:
            raise refuse(
                "unpaired_files",
                f"the part {part!r} has {len(images)} files of images and "
                f"{len(labels)} of labels",
                "send one of each, named as in train-images-idx3-ubyte.gz and "
                "train-labels-idx1-ubyte.gz, t10k-… for the test part; images without "
                "labels can be sent as .npz",
            )
        if images[0].shape[0] != labels[0].shape[0]:
            raise refuse(
                "unequal_lengths",
                f"{images[0].file.name!r} has {images[0].shape[0]:,} rows, "
                f"{labels[0].file.name!r} has {labels[0].shape[0]:,}",
                "send the labels that belong to the images",
                file=labels[0].file.name,
            )
        pairs[part] = images[0], labels[0]
    if "train" not in pairs:
        raise refuse(
            "no_training_rows",
            "there is no training part",
            "send the files whose names start with train-",
        )
    first = pairs["train"]
    for other, _ in pairs.values():
        if (other.shape[1:], other.dtype) != (first[0].shape[1:], first[0].dtype):
            raise refuse(
                "shape_mismatch",
                f"{other.file.name!r} has values of the shape {other.shape[1:]}, "
                f"{first[0].file.name!r} of {first[0].shape[1:]}",
                "send parts of one data set",
                file=other.file.name,
            )
        if any(pair[1].dtype.kind == "f" for pair in pairs.values()):
            raise refuse(
                "wrong_kind",
                "the labels are fractions, not integers",
                "send labels as an idx file of bytes or integers",
            )
    return pairs


def _kind(images: Idx) -> tuple[ColumnKind, tuple[int, ...]]:
    image = image_shape(images.shape[1:]) if images.dtype == np.uint8 else None
    return ("array", images.shape[1:]) if image is None else ("image", image)
