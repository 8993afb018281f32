"""The dashboard in a real browser, against a running stack."""

import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

from tests.stack import Stack

pytestmark = [
    pytest.mark.parametrize("stack", ["sqlite"], indirect=True),
    pytest.mark.timeout(180),
]

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
]
SLOW_MILLISECONDS = 60_000
NASTY = '<img src=x onerror="document.title=`owned`">'


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Return a browser, if the machine has one."""
    if CHROMIUM is None:
        pytest.skip("no chromium on this machine")
    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield opened
        opened.close()


@pytest.fixture
def page(browser: Browser, stack: Stack) -> Iterator[Page]:
    """Return a tab at the dashboard; an error of the page fails the test."""
    opened = browser.new_page()
    opened.set_default_timeout(SLOW_MILLISECONDS)
    expect.set_options(timeout=SLOW_MILLISECONDS)
    errors: list[str] = []
    opened.on("pageerror", lambda error: errors.append(str(error)))
    elsewhere: list[str] = []
    opened.on(
        "request",
        lambda sent: (
            elsewhere.append(sent.url)
            if not sent.url.startswith((stack.url, "data:", "blob:"))
            else None
        ),
    )
    opened.goto(stack.url)
    yield opened
    opened.close()
    assert errors == []
    assert elsewhere == [], "the page works offline"


@pytest.fixture
def digits(stack: Stack) -> str:
    """Return the name of a data set that is there."""
    with stack.client() as client:
        found = client.datasets.add_from("sklearn:digits")
    return f"{found.name}@{found.version}"


def test_it_says_that_a_worker_is_there(page: Page) -> None:
    expect(page.get_by_role("status").first).to_have_text("1 worker")
    expect(page.get_by_role("heading", level=1)).to_have_text("Jobs")


def test_a_job_is_put_together_checked_and_watched(
    page: Page, digits: str, stack: Stack
) -> None:
    page.get_by_role("link", name="Train", exact=True).click()
    page.get_by_label("name", exact=True).first.fill("from-a-browser")
    page.get_by_label("data set", exact=True).select_option(digits)
    page.get_by_label("epochs", exact=True).first.fill("3")

    page.get_by_role("button", name="Check").click()
    expect(page.get_by_role("table")).to_contain_text("output")

    page.get_by_role("button", name="Train", exact=True).click()
    expect(page.get_by_role("heading", level=1)).to_have_text("from-a-browser")
    expect(page.get_by_text("succeeded").first).to_be_visible()
    expect(page.get_by_role("img", name="loss by step")).to_be_visible()

    page.get_by_role("link", name="mdl_").first.click()
    expect(page.get_by_role("heading", level=1)).to_contain_text("from-a-browser@")
    expect(page.get_by_label("Rows as JSON")).not_to_have_value("")
    page.get_by_role("button", name="Predict").click()
    expect(page.locator("pre").first).to_contain_text("probabilities")


def test_advice_fills_the_form_and_can_be_trained(page: Page, digits: str) -> None:
    page.get_by_role("link", name="Train", exact=True).click()
    page.get_by_label("data set", exact=True).select_option(digits)
    page.get_by_text("Advice: say what matters").click()
    page.get_by_label("very fast model").check()

    page.get_by_role("button", name="Advise").click()

    expect(page.get_by_role("table").first).to_contain_text("leaky_relu")
    expect(page.get_by_label("The spec")).to_have_value(re.compile('"leaky_relu"'))
    expect(page.get_by_label("optimizer", exact=True)).to_have_value("nesterov")
    page.get_by_role("button", name="Check").click()
    expect(page.get_by_text("It would be trained like this")).to_be_visible()


def test_what_is_wrong_with_a_spec_is_shown_at_its_place(page: Page) -> None:
    page.goto(f"{page.url.partition('#')[0]}#/train")
    page.get_by_label("The spec").fill('{"name": "a", "dataset": {"id": "none"}}')

    page.get_by_role("button", name="Check").click()

    expect(page.get_by_role("alert")).to_contain_text("/network")


@pytest.mark.parametrize(
    ("label", "family"),
    [("optimizer", "optimizers"), ("loss", "losses"), ("averaging", "averaging")],
)
def test_every_technique_of_the_server_can_be_chosen(
    page: Page, stack: Stack, label: str, family: str
) -> None:
    techniques = httpx.get(f"{stack.url}/v1/techniques").json()["data"]
    found = next(f for f in techniques if f["family"] == family)
    page.get_by_role("link", name="Train", exact=True).click()

    options = page.get_by_label(label, exact=True).locator("option")

    expect(options).to_have_count(len(found["kinds"]) + 1)


def test_the_form_writes_augmentation_early_stopping_and_phases(
    page: Page, digits: str
) -> None:
    page.get_by_role("link", name="Train", exact=True).click()
    page.get_by_label("name", exact=True).first.fill("from-the-form")
    page.get_by_label("data set", exact=True).select_option(digits)
    page.get_by_text("early stopping", exact=True).click()
    page.get_by_label("patience", exact=True).first.fill("3")
    page.get_by_text("Augmentation", exact=True).click()
    page.get_by_role("button", name="Add an augmentation").click()
    page.get_by_role("button", name="Add a phase").click()
    page.get_by_role("button", name="Add a phase").click()
    page.get_by_text("what differs in it").first.click()
    page.get_by_label("train", exact=True).first.fill("output")

    written = json.loads(page.get_by_label("The spec").input_value())

    assert written["training"]["early_stopping"] == {"patience": 3}
    assert written["training"]["augmentation"] == [{"kind": "noise"}]
    assert written["phases"] == [{"train": "output"}, {}]
    page.get_by_role("button", name="Check").click()
    expect(page.get_by_text("It would be trained like this")).to_be_visible()


def test_a_file_is_uploaded(page: Page, tmp_path: Path) -> None:
    table = tmp_path / "table.csv"
    table.write_text("a,b,kind\n" + "1,2,x\n3,4,y\n" * 20)
    page.get_by_role("link", name="Data sets").click()
    page.get_by_label("Files").set_input_files(table)
    page.get_by_label("Name", exact=True).fill("from-a-browser")
    page.get_by_label("Target").fill("kind")

    page.get_by_role("button", name="Add").click()

    expect(page.get_by_role("heading", level=1)).to_contain_text("from-a-browser@")
    expect(page.get_by_role("table")).to_contain_text("category")


def test_sources_are_ranked_on_the_page_of_a_data_set(
    page: Page, digits: str, stack: Stack
) -> None:
    page.goto(f"{stack.url}/#/datasets/{digits}")
    page.get_by_label("Examples per class").fill("10")

    page.get_by_role("button", name="Rank the models").click()

    ranked = page.get_by_role("region", name="Sources, best first")
    expect(ranked).to_contain_text("the inputs themselves")
    expect(ranked).to_contain_text("Accuracy")


def test_text_of_a_person_is_never_markup(
    page: Page, digits: str, stack: Stack
) -> None:
    spec = {
        "name": "plain",
        "description": NASTY,
        "tags": [NASTY],
        "dataset": {"id": digits},
        "network": {"layers": []},
        "training": {"epochs": 1},
    }
    with stack.client() as client:
        job = client.jobs.wait(client.jobs.submit(spec).id)
        client.models.update(job.model or "", description=NASTY)
    base = page.url.partition("#")[0]

    page.goto(f"{base}#/models/{job.model}")

    expect(page.get_by_text(NASTY).first).to_be_visible()
    assert page.locator("img[src=x]").count() == 0
    page.goto(f"{base}#/jobs/{job.id}")
    expect(page.get_by_role("heading", level=1)).to_have_text("plain")
    assert "owned" not in page.title()


def test_it_is_used_by_keyboard_alone(page: Page) -> None:
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to the content")).to_be_focused()
    page.get_by_role("link", name="Models").focus()

    page.keyboard.press("Enter")

    expect(page.get_by_role("heading", level=1)).to_have_text("Models")
    expect(page.locator("main")).to_be_focused()


def test_every_control_has_a_name(page: Page) -> None:
    page.get_by_role("link", name="Train", exact=True).click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Train a network")

    nameless = page.eval_on_selector_all(
        "input, select, textarea, button",
        """found => found.filter(one => !one.labels?.length && !one.textContent.trim()
            && !one.getAttribute("aria-label")).map(one => one.outerHTML)""",
    )

    assert nameless == []


def test_a_finding_is_shown_and_its_fix_is_one_click(
    page: Page, digits: str, stack: Stack
) -> None:
    layers = [{"kind": "dense", "units": 20}] * 2
    spec = {
        "name": "all-zero",
        "dataset": {"id": digits},
        "network": {"layers": layers, "defaults": {"initializer": "zeros"}},
        "training": {"epochs": 3},
    }
    with stack.client() as client:
        job = client.jobs.submit(spec)
        client.jobs.wait(job.id, seconds=60)
    page.goto(f"{page.url.partition('#')[0]}#/jobs/{job.id}")

    finding = page.get_by_role("listitem").filter(has_text="poor initialization")
    expect(finding.first).to_contain_text("critical")
    expect(page.get_by_text("Health of the layers")).to_be_visible()
    finding.first.get_by_role("button", name="Clone with this fix").click()

    expect(page).not_to_have_url(re.compile(job.id))
    expect(page.get_by_text("succeeded").first).to_be_visible()
