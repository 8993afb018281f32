"""What can be said of the images and the Compose file without starting anything.

`tests/compose/run.sh` starts them.
"""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parent.parent
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
SERVICES: dict[str, Any] = COMPOSE["services"]
LASTING = sorted(set(SERVICES) - {"migrate"})
OURS = sorted(name for name, service in SERVICES.items() if "build" in service)

every_service = pytest.mark.parametrize("name", sorted(SERVICES))
every_lasting_service = pytest.mark.parametrize("name", LASTING)
each_of_ours = pytest.mark.parametrize("name", OURS)


def variables(text: str) -> set[str]:
    """Return the names of the variables that a Compose file asks for."""
    return set(re.findall(r"\$\{(\w+)", text))


@every_lasting_service
def test_a_lasting_service_is_watched_and_restarted(name: str) -> None:
    service = SERVICES[name]

    assert service["restart"] == "unless-stopped"
    assert service["healthcheck"]["test"][0] == "CMD"


@every_service
def test_a_service_has_a_bound_on_memory_and_processes(name: str) -> None:
    limits = SERVICES[name]["deploy"]["resources"]["limits"]

    assert {"memory", "pids"} <= set(limits)


@each_of_ours
def test_our_code_runs_with_as_little_power_as_it_can(name: str) -> None:
    service = SERVICES[name]

    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]


def test_only_the_api_is_published_and_on_loopback_unless_asked() -> None:
    published = {name: s["ports"] for name, s in SERVICES.items() if "ports" in s}

    assert published == {
        "api": ["${FROSTLINE_ADDRESS:-127.0.0.1}:${FROSTLINE_PORT:-8000}:8000"]
    }


def test_every_address_with_a_password_refuses_to_be_without_one() -> None:
    text = (ROOT / "docker-compose.yml").read_text()

    assert text.count("${POSTGRES_PASSWORD") == text.count("${POSTGRES_PASSWORD:?")


def test_the_example_names_exactly_the_variables_that_compose_asks_for() -> None:
    asked = variables((ROOT / "docker-compose.yml").read_text())
    passed_on = {
        key
        for service in SERVICES.values()
        for key, value in (service.get("environment") or {}).items()
        if value is None
    }
    example = (ROOT / ".env.example").read_text()

    assert set(re.findall(r"^#?(\w+)=", example, re.MULTILINE)) == asked | passed_on


def test_redis_keeps_its_messages_and_evicts_none() -> None:
    command = " ".join(SERVICES["redis"]["command"])

    assert "--appendonly yes" in command
    assert "--maxmemory-policy noeviction" in command


def test_a_stopped_worker_has_longer_than_its_drain() -> None:
    assert SERVICES["worker"]["stop_grace_period"] == "150s"


def test_hadolint_finds_nothing_in_the_dockerfile() -> None:
    hadolint = Path(sys.executable).parent / "hadolint"
    done = subprocess.run(
        [hadolint, str(ROOT / "Dockerfile")],
        capture_output=True,
        text=True,
        check=False,
    )

    assert (done.returncode, done.stdout) == (0, "")


def test_both_images_run_as_a_user_of_their_own() -> None:
    stages = re.split(r"^FROM ", (ROOT / "Dockerfile").read_text(), flags=re.MULTILINE)

    assert [("USER 10001" in stage) for stage in stages[2:]] == [True, True]


def required(extra: str) -> set[str]:
    """Return the names of the distributions that an image installs by itself."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    lines = project["dependencies"] + project["optional-dependencies"][extra]
    named = {re.split(r"[^A-Za-z0-9-]", line)[0].lower() for line in lines}
    # Parts of Starlette, Celery, onnx and pydantic.
    return named | {"anyio", "kombu", "protobuf", "pydantic-core", "redis"}


def imported(patterns: list[str]) -> set[str]:
    """Return the distributions that some files import, wherever in them."""
    names: set[str] = set()
    for path in (path for pattern in patterns for path in ROOT.glob(pattern)):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                names |= {alias.name.split(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module:
                names.add(node.module.split(".")[0])
    providers = packages_distributions()
    # A name that two distributions provide is satisfied by either: the first will do.
    return {
        providers[name][0].lower().replace("_", "-")
        for name in names
        if name in providers
    }


# The vocabulary imports torch inside build(), which only a trainer calls.
OF_THE_API = [
    "api/**/*.py",
    "catalog/**/*.py",
    "frostline/*.py",
    "migrations/**/*.py",
    "trainer/importing/*.py",
    "trainer/preprocessing/*.py",
    "trainer/spec/*.py",
    "worker/queue.py",
    "worker/sweep.py",
]
# Files are read by the API's children only: catalog/ingest, trainer/importing.
OF_A_WORKER = ["catalog/*.py", "trainer/**/*.py", "worker/**/*.py"]


@pytest.mark.parametrize(
    ("extras", "patterns", "elsewhere"),
    [
        (["api", "import"], OF_THE_API, {"torch"}),
        (["worker"], OF_A_WORKER, {"h5py"}),
    ],
)
def test_an_image_installs_what_its_code_imports(
    extras: list[str], patterns: list[str], elsewhere: set[str]
) -> None:
    installed = {name for extra in extras for name in required(extra)}
    ours = {"frostline"}

    assert imported(patterns) - installed - elsewhere - ours == set()


def test_the_api_image_is_not_given_torch() -> None:
    assert "torch" not in required("api")
    assert "torch" in required("worker")
