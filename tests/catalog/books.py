"""Short words for what the ledger's tests do again and again."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from sqlalchemy import select, text

from catalog import chains, events, ids, jobs, metrics, sweep, workers
from catalog.clock import Moment
from catalog.jobs import Claim, Submission
from catalog.models import Registration
from catalog.session import reading, transaction
from catalog.tables import Attempt, Base, Dataset, Job, Metric

SPEC: Mapping[str, Any] = {"network": {"layers": []}, "training": {"batch_size": 64}}


class Books:
    """The ledger as one person sees it: each call is one transaction."""

    def __init__(self) -> None:
        self.dataset = self.add_dataset()

    def add_dataset(self) -> str:
        """Enter a data set."""
        dataset_id = ids.new_id("ds")
        with transaction() as session:
            session.add(
                Dataset(
                    id=dataset_id,
                    name=dataset_id,
                    version=1,
                    sha256="0" * 64,
                    folder=f"datasets/{dataset_id}",
                    rows=10,
                    bytes=100,
                    schema={},
                    report={},
                    options={},
                )
            )
        return dataset_id

    def submit(self, name: str = "digits", **changes: Any) -> str:
        """Accept a job."""
        asked = {
            "spec": SPEC,
            "resolved_spec": SPEC,
            "dataset_id": self.dataset,
            **changes,
        }
        with transaction() as session:
            return jobs.add(session, Submission(name=name, **asked)).id

    def submit_chain(self, stages: int = 2, **changes: Any) -> list[str]:
        """Accept a job with stages, each on top of the one before; the job is last."""
        made = [ids.new_id("job") for _ in range(stages + 1)]
        with transaction() as session:
            links = [self._link(made[: n + 1], n == stages) for n in range(stages + 1)]
            last = replace(links[-1], stages=links[:-1], **changes)
            jobs.add(session, last)
        return made

    def _link(self, made: list[str], is_last: bool) -> Submission:
        below = made[:-1]
        entry = [{"from": below[-1], "layers": ".*"}] if below else []
        spec = {**SPEC, "reuse": entry}
        return Submission(
            id=made[-1],
            name=f"link-{len(made)}",
            spec=spec,
            resolved_spec=spec,
            dataset_id=self.dataset,
            sources=[{"job": below[-1]}] if below else [],
            reuse=[{"layer": "hidden1", "source": word} for word in below[-1:]],
            prerequisites=[jobs.Prerequisite(one, is_last) for one in below],
        )

    def is_last_of(self, job_id: str) -> bool:
        """Say whether stages were made for a job."""
        with reading() as session:
            rows = chains.prerequisites(session, job_id)
        return any(row.is_stage for row in rows)

    def work(self, name: str = "lab-1", device: str = "cpu", host: str = "lab") -> str:
        """Enter a worker."""
        with transaction() as session:
            workers.register(
                session, workers.Identity(name, host, 1, 1.0, "boot", device)
            )
        return name

    def claim(self, worker: str = "lab-1") -> Claim:
        """Take a job that must be there."""
        claim = self.try_claim(worker)
        assert claim is not None
        return claim

    def try_claim(self, worker: str = "lab-1") -> Claim | None:
        """Take a job if there is one."""
        with transaction() as session:
            return jobs.claim(session, worker)

    def job(self, job_id: str) -> Job:
        """Return a job's row."""
        with reading() as session:
            return jobs.get(session, job_id)

    def history(self, job_id: str) -> list[str]:
        """Return what happened, as words: the status or else the event's type."""
        with reading() as session:
            return [
                event.data["status"] if event.type == "status" else event.type
                for event in events.after(session, job_id)
            ]

    def attempts(self, job_id: str) -> list[Attempt]:
        """Return the attempts of a job."""
        with reading() as session:
            query = select(Attempt).where(Attempt.job_id == job_id)
            return list(session.scalars(query.order_by(Attempt.attempt)))

    def measure(self, claim: Claim, *steps: int, name: str = "train_loss") -> None:
        """Write one value per step."""
        rows = [{"step": s, "epoch": 1, "name": name, "value": 1.0 / s} for s in steps]
        with transaction() as session:
            metrics.add(session, claim, rows)

    def steps(self, job_id: str, name: str = "train_loss") -> list[int]:
        """Return the steps at which a value counts."""
        with reading() as session:
            rows: list[Metric] = list(metrics.history(session, job_id, [name], 10_000))
        return [row.step for row in rows]

    def sweep(self) -> sweep.Swept:
        """Do one sweep."""
        with transaction() as session:
            return sweep.sweep(session, interval_seconds=0)

    def pass_time(self, seconds: float) -> None:
        """Let time pass: every moment that is written down moves into the past."""
        with transaction() as session:
            shift = SHIFTS[session.get_bind().dialect.name]
            for table in Base.metadata.sorted_tables:
                moments = [c.name for c in table.columns if isinstance(c.type, Moment)]
                if moments:
                    moved = ", ".join(f"{name} = {shift(name)}" for name in moments)
                    earlier = text(f"UPDATE {table.name} SET {moved}")  # noqa: S608
                    session.execute(earlier, {"seconds": seconds})


SHIFTS: Mapping[str, Callable[[str], str]] = {
    "sqlite": lambda name: (
        f"strftime('%Y-%m-%d %H:%M:%f', {name}, -:seconds || ' seconds') || '000'"
    ),
    "postgresql": lambda name: f"{name} - make_interval(secs => :seconds)",
}


def checkpoint(claim: Claim, step: int, kind: str = "last") -> dict[str, Any]:
    """Return a checkpoint's row as a supervisor hands it over."""
    return {
        "folder": f"jobs/{claim.job_id}/a{claim.attempt}/checkpoints/step-{step}",
        "step": step,
        "epoch": 1,
        "manifest_sha256": "1" * 64,
        "bytes": 1000,
        "kind": kind,
    }


def registration(claim: Claim) -> Registration:
    """Return a model as a supervisor hands it over."""
    return Registration(
        folder=f"models/{claim.job_id}-a{claim.attempt}",
        description={"task": "classification", "layers": []},
        metrics={"test_accuracy": 0.9},
        files={"weights.safetensors": {"sha256": "2" * 64, "bytes": 10}},
    )
