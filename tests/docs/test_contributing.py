"""What CONTRIBUTING says of a new technique is true: one file, and all follows."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.docs.snippets import ROOT, snippets

COPIED = ("api", "catalog", "frostline", "trainer", "worker", "tests/trainer")
EDITED = Path("trainer/spec/optimizers/__init__.py")
FAMILY = ("test_spec_families.py", "test_optimizers.py", "test_pacing.py")
ASKED = """
import json
from api.techniques import list_techniques
from trainer.spec.job import JobSpec

found = list_techniques().model_dump()["data"]
kinds = {k["kind"]: k for f in found if f["family"] == "optimizers" for k in f["kinds"]}
network = {"layers": []}
training = {"optimizer": {"kind": "adafactor", "largest_step": 2}}
spec = {"name": "a", "dataset": {"id": "a"}, "network": network, "training": training}
job = JobSpec.model_validate(spec).model_dump(mode="json")
print(json.dumps([kinds["adafactor"], job["training"]["optimizer"]]))
"""


@pytest.fixture(scope="module")
def edited(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a copy of the checkout with the class of CONTRIBUTING in its place."""
    copy = tmp_path_factory.mktemp("checkout")
    leave = shutil.ignore_patterns("__pycache__")
    for folder in COPIED:
        shutil.copytree(ROOT / folder, copy / folder, ignore=leave)
    shutil.copy(ROOT / "pyproject.toml", copy)
    (block,) = (
        snippet.text
        for snippet in snippets(ROOT / "CONTRIBUTING.md")
        if "class Adafactor" in snippet.text
    )
    written = block[block.index("class Adafactor") :]
    text = (copy / EDITED).read_text()
    union = "\n\nOptimizer = Annotated["
    text = text.replace(union, f"\n\n{written}\n{union}", 1)
    text = re.sub(r"(\| \w+)(,\s+Field\(discriminator)", r"\1 | Adafactor\2", text)
    (copy / EDITED).write_text(text)
    return copy


def run(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run Python in a folder, with the packages that lie there."""
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(folder)},
        capture_output=True,
        text=True,
        check=False,
    )


def test_a_new_optimizer_is_validated_and_described(edited: Path) -> None:
    done = run(edited, "-c", ASKED)

    assert done.returncode == 0, done.stderr
    described, wish = json.loads(done.stdout)
    assert described["source"] == "Shazeer and Stern (2018), ICML"
    assert [f["name"] for f in described["fields"]] == ["learning_rate", "largest_step"]
    assert wish == {"kind": "adafactor", "learning_rate": 0.01, "largest_step": 2.0}


@pytest.mark.timeout(300)
def test_the_tests_of_the_family_take_it_up(edited: Path) -> None:
    files = [f"tests/trainer/{name}" for name in FAMILY]

    done = run(
        edited,
        "-m",
        "pytest",
        "-q",
        "-p",
        "no:cacheprovider",
        "-m",
        "not gpu",
        "-k",
        "adafactor",
        *files,
    )

    assert done.returncode == 0, done.stdout
    passed = re.search(r"(\d+) passed", done.stdout)
    assert passed is not None
    assert int(passed[1]) >= 9
    assert "skipped" not in done.stdout
