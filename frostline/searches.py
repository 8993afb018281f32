"""The verbs for searches: one request, many trials."""

import time
from collections.abc import Mapping
from typing import Any

from frostline.answers import Page, Search
from frostline.connection import Connection
from frostline.errors import TooSlow
from frostline.paths import segment, wanted
from frostline.specs import SpecText
from frostline.submitting import handed_in, tried

LOOK_SECONDS = (0.1, 2.0)
"""How often a waiting client looks: at first, and after a while."""


class Searches:
    """``/v1/searches``."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def submit(
        self, search: Mapping[str, Any] | SpecText, idempotency_key: str | None = None
    ) -> Search:
        """Begin a search; a request whose answer was lost is repeated safely."""
        found = handed_in(self._connection, "/v1/searches", search, idempotency_key)
        return Search.model_validate(found)

    def dry_run(self, search: Mapping[str, Any] | SpecText) -> Mapping[str, Any]:
        """Return what a search comes to: how many trials, and the first one's spec."""
        return tried(self._connection, "/v1/searches", search)

    def get(self, search: str) -> Search:
        """Return a search as it is now, with its best trial."""
        path = f"/v1/searches/{segment(search)}"
        return Search.model_validate(self._connection.json("GET", path))

    def trials(self, search: str) -> Mapping[str, Any]:
        """Return all trials, and the data of parallel coordinates."""
        path = f"/v1/searches/{segment(search)}/trials"
        found: Mapping[str, Any] = self._connection.json("GET", path)
        return found

    def cancel(self, search: str) -> Search:
        """Propose no more trials and cancel those that have not ended."""
        path = f"/v1/searches/{segment(search)}/cancel"
        return Search.model_validate(self._connection.json("POST", path))

    def page(
        self, limit: int | None = None, cursor: str | None = None, **filters: Any
    ) -> Page[Search]:
        """Return one page of the list, newest first."""
        asked = wanted(limit=limit, cursor=cursor, **filters)
        found = self._connection.json("GET", "/v1/searches", params=asked)
        return Page[Search].model_validate(found)

    def wait(self, search: str, seconds: float | None = None) -> Search:
        """Return a search once it has ended, however it did."""
        started = time.monotonic()
        pause, longest = LOOK_SECONDS
        while not (found := self.get(search)).ended:
            if seconds is not None and time.monotonic() - started > seconds:
                raise TooSlow(search, found.status, seconds)
            time.sleep(pause)
            pause = min(1.2 * pause, longest)
        return found
