"""The verbs for data sets."""

import mimetypes
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx

from frostline.answers import Dataset, Page
from frostline.connection import CONNECT_SECONDS, Connection
from frostline.errors import Unreadable
from frostline.paths import segment, wanted

UPLOAD = httpx.Timeout(None, connect=CONNECT_SECONDS)
"""An upload takes as long as it takes; when it is answered, all is ingested. So does
what waits for its turn at the server."""


class Datasets:
    """``/v1/datasets``."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def add(
        self, *files: str | Path, name: str | None = None, **options: Any
    ) -> Dataset:
        """Upload files as one data set; it is checked and ready when this returns.

        `options` are the ones the server offers: ``target``, ``delimiter``, ``header``,
        ``missing`` and so on.
        """
        fields = wanted(name=name, **options)
        with ExitStack() as opened:
            parts = []
            for path in map(Path, files):
                try:
                    content = opened.enter_context(path.open("rb"))
                except OSError as error:
                    raise Unreadable(
                        str(path), error.strerror or "unreadable"
                    ) from None
                kind = mimetypes.guess_type(path.name)[0] or "application/octet-stream"
                parts.append(("file", (path.name, content, kind)))
            found = self._connection.json(
                "POST", "/v1/datasets", files=parts, data=fields, timeout=UPLOAD
            )
        return Dataset.model_validate(found)

    def add_from(self, uri: str, name: str | None = None, **options: Any) -> Dataset:
        """Add a data set that the server can get by itself, as ``sklearn:digits``."""
        body = wanted(uri=uri, name=name, **options)
        found = self._connection.json("POST", "/v1/datasets", json=body, timeout=UPLOAD)
        return Dataset.model_validate(found)

    def get(self, dataset: str) -> Dataset:
        """Return a data set by id, ``name`` or ``name@version``."""
        found = self._connection.json("GET", f"/v1/datasets/{segment(dataset)}")
        return Dataset.model_validate(found)

    def report(self, dataset: str) -> Mapping[str, Any]:
        """Return what was found in the rows, before any of them trained anything."""
        path = f"/v1/datasets/{segment(dataset)}/report"
        found: Mapping[str, Any] = self._connection.json("GET", path)
        return found

    def preview(self, dataset: str) -> Mapping[str, Any]:
        """Return the first rows as they are stored."""
        path = f"/v1/datasets/{segment(dataset)}/preview"
        found: Mapping[str, Any] = self._connection.json("GET", path)
        return found

    def recommend_sources(self, dataset: str, **asked: Any) -> Mapping[str, Any]:
        """Return the catalog's models ranked as sources of layers for a data set.

        `asked` may hold ``target``, ``where``, ``examples_per_class``, ``models``,
        ``sample``, ``score``, ``limit``, ``seed`` and so on; each source in the answer
        has a ``spec`` that can be submitted as it is.
        """
        found: Mapping[str, Any] = self._connection.json(
            "POST",
            f"/v1/datasets/{segment(dataset)}/recommend-sources",
            json=wanted(**asked),
            timeout=UPLOAD,
        )
        return found

    def delete(self, dataset: str) -> None:
        """Delete a data set that no job needs."""
        self._connection.request("DELETE", f"/v1/datasets/{segment(dataset)}")

    def page(
        self, limit: int | None = None, cursor: str | None = None
    ) -> Page[Dataset]:
        """Return one page of the list, newest first."""
        asked = wanted(limit=limit, cursor=cursor)
        found = self._connection.json("GET", "/v1/datasets", params=asked)
        return Page[Dataset].model_validate(found)

    def each(self) -> Iterator[Dataset]:
        """Go through all data sets, newest first."""
        cursor = None
        while True:
            page = self.page(cursor=cursor)
            yield from page.data
            if not page.has_more:
                return
            cursor = page.next_cursor


def is_uri(given: Sequence[str]) -> bool:
    """Return whether a command's arguments name something for the server to get.

    >>> is_uri(["sklearn:digits"])
    True
    >>> is_uri(["rows.csv"])
    False
    """
    return len(given) == 1 and ":" in given[0] and not Path(given[0]).exists()
