"""Published tables as they are: names, tickets and cabins are texts."""

from pathlib import Path

from tests.catalog.uploads import Reader
from tests.trainer.trainings import spec
from trainer.process.commands import Commands
from trainer.process.order import Order
from trainer.run import Run
from trainer.spec.job import JobSpec
from trainer.spec.resolve import resolve

DENSE = [{"name": "hidden1", "kind": "dense", "units": 32}]


def test_the_passengers_of_the_titanic_are_told_apart(
    test_data: Path, tmp_path: Path
) -> None:
    stored = Reader(tmp_path).read(test_data / "titanic.csv")
    ref = {"target": "Survived", "task": "classification", "split": {"test": 0.2}}
    what = spec(DENSE, dataset=ref, epochs=20, batch_size=32)

    inputs = resolve(JobSpec.model_validate(what), stored.schema, {}).input_table()
    result = list(Run(Order(spec=what, dataset=stored.folder), Commands()).events())[-1]

    texts = [line["column"] for line in inputs if line["encoding"] == "text"]
    assert texts == ["Name", "Ticket", "Cabin"]
    # always saying that a passenger died is right for 62 of 100
    assert result["metrics"]["test_accuracy"] >= 0.75
