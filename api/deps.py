"""What routes ask for: a session, the limits, the right to call at all."""

import hmac
from collections.abc import Iterator
from typing import Annotated

from fastapi import Depends, Request
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from sqlalchemy.orm import Session

from api.errors import Unauthorized
from api.settings import Settings
from catalog.session import reading, transaction


def _writing() -> Iterator[Session]:
    with transaction() as session:
        yield session


def _reading() -> Iterator[Session]:
    with reading() as session:
        yield session


# scope="function": the commit comes before the response leaves, so that a client that
# has its answer finds what it wrote, and a commit that fails is not answered with 202.
Writing = Annotated[Session, Depends(_writing, scope="function")]
"""A session whose work is committed before the answer is sent."""

Reading = Annotated[Session, Depends(_reading, scope="function")]
"""A session for queries, closed before the answer is sent."""


async def _settings(request: Request) -> Settings:
    settings: Settings = request.app.state.settings
    return settings


Limits = Annotated[Settings, Depends(_settings)]
"""What the operator allows."""

_bearer = HTTPBearer(
    auto_error=False, description="Only asked where the operator has set a key."
)


async def authorized(
    limits: Limits,
    given: Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)],
) -> None:
    """Refuse a call without the key, where one is set."""
    if limits.api_key is None:
        return
    key = limits.api_key.get_secret_value().encode()
    sent = given.credentials.encode() if given is not None else b""
    if not hmac.compare_digest(key, sent):
        raise Unauthorized
