"""The child that reads uploads: bounded, watched, and never outliving its parent."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import psutil
import pyarrow as pa
import pytest

from catalog.ingest import child
from catalog.ingest.errors import ReaderCrashed, Refused, SenderGone, TooLarge
from catalog.ingest.order import Limits, Options
from tests.catalog.uploads import Reader, parquet

MIB = 1024**2
LONG = "x,y\n" + "1.5,2\n" * 3_000_000


@pytest.fixture
def reader(tmp_path: Path) -> Reader:
    return Reader(tmp_path)


def children() -> list[psutil.Process]:
    ours = psutil.Process().children()
    return [process for process in ours if "catalog.ingest.reader" in process.cmdline()]


def test_what_the_child_stored_is_there_and_the_upload_is_gone(reader: Reader) -> None:
    folder, order = reader.order({"t.csv": "x,y\n1,2\n"}, Options(), Limits())

    answer = child.ingest(order, folder, threading.Event())

    assert answer.report["rows"] == 1
    assert (folder / "dataset" / "columns" / "1.npy").exists()
    assert not (folder / "files").exists()
    assert answer.bytes == sum(
        f.stat().st_size for f in (folder / "dataset").rglob("*") if f.is_file()
    )


def test_a_refusal_comes_through_with_its_rows(reader: Reader) -> None:
    folder, order = reader.order({"t.csv": "x,y\n1,2\n3\n"}, Options(), Limits())

    with pytest.raises(Refused) as caught:
        child.ingest(order, folder, threading.Event())

    assert caught.value.complaints[0].row == 2


def test_a_child_that_takes_too_long_is_ended(reader: Reader) -> None:
    folder, order = reader.order({"t.csv": LONG}, Options(), Limits(seconds=0.2))

    with pytest.raises(TooLarge, match=r"longer than 0\.2 seconds"):
        child.ingest(order, folder, threading.Event())

    assert children() == []


def test_a_child_that_takes_too_much_memory_is_ended(reader: Reader) -> None:
    once = pa.array(["word" * 50_000])
    wide = parquet(
        t=pa.DictionaryArray.from_arrays(pa.array([0] * 4_000, pa.int32()), once)
    )
    assert len(wide) < MIB
    limits = Limits(memory_bytes=256 * MIB)
    folder, order = reader.order({"t": wide}, Options(), limits)

    with pytest.raises(TooLarge, match="memory"):
        child.ingest(order, folder, threading.Event())


def test_the_child_ends_when_the_client_is_gone(reader: Reader) -> None:
    folder, order = reader.order({"t.csv": LONG}, Options(), Limits())
    gone = threading.Event()
    threading.Timer(0.3, gone.set).start()

    with pytest.raises(SenderGone):
        child.ingest(order, folder, gone)

    assert children() == []


def test_a_child_that_dies_is_no_mistake_of_the_server(reader: Reader) -> None:
    folder, order = reader.order({"t.csv": LONG}, Options(), Limits())

    def kill() -> None:
        while not (found := children()):
            time.sleep(0.01)
        found[0].send_signal(signal.SIGSEGV)

    killer = threading.Thread(target=kill)
    killer.start()
    with pytest.raises(ReaderCrashed, match="signal 11"):
        child.ingest(order, folder, threading.Event())
    killer.join()


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells the child")
def test_the_child_does_not_outlive_its_parent(reader: Reader) -> None:
    folder, order = reader.order({"t.csv": LONG}, Options(), Limits())
    order_file = folder / "wanted.json"
    order_file.write_text(order.model_dump_json())
    program = (
        "import pathlib, sys, threading\n"
        "from catalog.ingest import child\n"
        "from catalog.ingest.order import Order\n"
        f"order = Order.model_validate_json(pathlib.Path({str(order_file)!r})"
        ".read_bytes())\n"
        f"child.ingest(order, pathlib.Path({str(folder)!r}), threading.Event())\n"
    )
    parent = subprocess.Popen([sys.executable, "-c", program], cwd=child.ROOT)
    watched = psutil.Process(parent.pid)
    deadline = time.monotonic() + 30
    while not (found := watched.children()) and time.monotonic() < deadline:
        time.sleep(0.01)

    time.sleep(0.5)  # the child asks for the signal when it has started
    parent.kill()
    parent.wait()

    _, alive = psutil.wait_procs(found, timeout=10)
    assert found
    assert alive == []


def test_the_child_knows_no_setting_of_the_server(
    reader: Reader, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FROSTLINE_DATABASE_URL", "postgresql://u:secret@db/x")
    folder, order = reader.order({"t.csv": LONG}, Options(), Limits())
    gone = threading.Event()
    seen: list[str] = []

    def look() -> None:
        while not (found := children()):
            time.sleep(0.01)
        seen.extend(Path(f"/proc/{found[0].pid}/environ").read_text().split("\0"))
        gone.set()

    watcher = threading.Thread(target=look)
    watcher.start()
    with pytest.raises(SenderGone):
        child.ingest(order, folder, gone)
    watcher.join()

    assert not any(variable.startswith("FROSTLINE_") for variable in seen)
    assert os.environ["FROSTLINE_DATABASE_URL"]
