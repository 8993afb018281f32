"""What can go wrong in the catalog. `code` is the word that the API shows.

CatalogError
├── NotFound               nothing has that id
├── Conflict               the thing is not in a state that allows this
│   ├── NameTaken          a name, version or alias is in use
│   └── InUse              others depend on it
├── Fenced                 the attempt no longer holds the job: stop, write nothing
├── IdempotencyKeyReused   the key came before with another body
├── MalformedCursor        a page cursor that was not made here
├── Unstorable             a value that the database cannot hold or compare
└── DatabaseUnavailable    the database does not answer; try again
"""

from typing import ClassVar


class CatalogError(Exception):
    """Something that the catalog refuses or cannot do."""

    code: ClassVar[str] = "catalog_error"


class NotFound(CatalogError):
    """Nothing has that id."""

    code = "not_found"

    def __init__(self, noun: str, key: str) -> None:
        super().__init__(f"there is no {noun} {key!r}")
        self.noun, self.key = noun, key


class Conflict(CatalogError):
    """The thing is not in a state that allows this."""

    code = "conflict"

    def __init__(self, message: str, *, status: str | None = None) -> None:
        super().__init__(message)
        self.status = status


class NameTaken(Conflict):
    """A name, version or alias is in use."""

    code = "name_taken"

    def __init__(self, noun: str, name: str) -> None:
        super().__init__(f"the {noun} {name!r} exists already; choose another name")
        self.noun, self.name = noun, name


class InUse(Conflict):
    """Others depend on the thing."""

    code = "in_use"

    def __init__(self, noun: str, key: str, users: list[str]) -> None:
        shown = ", ".join(users[:5]) + (", …" if users[5:] else "")
        super().__init__(f"{noun} {key!r} is used by {shown}")
        self.noun, self.key, self.users = noun, key, users


class Fenced(CatalogError):
    """The attempt no longer holds the job: stop, write nothing."""

    code = "fenced"

    def __init__(self, job_id: str, attempt: int) -> None:
        super().__init__(f"attempt {attempt} no longer holds job {job_id}")
        self.job_id, self.attempt = job_id, attempt


class IdempotencyKeyReused(CatalogError):
    """The key came before with another body."""

    code = "idempotency_key_reused"

    def __init__(self, key: str) -> None:
        super().__init__(
            f"the idempotency key {key!r} was used with another body; "
            "send a new key with a new request"
        )
        self.key = key


class MalformedCursor(CatalogError):
    """A page cursor that was not made here, or for another order."""

    code = "malformed_cursor"

    def __init__(self, cursor: str) -> None:
        super().__init__(
            f"the cursor {cursor[:80]!r} does not belong to this list; "
            "use next_cursor of the page before, or none"
        )
        self.cursor = cursor


class Unstorable(CatalogError):
    """A value that the database cannot hold or compare."""

    code = "unstorable"

    def __init__(self, cause: BaseException) -> None:
        super().__init__(f"a value cannot be stored: {cause}".split("\n", 1)[0])


class DatabaseUnavailable(CatalogError):
    """The database does not answer; try again."""

    code = "database_unavailable"
    retry_after_seconds: ClassVar[int] = 2

    def __init__(self, cause: BaseException) -> None:
        first_line = str(cause).split("\n", 1)[0]
        super().__init__(f"the database does not answer ({first_line}); try again")
