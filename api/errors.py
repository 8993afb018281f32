"""What HTTP can refuse, and the one table from an error to its status.

ApiError
├── Malformed          the body cannot be read as JSON or YAML at all
│   └── TooDeep        it is nested too deeply
├── InvalidInput       the input can be read, but its values cannot be accepted
├── BodyTooLarge       the body is larger than the operator allows
├── UnknownMediaType   the body is in a form that is not read here
├── NotAcceptable      the answer does not exist in the form that was asked for
├── Unauthorized       the key is missing or wrong
├── Unavailable        it works a little later
└── UnsatisfiableRange a part of a file was asked for that the file does not have
"""

from collections.abc import Sequence

from api.problems import Fault
from catalog import errors as catalog_errors
from catalog.ingest import errors as upload_errors
from catalog.recommendations import NotCompared


class ApiError(Exception):
    """A request that cannot be answered as asked."""

    code = "refused"

    def __init__(
        self, detail: str, *, code: str | None = None, faults: Sequence[Fault] = ()
    ) -> None:
        super().__init__(detail)
        self.code = code or self.code
        self.faults = list(faults)
        self.headers: dict[str, str] = {}


class Malformed(ApiError):
    """The body cannot be read as JSON or YAML at all."""

    code = "invalid_json"


class TooDeep(Malformed):
    """The body is nested too deeply."""

    def __init__(self, depth: int) -> None:
        super().__init__(
            f"the body is nested more than {depth} levels deep", code="too_deep"
        )
        self.depth = depth


class InvalidInput(ApiError):
    """The input can be read, but its values cannot be accepted."""

    code = "invalid_input"

    def __init__(self, faults: Sequence[Fault], *, code: str | None = None) -> None:
        first = faults[0]
        place = f"{first.pointer}: " if first.pointer else ""
        super().__init__(f"{place}{first.detail}", code=code, faults=faults)


class BodyTooLarge(ApiError):
    """The body is larger than the operator allows."""

    code = "body_too_large"

    def __init__(self, limit: int, *, close: bool) -> None:
        super().__init__(f"the body is larger than the {limit:,} bytes allowed here")
        self.limit = limit
        if close:
            self.headers = {"Connection": "close"}


class UnknownMediaType(ApiError):
    """The body is in a form that is not read here."""

    code = "unknown_media_type"

    def __init__(self, given: str, known: Sequence[str]) -> None:
        super().__init__(
            f"a body of type {given or 'none at all'} is not read here;"
            f" send {' or '.join(known)}"
        )
        self.given = given


class NotAcceptable(ApiError):
    """The answer does not exist in the form that was asked for."""

    code = "not_acceptable"

    def __init__(self, given: str, known: Sequence[str]) -> None:
        super().__init__(f"there is no answer as {given}; ask for {' or '.join(known)}")
        self.given = given


class Unauthorized(ApiError):
    """The key is missing or wrong."""

    code = "unauthorized"

    def __init__(self) -> None:
        super().__init__("send the key of this service as Authorization: Bearer <key>")
        self.headers = {"WWW-Authenticate": "Bearer"}


class Unavailable(ApiError):
    """It works a little later."""

    code = "unavailable"

    def __init__(
        self, detail: str, *, code: str | None = None, retry_seconds: int = 1
    ) -> None:
        super().__init__(detail, code=code)
        self.headers = {"Retry-After": str(retry_seconds)}


class UnsatisfiableRange(ApiError):
    """A part of a file was asked for that the file does not have."""

    code = "unsatisfiable_range"

    def __init__(self, size: int) -> None:
        super().__init__(f"the file has {size:,} bytes; the range lies outside of them")
        self.headers = {"Content-Range": f"bytes */{size}"}


STATUSES: dict[type[Exception], int] = {
    Malformed: 400,
    InvalidInput: 422,
    BodyTooLarge: 413,
    UnknownMediaType: 415,
    NotAcceptable: 406,
    Unauthorized: 401,
    Unavailable: 503,
    UnsatisfiableRange: 416,
    catalog_errors.NotFound: 404,
    catalog_errors.Conflict: 409,
    catalog_errors.Fenced: 409,
    catalog_errors.IdempotencyKeyReused: 422,
    catalog_errors.MalformedCursor: 422,
    catalog_errors.Unstorable: 422,
    catalog_errors.DatabaseUnavailable: 503,
    NotCompared: 422,
    upload_errors.Refused: 422,
    upload_errors.TooLarge: 413,
    upload_errors.ImportRefused: 422,
    upload_errors.ImportTooLarge: 413,
    upload_errors.OutOfSpace: 507,
    upload_errors.ReaderCrashed: 422,
    upload_errors.SenderGone: 400,
}
"""The HTTP status of every error that a person can do something about."""


def status_of(error: Exception) -> int:
    """Return the status of an error, or of the nearest class it derives from."""
    return next(STATUSES[kind] for kind in type(error).__mro__ if kind in STATUSES)
