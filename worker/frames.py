"""The trainer's stream: one JSON object per line, read without trusting it.

A trainer runs what people asked for, so its stream is input like any other: lines are
bounded, numbers finite, and what does not fit one of the events below becomes an
``Unreadable`` that is logged and ignored.
"""

import json
import re
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

LONGEST_LINE = 16 * 2**20
"""Bytes of one line; a result with a thousand frozen layers needs about two million."""
LONGEST_MESSAGE = 4000
LONGEST_NAME = 1000

CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")
Count = Annotated[int, Field(ge=0, lt=2**62)]


class Frame(BaseModel):
    """One event of a trainer."""

    model_config = ConfigDict(frozen=True, extra="ignore", allow_inf_nan=False)


class Ready(Frame):
    """Everything is imported; an order may be given."""

    event: Literal["ready"]


class Started(Frame):
    """The order was taken; what it will run on."""

    event: Literal["started"]
    fingerprint: dict[str, Any] = {}
    exact: bool = True
    resumed_step: Count = 0
    cache: dict[str, Any] | None = None


class Progress(Frame):
    """How far the attempt is."""

    model_config = ConfigDict(frozen=True, extra="allow", allow_inf_nan=False)

    event: Literal["progress"]
    step: Count = 0


class Row(Frame):
    """One value of one metric."""

    step: Count
    epoch: Count
    name: Annotated[str, Field(pattern=r"^[^\x00-\x1f]{1,100}$")]
    value: float | None
    """None where the number is none, such as the loss of a run that diverges."""


class Metrics(Frame):
    """Rows of metrics, in the order of their steps."""

    event: Literal["metrics"]
    rows: tuple[Row, ...]


class Diagnostic(Frame):
    """A fault that the training doctor names, with a patch of the spec for it."""

    event: Literal["diagnostic"]
    code: Annotated[str, Field(pattern=r"^[a-z_]{1,64}$")]
    layer: Annotated[str, Field(max_length=LONGEST_NAME)] | None = None
    severity: Literal["info", "warning", "critical"]
    detail: str
    evidence: dict[str, Any] = {}
    patch: dict[str, Any] | None = None
    step: Count = 0
    epoch: Count = 0
    cause: Annotated[str, Field(max_length=64)] | None = None


class Layers(Frame):
    """Figures of every layer at one step."""

    event: Literal["layers"]
    step: Count
    epoch: Count
    layers: tuple[
        dict[str, Annotated[str, Field(max_length=LONGEST_NAME)] | float | None], ...
    ]


class Log(Frame):
    """A sentence for the people who read the job's events."""

    event: Literal["log"]
    level: str = "info"
    message: str


class Checkpoint(Frame):
    """A checkpoint lies complete on the disk."""

    event: Literal["checkpoint"]
    folder: str
    step: Count
    epoch: Count
    manifest_sha256: str
    bytes: Count
    kind: Literal["last", "best", "final"] = "last"


class CheckpointFailed(Frame):
    """A checkpoint could not be written; the earlier ones stand."""

    event: Literal["checkpoint_failed"]
    step: Count
    error: str


class Stopped(Frame):
    """The trainer has stopped because it was asked to."""

    event: Literal["stopped"]
    step: Count = 0


class File(Frame):
    """Size and hash of one file of a model."""

    sha256: str
    bytes: Count


class Result(Frame):
    """The model lies complete on the disk."""

    event: Literal["result"]
    folder: str
    files: dict[str, File]
    metrics: dict[str, float | None] = {}
    monitored: dict[str, Any] | None = None
    frozen: tuple[dict[str, Any], ...] = ()
    cache: dict[str, Any] | None = None
    step: Count = 0
    epoch: Count = 0
    best_step: Count | None = None
    seconds: float | None = None


class Failed(Frame):
    """The job cannot be done as asked."""

    event: Literal["failed"]
    reason: str
    error: str
    data: dict[str, Any] = {}


class Exported(Frame):
    """The exported graph lies beside the weights and answers the same."""

    event: Literal["exported"]
    maximum_difference: float = 0.0
    serving: dict[str, Any] = {}
    """What was done to the graph as the job asked, measured before and after."""
    report: dict[str, Any] = {}
    """What else the check of a form that was asked for has said."""


class Unreadable(BaseModel):
    """A line that is no event we know."""

    model_config = ConfigDict(frozen=True)

    problem: str


Event = Annotated[
    Ready
    | Started
    | Progress
    | Metrics
    | Diagnostic
    | Layers
    | Log
    | Checkpoint
    | CheckpointFailed
    | Stopped
    | Result
    | Failed
    | Exported,
    Field(discriminator="event"),
]
EVENT: TypeAdapter[Frame] = TypeAdapter(Event)


def printable(text: str) -> str:
    """Return one bounded, harmless line or paragraph of what a trainer wrote."""
    return CONTROL.sub("\N{REPLACEMENT CHARACTER}", text[:LONGEST_MESSAGE])


def read(line: bytes) -> Frame | Unreadable:
    """Return the event that a line holds."""
    try:
        return EVENT.validate_python(json.loads(line, parse_constant=lambda _: None))
    except ValidationError as refused:
        first = refused.errors(include_url=False, include_input=False)[0]
        problem = ": ".join([".".join(map(str, first["loc"])), first["msg"]])
    except (ValueError, RecursionError) as refused:
        problem = str(refused)
    start = line[:80].decode(errors="replace")
    return Unreadable(problem=printable(f"{problem}, in a line that began {start!r}"))


class Lines:
    """Cuts a stream into lines and drops those that never seem to end."""

    def __init__(self, longest: int = LONGEST_LINE) -> None:
        self.longest = longest
        self._rest = bytearray()
        self._dropping = False

    def feed(self, piece: bytes) -> list[bytes | None]:
        """Return the lines that `piece` completes; None for one that was too long."""
        lines: list[bytes | None] = []
        *ended, last = piece.split(b"\n")
        for part in ended:
            lines.extend(self._take(part, ended=True))
        lines.extend(self._take(last, ended=False))
        return lines

    def _take(self, part: bytes, *, ended: bool) -> list[bytes | None]:
        if self._dropping:
            self._dropping = not ended
            return []
        if len(self._rest) + len(part) > self.longest:
            self._rest.clear()
            self._dropping = not ended
            return [None]
        self._rest += part
        if not ended:
            return []
        line = bytes(self._rest)
        self._rest.clear()
        return [line] if line.strip() else []
