"""Models compared as sources for a data set, by a child process with bounds.

The child (see ``trainer.transfer``; it is started, never imported) reads the stored
rows and the models' graphs. A model over which it ends, by a fault of a library or for
want of memory, is left out with that reason, and the others are compared again.
"""

from pathlib import Path
from threading import Event

from catalog.errors import CatalogError
from catalog.ingest import child
from catalog.ingest.errors import ReaderCrashed, TooLarge
from trainer.spec.transfer import (
    Candidate,
    RecommendationAnswer,
    RecommendationOrder,
)

READER = "trainer.transfer.reader"
UNDER_WAY = "under-way"
TRIES = 4
"""Times that a child is started for one comparison."""
GRACE_SECONDS = 30.0
"""How much longer than its own limit a child may take."""


class NotCompared(CatalogError):
    """A comparison that came to nothing."""

    code = "not_compared"


def compare(
    order: RecommendationOrder, folder: Path, memory_bytes: int, gone: Event
) -> RecommendationAnswer:
    """Have the candidates of an order compared by a child that works in `folder`.

    Raises:
        NotCompared: the rows cannot be used, or it takes too much.
        UploadFailed: the client went away, or the disk is full.
    """
    bounds = child.Bounds(
        # the processor's time is bounded by the same number, and threads add it up
        (order.seconds + GRACE_SECONDS) * order.threads,
        memory_bytes,
    )
    for _ in range(TRIES):
        # what was not said must stay unsaid: null would switch things off
        asked = order.model_dump_json(by_alias=True, exclude_unset=True)
        try:
            text = child.run(READER, asked, folder, bounds, gone)
        except (ReaderCrashed, TooLarge):
            left = without_faulty(order, folder)
            if left is None:
                break
            order = left
            continue
        answer = RecommendationAnswer.model_validate_json(text)
        if answer.refused is not None:
            raise NotCompared(answer.refused)
        return answer
    raise NotCompared(
        "the comparison takes more time or memory than is allowed: compare fewer "
        "models (`models`) on fewer rows (`sample`)"
    )


def without_faulty(
    order: RecommendationOrder, folder: Path
) -> RecommendationOrder | None:
    """Return the order without the models that a child ended over; None: none known."""
    marks = list((folder / UNDER_WAY).glob("*"))
    faulty = {mark.name for mark in marks}
    for mark in marks:
        mark.unlink()
    if not faulty:
        return None
    reason = ("crashed", "the process that tried it ended over it")
    candidates = tuple(_with(each, reason, faulty) for each in order.candidates)
    return order.model_copy(update={"candidates": candidates})


def _with(each: Candidate, reason: tuple[str, str], faulty: set[str]) -> Candidate:
    if each.id not in faulty:
        return each
    return each.model_copy(update={"reason": reason})
