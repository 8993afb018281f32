"""The trainer as a program of its own."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.trainer.processes import ROOT, environment, write_pictures
from tests.trainer.trainings import DENSE, spec
from trainer.__main__ import main


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return write_pictures(tmp_path / "pictures.npz")


def write(path: Path, what: object) -> str:
    path.write_text(json.dumps(what))
    return str(path)


def test_a_spec_and_a_data_set_make_a_model(data: Path, tmp_path: Path) -> None:
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "trainer",
            write(tmp_path / "spec.json", spec(DENSE)),
            str(data),
            "--out",
            str(tmp_path / "model"),
        ],
        cwd=ROOT,
        env=environment(),
        capture_output=True,
        text=True,
        check=True,
    )

    assert done.stderr == ""
    assert "epoch    3  step      15  train_loss" in done.stdout
    assert json.loads(done.stdout[done.stdout.index("\n{") :])["best_step"] == 15
    assert (tmp_path / "model" / "model.json").is_file()


def test_what_a_range_test_finds_is_printed(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    wish = spec(DENSE, schedule={"kind": "range_test", "steps": 10})

    assert main([write(tmp_path / "spec.json", wish), str(data)]) == 0

    printed = capsys.readouterr().out
    assert "info: the loss did not fall" in printed
    assert "epoch    1  step       1" not in printed


def test_a_named_source_is_reused(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first = write(tmp_path / "first.json", spec(DENSE))
    reuse = [{"from": "first", "layers": "hidden.*", "freeze": "hidden1"}]
    second = write(tmp_path / "second.json", spec(DENSE, reuse=reuse))
    folder = str(tmp_path / "first")
    assert main([first, str(data), "--out", folder]) == 0

    assert main([second, str(data), "--source", f"first={folder}"]) == 0

    assert '"result": "miss"' in capsys.readouterr().out


@pytest.mark.parametrize(
    ("what", "status", "told"),
    [
        (spec([{"kind": "dense", "unit": 3}]), 2, "/network/layers/0/unit: there is"),
        (spec(reuse=[{"from": "x"}]), 2, "say where 'x' lies: --source x=FOLDER"),
        (spec(DENSE, batch_size=1), 2, "/training/batch_size: batch normalisation"),
    ],
)
def test_what_cannot_be_trained_is_told_with_the_remedy(
    data: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    what: dict[str, object],
    status: int,
    told: str,
) -> None:
    found = main([write(tmp_path / "spec.json", what), str(data)])

    assert found == status
    assert told in capsys.readouterr().err


def test_the_seed_may_be_given(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    written = write(tmp_path / "spec.json", spec(DENSE, epochs=1))
    told = []
    main([written, str(data), "--seed", "1"])
    told.append(capsys.readouterr().out)
    main([written, str(data), "--seed", "2"])
    told.append(capsys.readouterr().out)

    assert told[0].splitlines()[1] != told[1].splitlines()[1]
