"""The rules of CONTRIBUTING that ruff, mypy and import-linter cannot check.

Each rule lists what breaks it as `file:line: what`, so that a failure reads as a to-do
list. A rule that has an exception names it here, with the reason.
"""

from __future__ import annotations

import ast
import functools
import re
import subprocess
import sys
import tomllib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("api", "catalog", "frostline", "migrations", "trainer", "worker")
EVERYWHERE = (*PACKAGES, "benchmarks", "scripts", "tests")
MAXIMUM_LINES = 400

# Who may import whom, directly; import-linter holds the indirect arrows.
ARROWS = {
    # what torch does, only inside build()
    "trainer.spec": {
        "trainer.spec",
        "trainer.augmentation",
        "trainer.modules",
        "trainer.rules",
    },
    "trainer.preprocessing": {
        "trainer.errors",
        "trainer.preprocessing",
        "trainer.spec",
    },
    "trainer.importing": {
        "trainer.errors",
        "trainer.importing",
        "trainer.preprocessing",
        "trainer.spec",
    },
    "trainer.transfer": {
        "trainer.data",
        "trainer.errors",
        "trainer.preprocessing",
        "trainer.spec",
        "trainer.transfer",
    },
    "trainer": {"trainer"},
    "catalog": {"catalog", "trainer.spec"},
    "worker": {"worker", "catalog", "trainer.spec"},
    "api": {
        "api",
        "catalog",
        "trainer.errors",
        "trainer.preprocessing",
        "trainer.spec",
        "worker.queue",
        "worker.sweep",
    },
    "frostline": {"frostline", "trainer.spec"},
    "migrations": {"migrations", "catalog"},
}

FORBIDDEN_WORD = re.compile(
    r"base|common|do|(handler|helper|manager|processor|service|util)s?|impl|info"
)

# Modules that load code from a file, or cannot read one safely.
UNSAFE_MODULES = {"cloudpickle", "dill", "joblib", "marshal", "pickle", "shelve"}
UNSAFE_CALLS = {"torch.load", "yaml.load", "os.system", "eval", "exec"}


@functools.cache
def tree(path: Path) -> ast.Module:
    """Return the syntax tree of a file."""
    return ast.parse(path.read_text(encoding="utf-8"), str(path))


def files(folders: Iterable[str] = PACKAGES) -> Iterator[Path]:
    """Yield the Python files below some folders, in order."""
    for folder in folders:
        yield from sorted((ROOT / folder).rglob("*.py"))


def nodes(folders: Iterable[str] = PACKAGES) -> Iterator[tuple[Path, ast.AST]]:
    """Yield every node of every file, with the file's path below the root."""
    for path in files(folders):
        for node in ast.walk(tree(path)):
            yield path.relative_to(ROOT), node


def dotted(node: ast.AST) -> str:
    """Return `a.b.c` for a chain of attributes, else the empty string."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute):
        before = dotted(node.value)
        return f"{before}.{node.attr}" if before else ""
    return ""


def at(path: Path, node: ast.AST, what: str) -> str:
    """Return one line of the to-do list."""
    return f"{path}:{getattr(node, 'lineno', 0)}: {what}"


def long_files() -> Iterator[str]:
    """List files above the limit: split them by noun."""
    for path in files(EVERYWHERE):
        count = len(path.read_text(encoding="utf-8").splitlines())
        if count > MAXIMUM_LINES:
            yield f"{path.relative_to(ROOT)}: {count} lines, at most {MAXIMUM_LINES}"


def second_commits() -> Iterator[str]:
    """List commits but the one: a request or a worker's step is one transaction."""
    for path, node in nodes():
        if isinstance(node, ast.Call) and called(node) == "commit":
            if path == Path("catalog/session.py"):
                continue
            yield at(path, node, "commit(")


def http_exceptions() -> Iterator[str]:
    """List HTTP errors made: errors are facts, one table gives them a status."""
    for path, node in nodes():
        if isinstance(node, ast.Call) and called(node) == "HTTPException":
            yield at(path, node, "HTTPException")


def variables_read() -> Iterator[str]:
    """List environment variables read outside a settings.py."""
    for path, node in nodes():
        if path.name == "settings.py":
            continue
        if isinstance(node, ast.Call):
            read = dotted(node.func) in {"os.getenv", "os.environ.get"}
        else:
            read = (
                isinstance(node, ast.Subscript)
                and isinstance(node.ctx, ast.Load)
                and dotted(node.value) == "os.environ"
            )
        if read:
            yield at(path, node, "reads an environment variable")


def unsafe_loading() -> Iterator[str]:
    """List the ways in which a file or a request could become code."""
    for path, node in nodes((*PACKAGES, "scripts")):
        if isinstance(node, ast.Import):
            names = {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names = {(node.module or "").split(".")[0]}
        else:
            names = set()
        for name in names & UNSAFE_MODULES:
            yield at(path, node, f"imports {name}")
        if isinstance(node, ast.Call):
            if dotted(node.func) in UNSAFE_CALLS:
                yield at(path, node, f"calls {dotted(node.func)}")
            for keyword in node.keywords:
                true = isinstance(keyword.value, ast.Constant) and keyword.value.value
                if keyword.arg in {"shell", "allow_pickle"} and true is True:
                    yield at(path, node, f"{keyword.arg}=True")


def vague_words(name: str) -> list[str]:
    """Return the forbidden words of a snake_case or CamelCase name."""
    words = [word.lower() for word in re.findall(r"[A-Z]?[a-z0-9]+|[A-Z]+", name)]
    return [word for word in words if FORBIDDEN_WORD.fullmatch(word)]


def vague_names() -> Iterator[str]:
    """List names that say nothing about what belongs there."""
    for path in files():
        module = path.relative_to(ROOT)
        if module != Path("trainer/spec/base.py"):
            for word in vague_words(path.stem):
                yield f"{module}: {word} in a module's name"
    for path, node in nodes():
        # SQLAlchemy's own word for the class of all tables.
        if isinstance(node, ast.ClassDef) and node.name != "Base":
            for word in vague_words(node.name):
                yield at(path, node, f"{word} in {node.name}")


def repeated_names() -> Iterator[str]:
    """List class names that mean two things within one package."""
    for package in PACKAGES:
        places: dict[str, list[str]] = {}
        for path, node in nodes([package]):
            # A technique has the paper's word; its family tells two of them apart.
            if isinstance(node, ast.ClassDef) and path.parts[:2] != ("trainer", "spec"):
                places.setdefault(node.name, []).append(at(path, node, node.name))
        for where in places.values():
            yield from where[1:]


def calls_in(node: ast.AST) -> Iterator[ast.Call]:
    """Yield the calls made while a statement runs, not those of functions in it."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.FunctionDef | ast.Lambda | ast.ClassDef):
            continue
        if isinstance(child, ast.Call):
            yield child
        yield from calls_in(child)


def called(call: ast.Call) -> str:
    """Return the last word of what is called."""
    if isinstance(call.func, ast.Attribute):
        return call.func.attr
    return call.func.id if isinstance(call.func, ast.Name) else ""


def device_synchronisations() -> Iterator[str]:
    """List what waits for the device in the code that runs once per step.

    That is: a loop, or a function, whose own statements call `backward`.
    """
    waits = {"item", "cpu", "tolist", "numpy", "synchronize", "print"}
    for path, node in nodes(["trainer"]):
        if isinstance(node, ast.For | ast.While | ast.FunctionDef):
            made = list(calls_in(node))
            inner = any(
                isinstance(below, ast.For | ast.While)
                and any(called(call) == "backward" for call in calls_in(below))
                for below in ast.walk(node)
                if below is not node
            )
            if inner or not any(called(call) == "backward" for call in made):
                continue
            for call in made:
                if called(call) in waits:
                    yield at(path, call, f"{called(call)}() in the step")


def status_set_outside_the_catalog() -> Iterator[str]:
    """List assignments to a status: it moves by the catalog's guarded functions."""
    for path, node in nodes(["api", "worker"]):
        if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
            if not dotted(node).endswith("job.status"):
                continue
            yield at(path, node, f"{dotted(node)} is assigned")


def imports(module: ast.Module) -> Iterator[tuple[ast.AST, str]]:
    """Yield the modules a file imports when it runs."""
    typing_only: set[ast.AST] = set()
    for node in ast.walk(module):
        if isinstance(node, ast.If) and dotted(node.test).endswith("TYPE_CHECKING"):
            typing_only |= {below for child in node.body for below in ast.walk(child)}
        if node in typing_only:
            continue
        if isinstance(node, ast.Import):
            yield from ((node, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            yield from ((node, f"{node.module}.{alias.name}") for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level:
            yield node, "a relative import"


def wrong_arrows() -> Iterator[str]:
    """List imports that the map of the house does not allow."""
    for path in files():
        module = ".".join(path.relative_to(ROOT).with_suffix("").parts)
        own = next(name for name in ARROWS if f"{module}.".startswith(f"{name}."))
        for node, target in imports(tree(path)):
            ours = target.split(".")[0] in PACKAGES or target.startswith("a relative")
            fits = any(f"{target}.".startswith(f"{name}.") for name in ARROWS[own])
            if ours and not fits:
                yield at(path.relative_to(ROOT), node, f"imports {target}")


RULES: list[Callable[[], Iterator[str]]] = [
    long_files,
    second_commits,
    http_exceptions,
    variables_read,
    unsafe_loading,
    vague_names,
    repeated_names,
    device_synchronisations,
    status_set_outside_the_catalog,
    wrong_arrows,
]


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_nothing_breaks_the_rule(rule: Callable[[], Iterator[str]]) -> None:
    broken = list(rule())

    assert not broken, f"{rule.__doc__}\n" + "\n".join(broken)


@pytest.mark.parametrize(
    "module",
    [
        "api.app",
        "catalog.jobs",
        "catalog.tables",
        "frostline",
        "frostline.cli",
        "trainer.importing.reading",
        "trainer.preprocessing",
        "trainer.spec.job",
        "trainer.transfer.ranking",
        "worker.queue",
        "worker.sweep",
        "worker.tasks",
    ],
)
def test_importing_it_loads_no_torch(module: str) -> None:
    program = f"import sys, {module}; sys.exit('torch' in sys.modules)"

    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, check=False
    )

    assert (done.returncode, done.stderr) == (0, b"")


def test_the_changelog_starts_with_the_version_of_the_project() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    text = (ROOT / "CHANGELOG.md").read_text()
    versions = re.findall(r"^## \[([^\]]+)\]", text, re.MULTILINE)
    released = [version for version in versions if version != "Unreleased"]

    assert released[0] == project["version"]


def test_no_version_is_listed_twice() -> None:
    text = (ROOT / "CHANGELOG.md").read_text()
    versions = Counter(re.findall(r"^## \[([^\]]+)\]", text, re.MULTILINE))

    assert set(versions.values()) == {1}


def tracked_texts() -> Iterator[Path]:
    """Yield the text files of the checkout; without git, those of the usual kinds."""
    listed = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    names = [name for name in listed.stdout.split("\0") if name]
    found = [ROOT / name for name in names] or list(files(EVERYWHERE))
    for path in found:
        if path.is_file() and b"\0" not in path.read_bytes()[:4096]:
            yield path


def test_no_file_names_a_path_of_one_persons_machine() -> None:
    personal = re.compile(r"(?<![\w.$}*])/(work|opt|home|root|Users)/|\.\./shared")

    found = [
        f"{path.relative_to(ROOT)}:{number}: {line.strip()}"
        for path in tracked_texts()
        for number, line in enumerate(path.read_text("utf-8").splitlines(), 1)
        if personal.search(line) and path != Path(__file__).resolve()
    ]

    assert not found, "\n".join(found)
