"""A Frostline server, as a Python object.

>>> client = Client("http://127.0.0.1:8000")
>>> client.url
'http://127.0.0.1:8000'
>>> client.close()
"""

from collections.abc import Mapping
from types import TracebackType
from typing import Any, Self

from frostline.connection import Connection
from frostline.datasets import Datasets
from frostline.jobs import Jobs
from frostline.models import Models
from frostline.paths import wanted
from frostline.searches import Searches
from frostline.settings import settings
from frostline.zoos import Zoos


class Client:
    """Everything a server can do, by noun: ``datasets``, ``jobs``, ``models``…."""

    def __init__(self, base_url: str | None = None, api_key: str | None = None) -> None:
        found = settings()
        self._connection = Connection(base_url or found.url, api_key or found.api_key)
        self.datasets = Datasets(self._connection)
        self.jobs = Jobs(self._connection)
        self.models = Models(self._connection)
        self.searches = Searches(self._connection)
        self.zoos = Zoos(self._connection)

    @property
    def url(self) -> str:
        """Return where the server is."""
        return self._connection.url

    def techniques(self) -> Any:
        """Return every technique a spec may name, each with its fields."""
        return self._connection.json("GET", "/v1/techniques")

    def advise(self, dataset: str, *wishes: str, **more: Any) -> Mapping[str, Any]:
        """Return a spec that fits a data set and wishes, with the reasons for it.

        `more` may hold ``target``, ``name``, ``time_budget_seconds``, ``device`` and
        ``windows``.
        """
        asked = wanted(dataset=dataset, wishes=list(wishes), **more)
        found: Mapping[str, Any] = self._connection.json(
            "POST", "/v1/advice", json=asked
        )
        return found

    def limits(self) -> Any:
        """Return what this server refuses at submit."""
        return self._connection.json("GET", "/v1/limits")

    def close(self) -> None:
        """Give the sockets back."""
        self._connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()
