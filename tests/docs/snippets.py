"""The fenced blocks of the documents, and a shell that runs them in order."""

import re
import subprocess
import sys
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
DOCUMENTS: list[Path] = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    *sorted((ROOT / "docs").glob("*.md")),
]
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
ADDRESS = "http://127.0.0.1:8000"
"""What the documents call the server."""


@dataclass(frozen=True)
class Snippet:
    """One fenced block."""

    document: str
    line: int
    language: str
    text: str

    def __str__(self) -> str:
        return f"{self.document}:{self.line}"


def snippets(path: Path) -> list[Snippet]:
    """Return the blocks of a document in order."""
    text = path.read_text()
    name = str(path.relative_to(ROOT))
    return [
        Snippet(name, text.count("\n", 0, found.start()) + 1, found[1], found[2])
        for found in FENCE.finditer(text)
    ]


def all_snippets() -> list[Snippet]:
    """Return the blocks of every document."""
    return [snippet for document in DOCUMENTS for snippet in snippets(document)]


class Shell:
    """A shell that stays, as a reader's does: variables and folders are kept."""

    def __init__(self, folder: Path, url: str, environment: Mapping[str, str]) -> None:
        self._url = url
        self.lines: set[int] = set()
        """Where the blocks begin that have run."""
        self._process = subprocess.Popen(
            ["bash", "--norc", "--noprofile"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            cwd=folder,
            env={
                **environment,
                "PATH": f"{Path(sys.executable).parent}:{environment['PATH']}",
                "FROSTLINE_URL": url,
            },
            text=True,
        )

    def run(self, snippet: Snippet) -> tuple[int, str]:
        """Run a block; return its exit status and what it wrote."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self.lines.add(snippet.line)
        end = uuid.uuid4().hex
        text = snippet.text.replace(ADDRESS, self._url)
        if snippet.language == "python":
            text = f"python - <<'{end}'\n{text}{end}\n"
        # A subshell would lose what the block sets; so errors are caught by a trap.
        script = f"failed=0; set -o pipefail; trap failed=1 ERR\n{text}\ntrap - ERR\n"
        self._process.stdin.write(f"{script}echo; echo {end} $failed\n")
        self._process.stdin.flush()
        written: list[str] = []
        for line in self._process.stdout:
            if line.startswith(end):
                return int(line.split()[1]), "".join(written)
            written.append(line)
        return 1, "".join(written)

    def close(self) -> None:
        """End the shell."""
        self._process.communicate("exit\n", timeout=10)
