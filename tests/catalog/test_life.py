"""A job's life under every order of events that Hypothesis can think of.

`Life` plays people, workers, dead workers that go on writing, and time itself against
the ledger, and keeps beside it what it expects: a few plain fields per job. After each
step the books must agree with them, nothing terminal may have changed, and no metric
may be missing or doubled.
"""

import os
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from sqlalchemy import delete, select

from catalog import checkpoints, jobs, metrics, workers
from catalog.errors import Conflict, Fenced
from catalog.jobs import Claim
from catalog.session import reading, transaction
from catalog.tables import Attempt, Base, Event, Job, Metric, Model
from tests.catalog.books import Books, checkpoint, registration
from tests.catalog.expected import Expected

EXAMPLES = int(os.environ.get("LIFE_EXAMPLES", "20"))
"""How many lives are tried on each database."""
LEASE = 60
TERMINAL = ("succeeded", "failed", "cancelled")
LAB = ("lab-1", "lab-2")


class Life(RuleBasedStateMachine):
    def __init__(self, books: Books) -> None:
        super().__init__()
        with transaction() as session:
            for table in reversed(Base.metadata.sorted_tables):
                session.execute(delete(table))
        self.books = books
        books.dataset = books.add_dataset()
        self.jobs: dict[str, Expected] = {}
        for name in LAB:
            books.work(name)

    @initialize()
    def begin(self) -> None:
        """Start with one attempt that got on and one that did not."""
        for worker in LAB:
            self.submit()
            self.claim(worker)
        self._write(self._claims()[0], 2)

    # People.

    @rule()
    def submit(self) -> None:
        self.jobs[self.books.submit()] = Expected()

    @rule(stages=st.integers(1, 2))
    def submit_chain(self, stages: int) -> None:
        made = self.books.submit_chain(stages)
        for number, job_id in enumerate(made):
            self.jobs[job_id] = Expected(stages=tuple(made[:number]))

    @precondition(lambda self: self.jobs)
    @rule(chosen=st.data())
    def cancel(self, chosen: st.DataObject) -> None:
        job_id, job = self._any(chosen)
        if self._refused(jobs.cancel, job_id, refused=job.status in TERMINAL):
            return
        self._cancelled(job_id)
        for stage in reversed(job.stages):
            alive = self.jobs[stage].status not in TERMINAL
            if alive and self.books.is_last_of(job_id) and not self._wanted(stage):
                self._cancelled(stage)

    @precondition(lambda self: self.jobs)
    @rule(chosen=st.data())
    def pause(self, chosen: st.DataObject) -> None:
        job_id, job = self._any(chosen)
        refused = job.status in TERMINAL or job.desired == "cancel"
        if self._refused(jobs.pause, job_id, refused=refused):
            return
        job.desired = "pause"
        if job.status == "queued":
            job.status = "paused"

    @precondition(lambda self: self.jobs)
    @rule(chosen=st.data())
    def resume(self, chosen: st.DataObject) -> None:
        job_id, job = self._any(chosen)
        refused = job.status in TERMINAL or job.desired == "cancel"
        if self._refused(jobs.resume, job_id, refused=refused):
            return
        job.desired = "run"
        if job.status == "paused":
            job.status, job.waits = "queued", False

    # Workers.

    @rule(worker=st.sampled_from(LAB))
    def claim(self, worker: str) -> None:
        queue = [(j, e) for j, e in self.jobs.items() if e.status == "queued"]
        unmet = {j for j, e in self.jobs.items() if e.status != "succeeded"}
        ready = [
            job_id
            for job_id, job in queue
            if not job.waits and not unmet.intersection(job.stages)
        ]

        claim = self.books.try_claim(worker)

        if claim is None:
            assert not ready
            return
        job = dict(queue)[claim.job_id]
        assert not ready or claim.job_id <= ready[0]
        assert not unmet.intersection(job.stages)
        assert all(source["folder"] for source in claim.sources)
        assert claim.attempt == len(job.claims) + 1
        assert claim.checkpoint_step == job.saved
        job.claims.append(claim)
        job.status, job.worker, job.lease = "running", worker, LEASE
        job.step, job.waits = job.saved, False

    @precondition(lambda self: self._claims())
    @rule(chosen=st.data(), number=st.integers(1, 3))
    def measure(self, chosen: st.DataObject, number: int) -> None:
        claim, _ = self._any_claim(chosen)
        self._write(claim, number)

    @precondition(lambda self: self._claims())
    @rule(chosen=st.data())
    def beat(self, chosen: st.DataObject) -> None:
        claim, job = self._any_claim(chosen)
        with transaction() as session:
            heard: list[str] = []
            if self._fenced(claim, lambda: heard.append(jobs.beat(session, claim))):
                return
            job.lease = LEASE
            assert heard == [job.desired]

    @precondition(lambda self: self._claims())
    @rule(chosen=st.data(), kind=st.sampled_from(["last", "best"]))
    def save(self, chosen: st.DataObject, kind: str) -> None:
        claim, job = self._any_claim(chosen)
        if job.step == 0 or (job.saved == job.step and self._is_live(claim)):
            return
        with transaction() as session:
            row = checkpoint(claim, job.step, kind)
            if self._fenced(claim, lambda: checkpoints.add(session, claim, row)):
                return
        job.saved, job.saved_by = job.step, claim.attempt

    @precondition(lambda self: self._claims())
    @rule(chosen=st.data())
    def finish(self, chosen: st.DataObject) -> None:
        claim, job = self._any_claim(chosen)
        with transaction() as session:
            model = registration(claim)
            if self._fenced(claim, lambda: jobs.succeed(session, claim, model)):
                return
        cancelled = job.desired == "cancel"
        self._end(claim.job_id, "cancelled" if cancelled else "succeeded")

    @precondition(lambda self: self._claims())
    @rule(chosen=st.data(), reason=st.sampled_from(["diverged", "out_of_memory"]))
    def fail(self, chosen: st.DataObject, reason: str) -> None:
        claim, job = self._any_claim(chosen)
        with transaction() as session:
            if self._fenced(claim, lambda: jobs.fail(session, claim, reason, "boom")):
                return
        if job.desired == "cancel":
            self._end(claim.job_id, "cancelled")
        elif reason == "out_of_memory" and not job.memory_failures:
            job.memory_failures = 1
            self._free(job)
        else:
            self._end(claim.job_id, "failed")

    @precondition(lambda self: self._claims())
    @rule(chosen=st.data(), cause=st.sampled_from(["drain", "pause", "cancel"]))
    def give_back(self, chosen: st.DataObject, cause: str) -> None:
        claim, job = self._any_claim(chosen)
        with transaction() as session:
            if self._fenced(claim, lambda: jobs.give_back(session, claim, cause)):
                return
        if job.desired == "cancel":
            self._end(claim.job_id, "cancelled")
        else:
            self._free(job)

    @precondition(lambda self: self._claims())
    @rule(chosen=st.data())
    def crash(self, chosen: st.DataObject) -> None:
        claim, _ = self._any_claim(chosen)
        with transaction() as session:
            if self._fenced(
                claim, lambda: jobs.give_back(session, claim, "infrastructure", "-9")
            ):
                return
        self._die(claim.job_id, waits=True)

    @rule(worker=st.sampled_from(LAB))
    def restart_worker(self, worker: str) -> None:
        with transaction() as session:
            freed = workers.release(session, worker)

        held = [j for j, e in self._running() if e.worker == worker]
        assert freed == held
        for job_id in held:
            self._die(job_id, waits=False)

    # Time.

    @rule(seconds=st.sampled_from([25, 90, 1000]))
    def pass_time(self, seconds: int) -> None:
        self.books.pass_time(seconds)
        for job in self.jobs.values():
            job.lease -= seconds
            job.waits = job.waits and seconds < 900

    @rule()
    def sweep(self) -> None:
        silent = [j for j, e in self._running() if e.lease < 0]

        swept = self.books.sweep()

        assert swept.expired == silent
        for job_id in silent:
            self._die(job_id, waits=False)

    # What must hold after each step.

    @invariant()
    def the_books_agree(self) -> None:
        ended = {j: e.status for j, e in self.jobs.items() if e.status in TERMINAL}
        with reading() as session:
            rows = {row.id: row for row in session.execute(select(Job.__table__))}
            attempts = session.execute(
                select(Attempt.job_id, Attempt.attempt).where(
                    Attempt.ended_at.is_(None)
                )
            ).all()
            told = session.execute(
                select(Event.job_id, Event.data).where(Event.terminal)
            ).all()
            models = set(session.scalars(select(Model.job_id)))
        assert {tuple(row) for row in attempts} == {
            (job_id, len(job.claims)) for job_id, job in self._running()
        }
        assert sorted((j, data["status"]) for j, data in told) == [*ended.items()]
        assert models == {j for j, status in ended.items() if status == "succeeded"}
        for job_id, job in self.jobs.items():
            row = rows[job_id]
            assert (row.status, row.attempt) == (job.status, len(job.claims))
            assert job.status in TERMINAL or row.desired == job.desired
            assert job.kept in (None, _spelled(row))

    @invariant()
    def no_metric_is_missing_or_doubled(self) -> None:
        query = select(Metric.job_id, Metric.step).where(~Metric.archived)
        with reading() as session:
            rows = session.execute(query.order_by(Metric.job_id, Metric.step))
            measured = [tuple(row) for row in rows]
        assert measured == [
            (job_id, step)
            for job_id, job in self.jobs.items()
            for step in range(1, job.step + 1)
        ]

    # The expectations.

    def _any(self, chosen: st.DataObject) -> tuple[str, Expected]:
        job_id = chosen.draw(st.sampled_from(sorted(self.jobs)))
        return job_id, self.jobs[job_id]

    def _claims(self) -> list[Claim]:
        return [claim for job in self.jobs.values() for claim in job.claims]

    def _any_claim(self, chosen: st.DataObject) -> tuple[Claim, Expected]:
        """Draw a claim, more often one that is held than one of the dead."""
        claims = self._claims()
        held = [claim for claim in claims if self._is_live(claim)]
        claim = chosen.draw(st.sampled_from(3 * held + claims))
        return claim, self.jobs[claim.job_id]

    def _write(self, claim: Claim, number: int) -> None:
        job = self.jobs[claim.job_id]
        first = job.step + 1
        rows = [
            {"step": step, "epoch": 1, "name": "train_loss", "value": 1.0}
            for step in range(first, first + number)
        ]
        with transaction() as session:
            if self._fenced(claim, lambda: metrics.add(session, claim, rows)):
                return
        job.step += number

    def _running(self) -> list[tuple[str, Expected]]:
        return [(j, e) for j, e in sorted(self.jobs.items()) if e.status == "running"]

    def _is_live(self, claim: Claim) -> bool:
        job = self.jobs[claim.job_id]
        return job.status == "running" and job.claims[-1] == claim

    def _fenced(self, claim: Claim, write: Any) -> bool:
        """Write; say whether the fence refused it, which it must for a dead claim."""
        if self._is_live(claim):
            write()
            return False
        with pytest.raises(Fenced):
            write()
        return True

    def _refused(self, ask: Any, job_id: str, *, refused: bool) -> bool:
        with transaction() as session:
            if not refused:
                ask(session, job_id)
                return False
            with pytest.raises(Conflict):
                ask(session, job_id)
        return True

    def _free(self, job: Expected, *, waits: bool = False) -> None:
        job.status = "paused" if job.desired == "pause" else "queued"
        job.waits = waits and job.status == "queued"

    def _die(self, job_id: str, *, waits: bool) -> None:
        job = self.jobs[job_id]
        if job.desired == "cancel":
            self._end(job_id, "cancelled")
            return
        same = job.death[0] == job.step and job.saved_by != len(job.claims)
        job.death = (job.step, job.death[1] + 1 if same else 1)
        if job.death[1] == 3:
            self._end(job_id, "failed")
        else:
            self._free(job, waits=waits)

    def _wanted(self, job_id: str) -> bool:
        return any(
            job_id in job.stages
            and job.status not in TERMINAL
            and job.desired != "cancel"
            for job in self.jobs.values()
        )

    def _cancelled(self, job_id: str) -> None:
        self.jobs[job_id].desired = "cancel"
        if self.jobs[job_id].status != "running":
            self._end(job_id, "cancelled")

    def _end(self, job_id: str, status: str) -> None:
        self.jobs[job_id].status = status
        self.jobs[job_id].kept = _spelled(self.books.job(job_id))
        if status == "succeeded":
            return
        for other, job in self.jobs.items():
            if job_id in job.stages and job.status not in TERMINAL:
                self._end(other, status)


def _spelled(job: Any) -> dict[str, Any]:
    """Return a row's values; times apart, which `pass_time` moves."""
    names = Job.__table__.columns.keys()
    return {n: getattr(job, n) for n in names if not n.endswith(("_at", "_after"))}


@pytest.mark.timeout(900)  # a failure is made small, which takes its time
def test_every_life_keeps_the_books_in_order(books: Books) -> None:
    class Lived(Life):
        def __init__(self) -> None:
            super().__init__(books)

    run_state_machine_as_test(
        Lived,
        settings=settings(
            max_examples=EXAMPLES,
            stateful_step_count=30,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
