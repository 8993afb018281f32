"""The pages as a browser shows them: filled, without an error, from one server."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import (
    Browser,
    ConsoleMessage,
    Page,
    Request,
    expect,
    sync_playwright,
)

from frostline import Job
from tests.stack import Stack

CHROMIUM = next(filter(None, map(shutil.which, ["chromium", "google-chrome"])), None)
QUIET = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
PATIENCE = 30_000

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no chromium on PATH")


@dataclass
class Visit:
    """A page, what went wrong on it, and whom it asked."""

    page: Page
    errors: list[str] = field(default_factory=list)
    hosts: set[str | None] = field(default_factory=set)

    def __post_init__(self) -> None:
        """Note what the browser reports from now on."""
        self.page.set_default_timeout(PATIENCE)
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.page.on("console", self._said)
        self.page.on("request", self._asked)

    def _said(self, said: ConsoleMessage) -> None:
        if said.type == "error":
            self.errors.append(said.text)

    def _asked(self, asked: Request) -> None:
        self.hosts.add(
            urlsplit(asked.url).hostname
        )  # None for what a page holds itself


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Return a browser without a window."""
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=CHROMIUM, args=QUIET)
        yield started
        started.close()


@pytest.fixture
def visit(browser: Browser) -> Iterator[Visit]:
    """Return a fresh page."""
    page = browser.new_page()
    yield Visit(page)
    page.close()


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """Return a running stack: to a page, one database is like the other."""
    running = Stack(tmp_path_factory.mktemp("dashboard") / "data")
    running.start()
    yield running
    running.stop()


@pytest.fixture(scope="module")
def job(stack: Stack) -> Job:
    """Return a job that has succeeded on the stack."""
    with stack.client() as client:
        dataset = client.datasets.add_from("sklearn:iris", name="flowers")
        spec = {
            "name": "dashboard",
            "dataset": {"id": dataset.id, "target": "label"},
            "network": {"layers": [{"name": "hidden", "kind": "dense", "units": 8}]},
            "training": {"epochs": 3, "seed": 1},
        }
        return client.jobs.wait(client.jobs.submit(spec).id, seconds=90)


@pytest.mark.parametrize(
    ("address", "words"),
    [
        ("/", "succeeded"),
        ("/#/models", "dashboard"),
        ("/#/datasets", "flowers"),
        ("/#/train", "Train"),
        ("/docs", "/v1/jobs"),
    ],
)
def test_a_page_shows_what_there_is_and_asks_only_this_server(
    stack: Stack, job: Job, visit: Visit, address: str, words: str
) -> None:
    visit.page.goto(f"{stack.url}{address}")

    expect(visit.page.locator("body")).to_contain_text(words, timeout=PATIENCE)
    assert visit.errors == []
    assert visit.hosts - {None} == {"127.0.0.1"}


def test_a_job_is_reached_by_a_click_and_shows_its_layers(
    stack: Stack, job: Job, visit: Visit
) -> None:
    visit.page.goto(f"{stack.url}/")

    visit.page.get_by_role("link", name="dashboard").first.click()

    expect(visit.page.locator("h1")).to_contain_text("dashboard", timeout=PATIENCE)
    expect(visit.page.locator("main")).to_contain_text("hidden", timeout=PATIENCE)
    assert visit.errors == []
