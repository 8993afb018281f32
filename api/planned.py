"""Models that are yet to be made: sources of jobs that wait for other jobs."""

from collections.abc import Callable
from dataclasses import dataclass

from pydantic import ValidationError
from sqlalchemy.orm import Session

from catalog import datasets, models
from catalog.errors import NotFound
from catalog.tables import Job, Model, Status
from trainer.spec.data.schema import Schema
from trainer.spec.errors import InvalidSpec
from trainer.spec.job import JobSpec
from trainer.spec.resolve import resolve
from trainer.spec.resolve.planned import source_to_be
from trainer.spec.reuse import Source

DEEPEST = 100
"""How many jobs may wait for each other, one above the other."""


@dataclass(frozen=True)
class Planned:
    """The model of a job that has not ended."""

    id: str
    """The job's id; in a chain that is not accepted yet, the name of the stage."""
    source: Source


class MakesNoModel(NotFound):
    """A job that ended, or that cannot be told to make a model."""

    def __init__(self, job: Job, why: str) -> None:
        super().__init__("model of job", job.id)
        self.args = (f"job {job.id} {why}",)


Describe = Callable[[Session, Model], Source]
"""What is known of a model that is there."""


def made_by(session: Session, word: str, describe: Describe) -> Model | Planned | None:
    """Return the model that a job has made or will make; None if the word is no job's.

    Raises:
        NotFound: the job made no model, or it is gone.
    """
    job = session.get(Job, word) if word.startswith("job_") else None
    return None if job is None else _of_job(session, job, 0, describe)


def _of_job(
    session: Session, job: Job, depth: int, describe: Describe
) -> Model | Planned:
    if job.status is Status.SUCCEEDED and job.model_id is not None:
        return models.get(session, job.model_id)
    if job.status in {Status.FAILED, Status.CANCELLED}:
        raise MakesNoModel(job, f"is {job.status} and made no model: retry it first")
    if depth == DEEPEST:
        raise MakesNoModel(job, f"waits for more than {DEEPEST} jobs below each other")
    found: dict[str, Source] = {}
    for source in job.sources:
        word = source.get("id", source.get("job", ""))
        found[word] = _source(session, word, depth, describe)
    schema = Schema.model_validate(datasets.get(session, job.dataset_id).schema)
    try:
        spec = JobSpec.model_validate(job.resolved_spec)
        resolution = resolve(spec, schema, found)
    except (ValidationError, InvalidSpec) as error:
        raise MakesNoModel(job, f"cannot be reused before it has ended: {error}") from (
            error
        )
    return Planned(job.id, source_to_be(resolution, job.id, schema, found))


def _source(session: Session, word: str, depth: int, describe: Describe) -> Source:
    job = session.get(Job, word) if word.startswith("job_") else None
    if job is None:
        return describe(session, models.get(session, word))
    made = _of_job(session, job, depth + 1, describe)
    return made.source if isinstance(made, Planned) else describe(session, made)
