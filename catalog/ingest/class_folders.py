"""A zip of images in folders, one folder per class, perhaps below train/ and test/."""

import warnings
import zipfile
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
from PIL import Image, UnidentifiedImageError

from catalog.ingest import archive
from catalog.ingest.columns import Array, Draft, Upload
from catalog.ingest.errors import refuse, too_large
from catalog.ingest.kinds import CATEGORIES
from catalog.ingest.order import Resize

FORMATS = ("PNG", "JPEG", "BMP", "GIF", "WEBP", "TIFF", "PPM")
PARTS = {
    "train": "train",
    "validation": "validation",
    "val": "validation",
    "test": "test",
}
PART_ORDER = ("train", "validation", "test")
MODES = {
    "1": "L",
    "L": "L",
    "LA": "RGBA",
    "P": "RGB",
    "RGB": "RGB",
    "RGBA": "RGBA",
    "CMYK": "RGB",
    "YCbCr": "RGB",
    "PA": "RGBA",
}
CHANNELS = {"L": 1, "RGB": 3, "RGBA": 4}
LEFT_BY_SYSTEMS = ("__MACOSX", ".DS_Store", "Thumbs.db", "desktop.ini")
BOMBS = (Image.DecompressionBombError, Image.DecompressionBombWarning)
IMAGE_ERRORS = (UnidentifiedImageError, SyntaxError, *BOMBS, *archive.BROKEN)


@dataclass(frozen=True, order=True)
class Picture:
    """One image file and what its place in the archive says."""

    part: str
    label: str
    name: str


def read(upload: Upload, draft: Draft) -> None:
    """Store class folders as the columns `image` and `label`."""
    warnings.simplefilter("error", Image.DecompressionBombWarning)  # refused below
    Image.MAX_IMAGE_PIXELS = upload.limits.pixels
    resize = upload.options.resize
    with archive.opened(upload.path(upload.files[0]), upload.limits) as zipped:
        pictures = _pictures(zipped)
        height, width, mode = _layout(zipped, pictures, resize)
        labels = tuple(sorted({picture.label for picture in pictures}))
        parts = Counter(picture.part for picture in pictures)
        sizes = [(part, parts[part]) for part in PART_ORDER if parts[part]]
        if len(labels) > CATEGORIES:
            raise too_large(
                "too_many_categories",
                f"there are {len(labels):,} class folders, at most {CATEGORIES:,}",
                "send fewer classes",
            )
        if sizes[0][0] != "train":
            raise refuse(
                "no_training_rows",
                "there are folders for "
                + ", ".join(part for part, _ in sizes)
                + " but not for train",
                "put the images to learn from below train/",
            )
        draft.source, draft.target = "images", "label"
        draft.set_parts(sizes)
        image = draft.add("image", "image", shape=(height, width, CHANNELS[mode]))
        label = draft.add("label", "category", categories=labels)
        rows = sorted(pictures, key=lambda p: (PART_ORDER.index(p.part), p))
        for row, picture in enumerate(rows):
            pixels = _pixels(zipped, picture, mode, (width, height))
            image.write(row, pixels.reshape(1, height, width, CHANNELS[mode]))
        codes = {name: code for code, name in enumerate(labels)}
        label.write(0, np.array([codes[picture.label] for picture in rows]))
    draft.options |= {
        "format": "class_folders",
        "resize": None if resize is None else resize.model_dump(),
        "mode": mode,
        "kinds": {"image": "image", "label": "category"},
    }


def _pictures(zipped: zipfile.ZipFile) -> list[Picture]:
    """Find out part and class of each image from its path."""
    paths = []
    for entry in zipped.infolist():
        pieces = entry.filename.split("/")
        hidden = any(p in LEFT_BY_SYSTEMS or p.startswith(".") for p in pieces)
        if not entry.is_dir() and not hidden:
            paths.append(pieces)
    if not paths:
        raise refuse(
            "no_rows",
            "the archive holds no files",
            "send a zip of class folders with images in them",
        )
    skip = _wrapping(paths)
    in_parts = all(len(p) > skip + 2 and p[skip].lower() in PARTS for p in paths)
    depth = skip + (3 if in_parts else 2)
    pictures = []
    for pieces in paths:
        name = "/".join(pieces)
        if len(pieces) != depth:
            raise refuse(
                "not_in_a_class_folder",
                f"{name!r} in the archive does not lie in a class folder",
                "use class/image.png for all images, or train/class/image.png and "
                "test/class/image.png",
                file=name,
            )
        part = PARTS[pieces[skip].lower()] if in_parts else "train"
        pictures.append(Picture(part, pieces[-2], name))
    return pictures


def _wrapping(paths: list[list[str]]) -> int:
    """Count the folders that lie around all class folders."""
    skip, shortest = 0, min(map(len, paths))
    while shortest > skip + 2 and len({pieces[skip] for pieces in paths}) == 1:
        if shortest == skip + 3 and paths[0][skip].lower() in PARTS:
            break
        skip += 1
    return skip


def _layout(
    zipped: zipfile.ZipFile, pictures: list[Picture], resize: Resize | None
) -> tuple[int, int, str]:
    """Return height, width and mode that all images share or are brought to."""
    seen: dict[tuple[int, int, str], str] = {}
    for picture in pictures:
        with _opened(zipped, picture.name) as image:
            mode = MODES.get(image.mode)
            if mode is None:
                raise refuse(
                    "unknown_type",
                    f"{picture.name!r} has the pixel format "
                    f"{image.mode}, not 8 bits per channel",
                    "convert it to an 8-bit PNG or JPEG",
                    file=picture.name,
                )
            seen.setdefault((image.height, image.width, mode), picture.name)
    modes = {mode for _, _, mode in seen}
    if resize is not None:
        return resize.height, resize.width, modes.pop() if len(modes) == 1 else "RGB"
    if len(seen) > 1:
        (one, first), (other, second) = list(seen.items())[:2]
        raise refuse(
            "shape_mismatch",
            f"{first!r} is {_told(one)}, {second!r} is {_told(other)}; there are "
            f"{len(seen)} different forms",
            'give the option "resize": {"height": …, "width": …}, which also makes the '
            "colours alike",
            file=second,
        )
    return next(iter(seen))


def _pixels(
    zipped: zipfile.ZipFile, picture: Picture, mode: str, size: tuple[int, int]
) -> Array:
    try:
        with _opened(zipped, picture.name) as image:
            plain = image if image.mode == mode else image.convert(mode)
            if plain.size != size:
                plain = plain.resize(size, Image.Resampling.BILINEAR)
            return np.asarray(plain, np.uint8)
    except IMAGE_ERRORS as error:
        raise archive.damaged(error, picture.name) from None


@contextmanager
def _opened(zipped: zipfile.ZipFile, name: str) -> Iterator[Image.Image]:
    try:
        stream = zipped.open(name)
    except archive.BROKEN as error:
        raise archive.damaged(error, name) from None
    with stream:
        try:
            image = Image.open(stream, formats=FORMATS)
        except BOMBS as error:
            raise too_large(
                "too_many_pixels",
                f"{name!r} in the archive has too many pixels: {error}",
                "scale it down",
                file=name,
            ) from None
        except IMAGE_ERRORS as error:
            raise refuse(
                "not_an_image",
                f"{name!r} in the archive is no image that can be read",
                "put only PNG, JPEG, BMP, GIF, WEBP, TIFF or PPM images into the "
                "folders",
                file=name,
            ) from error
        with image:
            yield image


def _told(form: tuple[int, int, str]) -> str:
    return f"{form[1]} x {form[0]} {form[2]}"
