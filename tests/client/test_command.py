"""The `frostline` command, as it is typed, against a running service."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.servers import free_port
from tests.stack import Stack

pytestmark = pytest.mark.parametrize("stack", ["sqlite"], indirect=True)

Done = subprocess.CompletedProcess[str]
Typed = Callable[..., Done]

SPEC = """
name: command-iris
dataset: {id: iris}
network:
  layers:
    - {name: hidden, kind: dense, units: 8}
training: {epochs: 3}
"""
ENDLESS = """
name: command-endless
dataset: {id: iris}
network: {layers: []}
training: {epochs: 1000000, early_stopping: none}
"""


@pytest.fixture
def typed(stack: Stack, tmp_path: Path) -> Typed:
    """Return a way to type a command in a folder of its own."""

    def run(*words: str, given: str | None = None, url: str = stack.url) -> Done:
        return subprocess.run(
            [sys.executable, "-m", "frostline", *words],
            input=given,
            capture_output=True,
            text=True,
            timeout=100,
            check=False,
            cwd=tmp_path,
            env=os.environ | {"FROSTLINE_URL": url},
        )

    return run


@pytest.fixture
def iris(typed: Typed) -> None:
    """Add the data set that the specs name."""
    assert typed("datasets", "add", "sklearn:iris").returncode == 0


def test_data_sets_are_added_listed_and_reported(typed: Typed, tmp_path: Path) -> None:
    (tmp_path / "table.csv").write_text("a,b,kind\n" + "1,,x\n2,3,y\n" * 20)

    added = typed("datasets", "add", "table.csv", "--target", "kind")

    assert added.returncode == 0, added.stderr
    assert "40 rows" in added.stdout
    assert "table@" in typed("datasets", "ls").stdout
    report = typed("datasets", "report", "table").stdout
    assert "category" in report
    assert "target" in report
    as_json = json.loads(typed("datasets", "report", "table", "--json").stdout)
    assert as_json["missing"] == {"b": 20}


def test_a_spec_from_the_input_is_trained_and_followed(
    typed: Typed, iris: None, tmp_path: Path
) -> None:
    done = typed("train", "-", "--follow", given=SPEC)

    assert done.returncode == 0, done.stderr
    assert "succeeded: model mdl_" in done.stdout
    assert "command-iris: succeeded" in done.stderr
    assert "hidden" in typed("models", "show", "command-iris").stdout
    assert "command-iris@" in typed("models", "ls", "--search", "command-iris").stdout
    saved = typed("models", "download", "command-iris", "--into", "saved").stdout
    assert "weights.safetensors" in saved
    assert (tmp_path / "saved" / "model.json").exists()
    rows = json.dumps(
        [
            {
                "sepal length (cm)": 5.0,
                "sepal width (cm)": 3.4,
                "petal length (cm)": 1.5,
                "petal width (cm)": 0.2,
            }
        ]
    )
    predicted = typed("models", "predict", "command-iris", given=rows)
    assert predicted.returncode == 0, predicted.stderr
    assert "%" in predicted.stdout


def test_a_dry_run_shows_the_layers(typed: Typed, iris: None) -> None:
    done = typed("train", "-", "--dry-run", given=SPEC)

    assert done.returncode == 0, done.stderr
    assert "hidden" in done.stdout
    assert "parameters" in done.stdout


def test_following_as_json_is_one_event_per_line(typed: Typed, iris: None) -> None:
    done = typed("train", "-", "--follow", "--json", given=SPEC)

    *events, job = map(json.loads, done.stdout.splitlines())
    assert events[-1]["type"] == "done"
    assert job["status"] == "succeeded"


def test_a_job_is_steered(typed: Typed, iris: None) -> None:
    made = json.loads(typed("train", "-", "--json", given=ENDLESS).stdout)["id"]

    assert made in typed("jobs", "ls", "--name", "command-endless").stdout
    assert "command-endless" in typed("jobs", "show", made).stdout
    assert "paus" in typed("jobs", "pause", made).stdout
    assert typed("jobs", "logs", made).returncode == 0
    cancelled = typed("jobs", "cancel", made)
    assert cancelled.returncode == 0, cancelled.stderr
    assert "cancel" in cancelled.stdout


def test_a_refused_spec_is_told_by_places(typed: Typed, iris: None) -> None:
    wrong = SPEC.replace("units", "unit").replace("epochs", "epoch")

    done = typed("train", "-", given=wrong)

    assert done.returncode == 1
    assert "/network/layers/0/unit" in done.stderr
    assert "/training/epoch" in done.stderr
    assert "Traceback" not in done.stderr


def test_advice_says_why_and_writes_a_spec_that_is_accepted(
    typed: Typed, iris: None
) -> None:
    done = typed("advise", "iris", "-w", "small_training_set", "--out", "spec.json")

    assert done.returncode == 0, done.stderr
    assert "150 training rows are fewer than 1,000" in done.stdout
    assert typed("train", "spec.json", "--dry-run").returncode == 0
    unknown = typed("advise", "iris", "--wish", "small_training_sets")
    assert unknown.returncode == 1
    assert "did you mean 'small_training_set'" in unknown.stderr


def test_no_server_is_a_sentence_and_exit_code_2(typed: Typed) -> None:
    done = typed("jobs", "ls", url=f"http://127.0.0.1:{free_port()}")

    assert done.returncode == 2
    assert done.stderr.startswith("error: no Frostline server answers at")
    assert len(done.stderr.splitlines()) == 1


def test_a_file_that_is_not_there_is_a_sentence(typed: Typed) -> None:
    done = typed("train", "no-such-file.yaml")

    assert done.returncode == 1
    assert "no-such-file.yaml cannot be used: No such file" in done.stderr
