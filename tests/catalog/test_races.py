"""Many at once: processes that claim, threads that submit, wishes against finishes."""

import multiprocessing
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from multiprocessing.queues import SimpleQueue
from multiprocessing.synchronize import Barrier
from typing import Any

from sqlalchemy import func, select

from catalog import jobs
from catalog.errors import CatalogError, Conflict, Fenced
from catalog.session import transaction
from catalog.tables import Job, Status
from tests.catalog.books import SPEC, Books, registration

QUEUED = 120
PROCESSES = 6


def test_processes_that_claim_at_once_never_get_the_same_job(books: Books) -> None:
    with transaction() as session:
        for _ in range(QUEUED):
            jobs.add(session, jobs.Submission("race", SPEC, SPEC, books.dataset))
    fork = multiprocessing.get_context("fork")  # as Celery's pool does
    together, claimed = fork.Barrier(PROCESSES), fork.SimpleQueue()
    racers = [
        fork.Process(target=_claim_all, args=(f"lab-{number}", together, claimed))
        for number in range(PROCESSES)
    ]

    for racer in racers:
        racer.start()
    outcomes = [claimed.get() for _ in racers]
    for racer in racers:
        racer.join()

    taken = [claim for claims in outcomes for claim in claims]
    assert len(taken) == len(set(taken)) == QUEUED
    assert {attempt for _, attempt in taken} == {1}


def _claim_all(worker: str, together: Barrier, claimed: "SimpleQueue[Any]") -> None:
    together.wait()
    taken: list[Any] = []
    try:
        while True:
            with transaction() as session:
                claim = jobs.claim(session, worker)
            if claim is None:
                break
            taken.append((claim.job_id, claim.attempt))
    except CatalogError as error:
        taken.append(error.code)
    claimed.put(taken)


def test_fifty_requests_with_one_key_make_one_job(books: Books) -> None:
    together = threading.Barrier(50)

    def submit(_: int) -> str:
        together.wait()
        return books.submit(idempotency=jobs.Request("key-1", "a" * 64))

    with ThreadPoolExecutor(50) as threads:
        answers = set(threads.map(submit, range(50)))

    with transaction() as session:
        assert session.scalar(select(func.count()).select_from(Job)) == 1
    assert len(answers) == 1


def test_of_a_cancel_and_a_finish_at_once_the_first_one_wins(books: Books) -> None:
    for _ in range(8):
        job_id = books.submit()
        claim = books.claim()
        together = threading.Barrier(2)

        def cancel(job_id: str = job_id) -> bool:
            with transaction() as session:
                jobs.cancel(session, job_id)
            return True

        def finish(claim: jobs.Claim = claim) -> bool:
            with transaction() as session:
                job = jobs.succeed(session, claim, registration(claim))
            return job.status is Status.SUCCEEDED

        accepted, succeeded = _at_once(together, cancel, finish)

        status = books.job(job_id).status
        assert accepted != succeeded
        assert status is (Status.SUCCEEDED if succeeded else Status.CANCELLED)


def test_of_a_heartbeat_and_a_release_at_once_none_loses_the_job(
    books: Books,
) -> None:
    for _ in range(8):
        job_id = books.submit()
        claim = books.claim()
        books.pass_time(61)
        together = threading.Barrier(2)

        def beat(claim: jobs.Claim = claim) -> bool:
            with transaction() as session:
                jobs.beat(session, claim)
            return True

        def sweep(job_id: str = job_id) -> bool:
            return job_id in books.sweep().expired

        kept, expired = _at_once(together, beat, sweep)

        assert kept != expired
        status = books.job(job_id).status
        assert status is (Status.RUNNING if kept else Status.QUEUED)
        with transaction() as session:
            jobs.cancel(session, job_id)


def _at_once(
    together: threading.Barrier, *acts: Callable[[], bool]
) -> tuple[bool, ...]:
    def go(act: Callable[[], bool]) -> bool:
        together.wait()
        try:
            return act()
        except (Conflict, Fenced):
            return False

    with ThreadPoolExecutor(len(acts)) as threads:
        return tuple(threads.map(go, acts))
