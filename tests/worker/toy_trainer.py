"""A trainer that speaks the protocol and 'trains' a chain of hashes, for fault tests.

A real process, but with nothing to import: it starts in milliseconds, its result is
known in advance (`chain`), and it misbehaves when the spec's ``toy`` says so.
"""

import ctypes
import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any


def chain(seed: int, steps: int) -> str:
    """Return what an undisturbed training of so many steps ends with."""
    state = hashlib.sha256(str(seed).encode()).hexdigest()
    for step in range(1, steps + 1):
        state = link(state, step)
    return state


def link(state: str, step: int) -> str:
    """Return the state after one more step."""
    return hashlib.sha256(f"{state}{step}".encode()).hexdigest()


class Toy:
    """One order being carried out."""

    def __init__(self, order: dict[str, Any], commands: "Commands") -> None:
        self.order, self.commands = order, commands
        self.toy: dict[str, Any] = order["spec"]["toy"]
        self.state, self.step = chain(self.toy.get("seed", 0), 0), 0

    def run(self) -> None:
        """Train, or misbehave as the spec says."""
        if self.order["checkpoint"]:
            saved = json.loads(
                (Path(self.order["checkpoint"]) / "state.json").read_text()
            )
            self.state, self.step = saved["state"], saved["step"]
        say(event="started", fingerprint={"toy": 1}, exact=True, resumed_step=self.step)
        while self.step < self.toy["steps"]:
            self.misbehave()
            self.state, self.step = link(self.state, self.step + 1), self.step + 1
            say(event="progress", phase="training", step=self.step, epoch=1)
            row = {"step": self.step, "epoch": 1, "name": "train_loss"}
            say(event="metrics", rows=[row | {"value": 1 / self.step}])
            time.sleep(self.toy.get("step_seconds", 0))
            if self.step % self.toy.get("checkpoint_every", 10**9) == 0:
                self.save()
            command = self.commands.next()
            if command is not None:
                self.save()
            if command == "stop":
                say(event="stopped", step=self.step)
                sys.exit(0)
        self.finish()

    def save(self) -> None:
        """Write a checkpoint and tell of it."""
        folder = Path(self.order["checkpoints"]) / f"step-{self.step}"
        if folder.exists():
            return
        folder.mkdir(parents=True)
        state = json.dumps({"state": self.state, "step": self.step}).encode()
        manifest = json.dumps({"files": {"state.json": fact(state)}}).encode()
        (folder / "state.json").write_bytes(state)
        (folder / "manifest.json").write_bytes(manifest)
        digest = fact(manifest)["sha256"]
        if self.toy.get("fault") == "torn_checkpoint":
            (folder / "state.json").write_bytes(state[:-1])
        say(
            event="checkpoint",
            folder=str(folder),
            step=self.step,
            epoch=1,
            manifest_sha256=digest,
            bytes=len(state) + len(manifest),
            kind="last",
        )

    def finish(self) -> None:
        """Write the model, tell of it, and export it when asked."""
        folder = Path(self.order["model"])
        folder.mkdir(parents=True)
        files = {"model.json": self.description(), "weights.safetensors": b"weights"}
        for name, content in files.items():
            (folder / name).write_bytes(content)
        facts = {name: fact(content) for name, content in files.items()}
        if self.toy.get("fault") == "altered_result":
            (folder / "weights.safetensors").write_bytes(b"weighty")
        say(
            event="result",
            folder=str(folder),
            files=facts,
            step=self.step,
            epoch=1,
            best_step=self.step,
            metrics={"train_loss": 1 / self.step},
            monitored={"name": "train_loss", "value": 1 / self.step, "mode": "min"},
            frozen=[],
            cache=None,
            seconds=0.1,
        )
        if self.commands.wait() == "export":
            time.sleep(self.toy.get("export_seconds", 0))
            export(folder)

    def description(self) -> bytes:
        """Return a small model.json that holds the chain's last link."""
        return json.dumps(
            {
                "format": 1,
                "name": self.order["spec"].get("name", "toy"),
                "task": "classification",
                "classes": ["0", "1"],
                "target": "label",
                "network": {"layers": []},
                "input": {"columns": [], "shape": [1]},
                "layers": [],
                "preprocessing": {},
                "metrics": {"train_loss": 1 / self.step},
                "training": {},
                "frozen": [],
                "lineage": {},
                "environment": {"chain": self.state},
            }
        ).encode()

    def misbehave(self) -> None:
        """Do the spec's fault when its step and attempt have come."""
        fault = self.toy.get("fault")
        due = self.order["attempt"] in self.toy.get("attempts", [self.order["attempt"]])
        if fault and due and self.step == self.toy.get("at_step", 1):
            FAULTS[fault]() if fault in FAULTS else None


def hang() -> None:
    """Sleep without end."""
    time.sleep(10**6)


def ignore_term() -> None:
    """Live on when asked to end, and hang."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    hang()


def close_stdout() -> None:
    """Say nothing more and live on."""
    os.close(FRAMES)
    hang()


def flood_stdout() -> None:
    """Write what is no event, without end of line, and lines that are none."""
    for _ in range(300):
        os.write(FRAMES, b"x" * 2**20)
    for _ in range(20_000):
        os.write(FRAMES, b"\nnot an event")
    os.write(FRAMES, b"\n")


def flood_stderr() -> None:
    """Write far more than a log may hold."""
    for _ in range(200):
        os.write(2, (b"e" * 1023 + b"\n") * 1024)
    os.write(2, b"the last words\n")


def strange_events() -> None:
    """Write events that nobody knows, or with values that are none."""
    say(event="who_knows", step=1)
    say(event="metrics", rows=[{"step": -1, "epoch": 1, "name": "x", "value": 1.0}])
    say(event="log", level="warning", message="\x1b[31mred\x1b[0m and NaN")
    row = b'{"step":1,"epoch":1,"name":"nothing","value":NaN}'
    os.write(FRAMES, b'{"event":"metrics","rows":[' + row + b"]}\n")


def start_a_daemon() -> None:
    """Leave a grandchild behind that has a session of its own, then die."""
    code = "import time; time.sleep(600)"
    subprocess.Popen([sys.executable, "-c", code], start_new_session=True)
    os.kill(os.getpid(), signal.SIGKILL)


def diverge() -> None:
    """Tell that the job cannot be done."""
    say(event="failed", reason="diverged", error="the loss is nan at step 1", data={})
    sys.exit(1)


def run_out_of_memory() -> None:
    """Tell that memory ran out, as the real trainer does when torch says so."""
    say(event="failed", reason="out_of_memory", error="no memory", data={})
    sys.exit(1)


FAULTS: dict[str, Callable[[], object]] = {
    "hang": hang,
    "ignore_term": ignore_term,
    "close_stdout": close_stdout,
    "flood_stdout": flood_stdout,
    "flood_stderr": flood_stderr,
    "strange_events": strange_events,
    "daemon": start_a_daemon,
    "diverge": diverge,
    "out_of_memory": run_out_of_memory,
    "kill_self": lambda: os.kill(os.getpid(), signal.SIGKILL),
    "exit_zero": lambda: sys.exit(0),
    "exit_one": lambda: sys.exit(1),
}


class Commands:
    """Lines on stdin, read without waiting or with."""

    def __init__(self) -> None:
        self._rest = b""

    def next(self) -> str | None:
        """Return a command that has come, if any."""
        os.set_blocking(0, False)
        try:
            self._rest += self._read()
        except BlockingIOError:
            pass
        finally:
            os.set_blocking(0, True)
        return self._first()

    def wait(self) -> str | None:
        """Return the next command; end with the parent."""
        line = self.line()
        return str(json.loads(line)["command"])

    def line(self) -> bytes:
        """Return the next line; end with the parent."""
        while b"\n" not in self._rest:
            self._rest += self._read()
        line, _, self._rest = self._rest.partition(b"\n")
        return line

    def _first(self) -> str | None:
        return self.wait() if b"\n" in self._rest else None

    def _read(self) -> bytes:
        piece = os.read(0, 65536)
        if not piece:
            sys.exit(0)
        return piece


def export(folder: Path) -> None:
    """Write the graph of a model."""
    (folder / "model.onnx").write_bytes(b"graph")
    say(event="exported", maximum_difference=0.0)


def export_as(folder: Path, form: str) -> None:
    """Write a form of a model; once slowly if its folder says so, or not at all."""
    slow = folder / "slow"
    if slow.exists():
        slow.rename(folder / f"slow-{os.getpid()}")
        time.sleep(60)
    if form == "keras":
        sys.exit("a fault of its own")
    if form == "torch_export":
        say(event="failed", reason="invalid_spec", error="this cannot be traced")
        return
    (folder / "network.py").write_text("script")
    say(event="exported", maximum_difference=1e-7, report={"rows": 3, "real_rows": 2})


def fact(content: bytes) -> dict[str, Any]:
    """Return size and hash of a file."""
    return {"sha256": hashlib.sha256(content).hexdigest(), "bytes": len(content)}


def say(**event: Any) -> None:
    """Write one event."""
    os.write(FRAMES, json.dumps(event).encode() + b"\n")


def main() -> None:
    """Serve one order."""
    parent = os.getppid()
    ctypes.CDLL(None).prctl(1, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:
        sys.exit(0)
    commands = Commands()
    say(event="ready", pid=os.getpid())
    first = json.loads(commands.line())
    if "format" in first.get("export", {}):
        export_as(Path(first["export"]["model"]), first["export"]["format"])
    elif "export" in first:
        export(Path(first["export"]["model"]))
    if "order" in first:
        Toy(first["order"], commands).run()


if __name__ == "__main__":
    FRAMES = os.dup(1)
    os.dup2(2, 1)
    main()
