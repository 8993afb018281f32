"""Uploads that are read at the same time, and how a request waits for its own."""

import asyncio
import threading
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from anyio import CapacityLimiter, to_thread
from fastapi import FastAPI, Request

CHILDREN = 2
"""Uploads that are read at the same time; others wait their turn."""
WRITERS = 8
"""Threads that write blocks of uploads to the disk."""

Found = TypeVar("Found")


class Turns:
    """How many uploads of an application may do something at the same time."""

    def __init__(self, children: int = CHILDREN) -> None:
        self.writers = CapacityLimiter(WRITERS)
        self.children = CapacityLimiter(children)


def turns_of(app: FastAPI) -> Turns:
    """Return the application's turns, made in its event loop at the first upload."""
    if not hasattr(app.state, "upload_turns"):
        app.state.upload_turns = Turns()
    turns: Turns = app.state.upload_turns
    return turns


async def carried_out(
    request: Request, read: Callable[[threading.Event], Found], turns: Turns
) -> Found:
    """Wait for the child; end it when the client goes away."""
    gone = threading.Event()
    watch = asyncio.create_task(_watched(request.receive, gone))
    try:
        return await to_thread.run_sync(read, gone, limiter=turns.children)
    finally:
        watch.cancel()


async def _watched(
    receive_next: Callable[[], Awaitable[Any]], gone: threading.Event
) -> None:
    while (await receive_next())["type"] != "http.disconnect":
        pass
    gone.set()
