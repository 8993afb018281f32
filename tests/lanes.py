"""Which tests run one after another when several processes share a run.

Each file is a lane: its fixtures are made once and its tests keep their order. Two
lanes are wider. Tests that start processes and wait for them share one, because on a
small machine they would take the processor from each other; tests that look at the
session's running stacks share another, so that those are started once.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from xdist.scheduler import LoadScopeScheduling

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pytest

WIDE = {
    "processes": (
        "tests/worker/",
        "tests/client/test_processes.py",
        "tests/client/test_interruptions.py",
        "tests/client/test_broker.py",
        "tests/e2e/test_chaos.py",
        "tests/e2e/test_demo.py",
        "tests/e2e/test_up.py",
    ),
    "stack": ("tests/client/", "tests/e2e/", "tests/docs/"),
}
"""The wide lanes, the longest first, and what is in them; the first match counts."""


def lane(test: str) -> str:
    """Return the lane of a test, by its id."""
    file = test.split("::", 1)[0]
    for name, paths in WIDE.items():
        if file.startswith(paths):
            return name
    return file


class Lanes(LoadScopeScheduling):  # type: ignore[misc]  # xdist ships no types
    """Gives whole lanes to the processes of a run, the wide ones first."""

    def add_node_collection(self, node: object, collection: Sequence[str]) -> None:
        """Take what a process has collected; keep the wide lanes in front."""
        self.config.option.loadscopereorder = False
        super().add_node_collection(node, collection)

    def _split_scope(self, nodeid: str) -> str:
        return lane(nodeid)


def widest_first(items: list[pytest.Item]) -> None:
    """Put the tests of the wide lanes in front, and change no order otherwise."""
    names = list(WIDE)
    items.sort(
        key=lambda item: (
            names.index(found) if (found := lane(item.nodeid)) in WIDE else len(names)
        )
    )
