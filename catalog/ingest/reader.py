"""The reader of one upload, for the child: order in, data set or complaints out."""

from pathlib import Path

from catalog.ingest.errors import Refused, TooLarge, too_large
from catalog.ingest.order import Answer, Order


def answered(text: str, folder: Path) -> str:
    """Read the upload in `folder` as an order's JSON says; return the answer's."""
    order = Order.model_validate_json(text)
    return _read(order, folder).model_dump_json()


def _read(order: Order, folder: Path) -> Answer:
    from catalog.ingest import finish  # noqa: PLC0415 - it may take too much memory

    try:
        return finish.ingest(order, folder)
    except TooLarge as error:
        return Answer(refused=error.complaints, reason="too_large")
    except Refused as error:
        return Answer(refused=error.complaints)
    except MemoryError:
        complaints = too_large(
            "too_much_memory",
            "reading the upload takes more memory than "
            f"{order.limits.memory_bytes:,} bytes",
            "send it in smaller pieces, or as CSV, which is read row by row",
        ).complaints
        return Answer(refused=complaints, reason="too_large")
