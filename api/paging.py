"""The query parameters of every list."""

from typing import Annotated

from fastapi import Query

from api.limits import PAGE

Limit = Annotated[
    int, Query(ge=1, le=PAGE, description="Most rows in this page, 1 to 1,000.")
]
"""Most rows in a page."""

Cursor = Annotated[
    str | None,
    Query(max_length=2_000, description="`next_cursor` of the page before."),
]
"""Where the page begins."""

Word = Annotated[str | None, Query(max_length=200)]
"""A filter: only what equals it."""
