"""What the doctor says: of broken networks the fault, of healthy ones nothing."""

import pytest

from tests.trainer.doctor_cases import BROKEN, HEALTHY, cured, told, twin
from trainer.doctor.findings import CODES

CURABLE = [name for name, case in BROKEN.items() if case.curable]


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_network_is_named_rightly(name: str) -> None:
    case = BROKEN[name]

    findings = told(name).findings

    serious = [f["code"] for f in findings if f["severity"] != "info"]
    assert case.code in serious
    assert serious[0] == (case.first or case.code)
    assert set(serious) <= set(CODES)


@pytest.mark.parametrize("name", BROKEN)
def test_a_finding_has_evidence_and_a_patch_and_is_told_once(name: str) -> None:
    findings = told(name).findings

    told_of = [(f["code"], f["severity"]) for f in findings]
    assert len(set(told_of)) == len(told_of)
    assert all(f["evidence"] and f["detail"] for f in findings)
    assert all(f["patch"] for f in findings if f["severity"] != "info")


@pytest.mark.parametrize("name", HEALTHY)
def test_of_a_healthy_network_nothing_is_said_above_info(name: str) -> None:
    findings = told(name).findings

    assert [f for f in findings if f["severity"] != "info"] == []


@pytest.mark.parametrize("name", CURABLE)
def test_the_patch_makes_a_broken_network_as_good_as_its_healthy_twin(
    name: str,
) -> None:
    mended = cured(name)

    assert mended.score >= twin(name).score - 0.02
    assert [f for f in mended.findings if f["severity"] != "info"] == []


def test_a_training_that_diverges_says_why_before_it_fails() -> None:
    found = told("a learning rate of 1000")

    [finding] = [f for f in found.findings if f["code"] == "diverging"]
    assert found.failed == "diverged"
    assert finding["evidence"]["learning_rate"] == 1000.0
    assert finding["evidence"]["largest_gradient_norms"]
    assert finding["patch"]["training"]["optimizer"]["learning_rate"] < 1
