"""A trainer's stream is input like any other: bounded, checked, never believed."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker import frames

GOOD: list[dict[str, Any]] = [
    {"event": "ready", "pid": 1},
    {"event": "started", "fingerprint": {"torch": "2"}, "exact": True},
    {"event": "progress", "phase": "training", "step": 1, "eta_seconds": 0.5},
    {"event": "metrics", "rows": [{"step": 1, "epoch": 1, "name": "a", "value": 1}]},
    {"event": "log", "level": "info", "message": "hello"},
    {"event": "checkpoint_failed", "step": 3, "error": "the disk is full"},
    {"event": "stopped", "step": 3, "folder": None},
    {"event": "result", "folder": "f", "files": {"a": {"sha256": "0", "bytes": 1}}},
    {"event": "failed", "reason": "diverged", "error": "no", "data": {}},
    {"event": "exported", "maximum_difference": 1e-6},
]


@pytest.mark.parametrize("event", GOOD, ids=lambda event: event["event"])
def test_an_event_of_the_protocol_is_read(event: dict[str, Any]) -> None:
    found = frames.read(json.dumps(event).encode())

    assert isinstance(found, frames.Frame)


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"not json",
        b"\xff\xfe\x00",
        b"[" * 100_000,
        b"1" * 5_000,
        b"null",
        b'"ready"',
        b'{"event":"unknown"}',
        b'{"event":"metrics","rows":[{"step":-1,"epoch":1,"name":"a","value":1}]}',
        b'{"event":"metrics","rows":[{"step":1,"epoch":1,"name":"a\\u0000"}]}',
        b'{"event":"metrics","rows":[{"step":1,"epoch":1,"name":"a","value":1e999}]}',
        b'{"event":"progress","step":99999999999999999999}',
        b'{"event":"result","folder":"f"}',
    ],
)
def test_anything_else_is_unreadable_and_says_why(line: bytes) -> None:
    found = frames.read(line)

    assert isinstance(found, frames.Unreadable)
    assert found.problem
    assert len(found.problem) <= frames.LONGEST_MESSAGE


@given(st.binary(max_size=300))
def test_no_line_whatever_raises(line: bytes) -> None:
    assert isinstance(frames.read(line), frames.Frame | frames.Unreadable)


def test_a_value_that_is_no_number_is_kept_as_missing() -> None:
    row = b'{"step":1,"epoch":1,"name":"train_loss","value":NaN}'

    found = frames.read(b'{"event":"metrics","rows":[' + row + b"]}")

    assert isinstance(found, frames.Metrics)
    assert found.rows[0].value is None


def test_control_characters_are_replaced() -> None:
    assert frames.printable("\x1b[2Jgone\x9b\r") == "\ufffd[2Jgone\ufffd\ufffd"


@given(
    st.lists(st.binary(max_size=8).filter(lambda b: b"\n" not in b)), st.integers(1, 9)
)
def test_however_a_stream_is_cut_its_lines_are_the_same(
    lines: list[bytes], size: int
) -> None:
    stream = b"".join(line + b"\n" for line in lines)
    cutter = frames.Lines()

    found = [
        line
        for start in range(0, len(stream), size)
        for line in cutter.feed(stream[start : start + size])
    ]

    assert found == [line for line in lines if line.strip()]


def test_a_line_that_never_ends_takes_no_memory_and_hides_nothing_after_it() -> None:
    cutter = frames.Lines(longest=10)

    found = [line for _ in range(100) for line in cutter.feed(b"x" * 7)]
    found += cutter.feed(b"x\nshort\n")

    assert found == [None, b"short"]
    assert len(cutter._rest) <= 10
