"""Images that come as base64: decoded within bounds, into the data set's own form."""

import base64
import binascii
import io

import numpy as np
from PIL import Image, UnidentifiedImageError

from api.problems import Fault
from trainer.spec.data.schema import Column

FORMATS = ("PNG", "JPEG", "BMP")
MODES = {1: "L", 3: "RGB", 4: "RGBA"}
UNREADABLE = (
    Image.DecompressionBombError,
    UnidentifiedImageError,
    OSError,
    SyntaxError,
    ValueError,
)
"""What Pillow raises over files that are none, or that claim to be enormous."""


class BadPicture(Exception):
    """A text that is not the base64 of an image of the size that is needed."""


def pixels(text: str, shape: tuple[int, ...]) -> list[object]:
    """Return an image as nested lists of shape (height, width, channels).

    Raises:
        BadPicture: it cannot be decoded, or has another size.
    """
    height, width, channels = shape
    encoded = text.partition(",")[2] if text.startswith("data:") else text
    try:
        raw = base64.b64decode(encoded, validate=True)
        with Image.open(io.BytesIO(raw), formats=FORMATS) as image:
            # the header is enough to refuse: nothing is decompressed before
            if image.size != (width, height):
                given = f"{image.size[0]} by {image.size[1]}"
                raise BadPicture(f"the image is {given}, {width} by {height} is needed")
            return list(
                np.asarray(image.convert(MODES[channels])).reshape(shape).tolist()
            )
    except binascii.Error as error:
        raise BadPicture(f"it is not base64: {error}") from error
    except UNREADABLE as error:
        known = ", ".join(FORMATS)
        raise BadPicture(f"it is not an image in one of {known}: {error}") from error


def without_text(
    rows: list[object], column: Column, place: str
) -> tuple[list[object], list[Fault]]:
    """Return the rows with every base64 text replaced by its pixels."""
    found: list[object] = []
    faults = []
    for number, row in enumerate(rows):
        value = row.get(column.name) if isinstance(row, dict) else row
        try:
            found.append(pixels(value, column.shape) if isinstance(value, str) else row)
        except BadPicture as error:
            pointer = f"/{place}/{number}"
            faults.append(Fault(pointer=pointer, code="bad_image", detail=str(error)))
    return found, faults
