"""The verbs for zoos: collections of models that an import may name."""

from collections.abc import Iterator, Sequence

from frostline.answers import Page, Zoo, ZooModel
from frostline.connection import Connection
from frostline.paths import segment, wanted


class Zoos:
    """``/v1/zoos``: what the server can import without being sent the files."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def list(self) -> Sequence[Zoo]:
        """Return the zoos; one that cannot be used says what it lacks."""
        found = self._connection.json("GET", "/v1/zoos")
        return Page[Zoo].model_validate(found).data

    def page(
        self,
        zoo: str,
        q: str | None = None,
        limit: int | None = None,
        cursor: str | None = None,
    ) -> Page[ZooModel]:
        """Return one page of a zoo's models, those that hold all words of `q`."""
        asked = wanted(q=q, limit=limit, cursor=cursor)
        path = f"/v1/zoos/{segment(zoo)}/models"
        found = self._connection.json("GET", path, params=asked)
        return Page[ZooModel].model_validate(found)

    def each(self, zoo: str, q: str | None = None) -> Iterator[ZooModel]:
        """Go through a zoo."""
        cursor = None
        while True:
            page = self.page(zoo, q, cursor=cursor)
            yield from page.data
            if not page.has_more:
                return
            cursor = page.next_cursor
