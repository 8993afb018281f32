"""Why an upload does not become a data set.

CatalogError
└── UploadFailed
    ├── Refused          the upload is not what it must be; complaints say why
    │   └── TooLarge     it takes more memory, time or space than one upload may
    ├── ImportRefused    a foreign model is not what it must be; problems say why
    │   └── ImportTooLarge   it takes more memory, time or space than one model may
    ├── OutOfSpace       the disk is full
    ├── ReaderCrashed    the child ended without an answer
    └── SenderGone       nobody waits for the answer any more
"""

import errno

from catalog.errors import CatalogError
from catalog.ingest.order import Complaint
from trainer.spec.imports import ImportProblem


class UploadFailed(CatalogError):
    """An upload does not become a data set; nothing of it is left."""

    code = "upload_failed"


class Refused(UploadFailed):
    """The upload is not what it must be."""

    code = "invalid_upload"

    def __init__(self, *complaints: Complaint) -> None:
        first, rest = complaints[0], len(complaints) - 1
        more = f", and {rest} more" if rest else ""
        super().__init__(f"{first.detail}{more}")
        self.complaints = complaints


class TooLarge(Refused):
    """The upload takes more memory, time or space than one upload may."""

    code = "upload_too_large"


class ImportRefused(UploadFailed):
    """A foreign model is not what it must be."""

    code = "invalid_import"

    def __init__(self, *problems: ImportProblem) -> None:
        first, rest = problems[0], len(problems) - 1
        more = f", and {rest} more" if rest else ""
        super().__init__(f"{first.pointer}: {first.detail}{more}")
        self.problems = problems


class ImportTooLarge(ImportRefused):
    """A foreign model takes more memory, time or space than one may."""

    code = "import_too_large"


class OutOfSpace(UploadFailed):
    """The disk is full."""

    code = "out_of_space"

    def __init__(self) -> None:
        super().__init__("there is no space left on the server's disk")


class ReaderCrashed(UploadFailed):
    """The child ended without an answer."""

    code = "reader_crashed"

    def __init__(self, ending: str) -> None:
        super().__init__(
            f"the process that reads uploads {ending}; "
            "the file may be damaged: check it, or send it in another format"
        )


class SenderGone(UploadFailed):
    """Nobody waits for the answer any more."""

    code = "sender_gone"

    def __init__(self) -> None:
        super().__init__("the client closed the connection before the upload was read")


def refuse(code: str, detail: str, remedy: str, **place: object) -> Refused:
    """Make the refusal of an upload for one reason."""
    return Refused(
        Complaint.model_validate(dict(code=code, detail=detail, remedy=remedy, **place))
    )


def too_large(code: str, detail: str, remedy: str, **place: object) -> TooLarge:
    """Make the refusal of an upload that takes too much."""
    return TooLarge(*refuse(code, detail, remedy, **place).complaints)


def is_full(error: OSError) -> bool:
    """Tell whether the disk, or the quota on it, is full."""
    return error.errno in {errno.ENOSPC, errno.EDQUOT}
