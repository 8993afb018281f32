"""What the documents tell a reader to type works, and what they show is right."""

import json
import os
from collections.abc import Iterator

import pytest
import yaml

from tests.docs.snippets import ROOT, Shell, Snippet, all_snippets
from tests.stack import Stack
from trainer.spec.job import JobSpec

ELSEWHERE = {
    "make demo": "tests/e2e/test_demo.py",
    "make install": "scripts/install.py, before any test",
    "make test": "these tests themselves",
    "docker compose": "tests/compose/run.sh",
    "frostline up": "tests/e2e/test_up.py",
}
"""What a block may begin a line with instead of being run here, and who runs it."""

SHELL = ("sh", "python")


def elsewhere(snippet: Snippet) -> bool:
    """Tell whether another test runs a block."""
    lines = snippet.text.splitlines()
    return any(line.startswith(tuple(ELSEWHERE)) for line in lines)


typed = [s for s in all_snippets() if s.language in SHELL and not elsewhere(s)]
specs = [
    s
    for s in all_snippets()
    if s.language in {"yaml", "json"} and "network" in s.text and "name" in s.text
]


@pytest.fixture(scope="module")
def shells(stack: Stack) -> Iterator[dict[str, Shell]]:
    """Return a shell for each document, in the folder of the checkout."""
    documents = {snippet.document for snippet in typed}
    environment = {**os.environ, "FROSTLINE_ZOO": str(stack.folder / "zoo")}
    found = {name: Shell(ROOT, stack.url, environment) for name in documents}
    yield found
    for shell in found.values():
        shell.close()


@pytest.mark.timeout(240)
@pytest.mark.parametrize("stack", ["sqlite"], indirect=True)
@pytest.mark.parametrize("snippet", typed, ids=str)
def test_what_a_reader_types_works(snippet: Snippet, shells: dict[str, Shell]) -> None:
    shell = shells[snippet.document]
    for earlier in typed:  # a block stands on those before it, also when it runs alone
        same = earlier.document == snippet.document
        if same and earlier.line < snippet.line and earlier.line not in shell.lines:
            shell.run(earlier)

    status, written = shell.run(snippet)

    assert status == 0, written
    assert "Traceback" not in written
    assert '"request_id":' not in written, "a problem document"


@pytest.mark.parametrize("snippet", specs, ids=str)
def test_a_spec_that_is_shown_is_valid(snippet: Snippet) -> None:
    read = json.loads if snippet.language == "json" else yaml.safe_load
    JobSpec.model_validate(read(snippet.text))


@pytest.mark.parametrize("snippet", all_snippets(), ids=str)
def test_a_block_says_its_language(snippet: Snippet) -> None:
    assert snippet.language in {*SHELL, "yaml", "json", "text"}
