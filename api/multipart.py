"""Multipart bodies of any size, streamed to the disk while they are hashed.

The form reader of the framework keeps small parts in memory, copies large ones through
a temporary file and hands them over afterwards; here each byte is written once, to the
place where it is read from. Blocks of a megabyte go to a thread, so that other
requests are answered meanwhile.
"""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from anyio import CapacityLimiter, to_thread
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header
from starlette.requests import ClientDisconnect, Request

from api.errors import BodyTooLarge, InvalidInput, Malformed
from api.problems import Fault
from catalog.ingest.errors import SenderGone
from catalog.ingest.order import File

BLOCK = 1024**2
DRAINED_BYTES = 16 * 1024**2
"""How much of a body that is too large is read and thrown away, so that a client that
only reads when it has written still gets the answer."""
FIELD_BYTES = 1024**2
PARTS = 200
HEADER_BYTES = 16 * 1024


@dataclass
class Received:
    """What a multipart body held."""

    files: list[File] = field(default_factory=list)
    fields: list[tuple[str, str]] = field(default_factory=list)


async def receive(
    request: Request,
    folder: Path,
    most_bytes: int,
    turns: CapacityLimiter,
    documents: frozenset[str] = frozenset(),
) -> Received:
    """Store the file parts of a body in `folder`; return them and the fields.

    The fields named in `documents` may come as files: what is in them is the field.

    Raises:
        BodyTooLarge: the body is larger than `most_bytes`.
        Malformed: the body is not a whole multipart body.
        SenderGone: the client closed the connection.
    """
    declared = int(request.headers.get("content-length", "0") or 0)
    if declared > most_bytes + DRAINED_BYTES:
        raise BodyTooLarge(most_bytes, close=True)
    content_type = request.headers.get("content-type", "")
    reader = Reader(content_type, folder, documents)
    waiting, size = bytearray(), 0
    try:
        async for chunk in request.stream():
            size += len(chunk)
            if size > most_bytes + DRAINED_BYTES:
                raise BodyTooLarge(most_bytes, close=True)
            if size > most_bytes:
                continue
            waiting += chunk
            if len(waiting) >= BLOCK:
                await to_thread.run_sync(reader.feed, bytes(waiting), limiter=turns)
                waiting.clear()
        if size > most_bytes:
            raise BodyTooLarge(most_bytes, close=False)
        await to_thread.run_sync(reader.feed, bytes(waiting), limiter=turns)
        return reader.finish()
    except ClientDisconnect:
        raise SenderGone from None
    finally:
        reader.close()


class Reader:
    """Takes a multipart body block by block."""

    def __init__(
        self,
        content_type: str,
        folder: Path,
        documents: frozenset[str] = frozenset(),
    ) -> None:
        _, options = parse_options_header(content_type)
        boundary = options.get(b"boundary")
        if not boundary:
            raise Malformed(
                "the multipart body has no boundary in its Content-Type",
                code="invalid_multipart",
            )
        self.folder, self.received = folder, Received()
        self._documents = documents
        self._ended = False
        self._parts = 0
        self._part = _Part()
        self._name, self._value = b"", b""
        callbacks: dict[str, Callable[..., None]] = {
            "on_part_begin": self._begin,
            "on_header_field": self._header_name,
            "on_header_value": self._header_value,
            "on_header_end": self._header_end,
            "on_headers_finished": self._headers_finished,
            "on_part_data": self._data,
            "on_part_end": self._end,
            "on_end": self._all,
        }
        self._parser = MultipartParser(boundary, callbacks)  # type: ignore[arg-type]

    def feed(self, block: bytes) -> None:
        """Take the next bytes."""
        if not block:
            return
        try:
            self._parser.write(block)
        except FormParserError as error:
            raise Malformed(
                f"the body is not multipart: {error}", code="invalid_multipart"
            ) from error

    def finish(self) -> Received:
        """Return what was received; refuse a body that ends too early."""
        if not self._ended:
            raise Malformed(
                "the multipart body is empty or ends before its last boundary",
                code="invalid_multipart",
            )
        return self.received

    def close(self) -> None:
        """Close what is open."""
        if self._part.file is not None:
            self._part.file.close()

    def _begin(self) -> None:
        self._parts += 1
        if self._parts > PARTS:
            raise Malformed(
                f"the body has more than {PARTS} parts", code="too_many_parts"
            )
        self._part = _Part()

    def _header_name(self, block: bytes, start: int, end: int) -> None:
        self._name += block[start:end]
        self._check_header()

    def _header_value(self, block: bytes, start: int, end: int) -> None:
        self._value += block[start:end]
        self._check_header()

    def _check_header(self) -> None:
        if len(self._name) + len(self._value) > HEADER_BYTES:
            raise Malformed("a part's header is too long", code="invalid_multipart")

    def _header_end(self) -> None:
        if self._name.lower() == b"content-disposition":
            _, options = parse_options_header(self._value)
            self._part.name = options.get(b"name", b"").decode(errors="replace")
            if b"filename" in options:
                self._part.filename = _plain(options[b"filename"])
        self._name, self._value = b"", b""

    def _headers_finished(self) -> None:
        part = self._part
        if part.name == "file":
            part.stored = str(len(self.received.files))
            part.file = (self.folder / part.stored).open("wb")
        elif part.filename is not None and part.name not in self._documents:
            raise InvalidInput(
                [
                    Fault(
                        pointer=f"/{part.name}",
                        code="unknown_field",
                        detail=f"the file {part.filename!r} came as part {part.name!r}",
                        suggestion="file",
                    )
                ]
            )

    def _data(self, block: bytes, start: int, end: int) -> None:
        part, view = self._part, memoryview(block)[start:end]
        part.size += len(view)
        if part.file is not None:
            part.file.write(view)
            part.digest.update(view)
        elif part.size > FIELD_BYTES:
            raise Malformed(
                f"the field {part.name!r} is longer than {FIELD_BYTES:,} bytes",
                code="field_too_long",
            )
        else:
            part.text += view

    def _end(self) -> None:
        part = self._part
        if part.file is None:
            try:
                text = part.text.decode()
            except UnicodeDecodeError:
                raise Malformed(
                    f"the field {part.name!r} is not UTF-8", code="invalid_utf8"
                ) from None
            self.received.fields.append((part.name, text))
            return
        part.file.close()
        part.file = None
        self.received.files.append(
            File(
                stored=part.stored,
                name=part.filename or "file",
                bytes=part.size,
                sha256=part.digest.hexdigest(),
            )
        )

    def _all(self) -> None:
        self._ended = True


class _Part:
    """The part that is being received."""

    def __init__(self) -> None:
        self.name = ""
        self.filename: str | None = None
        self.stored = ""
        self.file: BinaryIO | None = None
        self.size = 0
        self.text = bytearray()
        self.digest = hashlib.sha256()


def _plain(filename: bytes) -> str:
    """Return the last piece of a file's name, for showing: it is never a path here."""
    text = filename.decode(errors="replace").replace("\\", "/").rsplit("/", 1)[-1]
    return "".join(c for c in text if c.isprintable())[:255]
