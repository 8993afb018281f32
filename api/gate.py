"""What every request passes: an id, a clock, and a look at its address."""

import re
import secrets
import time
from urllib.parse import unquote_to_bytes

from starlette.datastructures import MutableHeaders
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.problems import answer
from api.refusals import our_mistake
from api.telemetry import Telemetry

REQUEST_ID = re.compile(rb"[A-Za-z0-9._-]{1,64}")


class Gate:
    """Give each request an id, refuse an unreadable address, measure the answer.

    What nobody foresaw becomes a problem document here, before it closes the
    connection for the requests that follow.
    """

    def __init__(self, app: ASGIApp, telemetry: Telemetry) -> None:
        self.app = app
        self.telemetry = telemetry

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass one request on."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        request_id = _request_id(scope)
        scope.setdefault("state", {})["request_id"] = request_id
        arrived = time.perf_counter()
        has_begun = False

        async def send_named(message: Message) -> None:
            nonlocal has_begun
            if message["type"] == "http.response.start":
                has_begun = True
                headers = MutableHeaders(scope=message)
                headers["X-Request-Id"] = request_id
                headers["X-Content-Type-Options"] = "nosniff"
                seconds = time.perf_counter() - arrived
                self.telemetry.answered(scope, message["status"], seconds)
            await send(message)

        if not _readable(scope):
            detail = "the address is not UTF-8, or holds a NUL"
            refusal = answer(Request(scope), 400, "invalid_address", detail)
            await refusal(scope, receive, send_named)
            return
        try:
            await self.app(scope, receive, send_named)
        except Exception as error:
            if has_begun:
                raise
            await our_mistake(Request(scope), error)(scope, receive, send_named)


def _request_id(scope: Scope) -> str:
    """Return the caller's id for the request if it is a decent one, else a new one."""
    for name, value in scope["headers"]:
        if name == b"x-request-id" and REQUEST_ID.fullmatch(value):
            return str(value.decode("ascii"))
    return f"req_{secrets.token_hex(8)}"


def _readable(scope: Scope) -> bool:
    query = scope.get("query_string", b"")
    address = unquote_to_bytes(scope.get("raw_path") or b"")
    address += unquote_to_bytes(query.replace(b"+", b" "))
    try:
        address.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return b"\0" not in address
