"""What a report is made of: what was asked and seen, what was denied, why it is not whole, what came before a retry."""

from collections.abc import Callable, Sequence
from typing import Any

import pytest

from tests.builders import drain, incident, queue_of, report_arguments, run_step, submits_report
from tests.fakes import ScriptedModel, calls_tools, says
from tests.unit.spine.claims import claim_of
from worker import material, pipeline
from worker.domain.conversation import ModelAnswer
from worker.domain.transcript import Claim
from worker.errors import ProviderAuthError
from worker.investigation.conclusion import Material
from worker.services import Services
from worker.storage import artifacts

Open = Callable[..., Services]
UPTIME = ("run_command", {"command": "uptime", "purpose": "load"})
REBOOT = ("run_command", {"command": "rm -rf /", "purpose": "tidy up"})


def publishing(services: Services) -> Claim:
    """Run deliveries until a report is to be written; return the claim of that step."""
    while True:
        (wake_up,) = queue_of(services).take()
        if wake_up.task == "rca.publish":
            return claim_of(services, wake_up)
        run_step(services, wake_up)


def gathered(open_services: Open, script: Sequence[ModelAnswer | Exception]) -> Material:
    services = open_services(ScriptedModel(script))
    pipeline.accept(services, incident(), via="test")
    return material.gather(services, publishing(services).agent)


def test_evidence_is_what_was_put_to_a_tool_and_neither_the_report_nor_a_repetition(open_services: Open) -> None:
    found = gathered(open_services, [calls_tools(UPTIME), calls_tools(UPTIME), submits_report()])

    assert [e.id for e in found.evidence] == ["e1.1"]
    assert set(found.full_texts) == {"e1.1"}
    assert found.turns == 3


def test_a_denied_command_is_told_with_layer_and_reason(open_services: Open) -> None:
    found = gathered(open_services, [calls_tools(REBOOT), submits_report()])

    (denial,) = found.denials
    assert (denial.command, denial.layer) == ("rm -rf /", "signatures")
    assert denial.reason


def test_a_whole_report_is_not_partial(open_services: Open) -> None:
    found = gathered(open_services, [submits_report(summary="All is well.")])

    assert found.submission is not None
    assert (found.submission.summary, found.partial) == ("All is well.", None)


@pytest.mark.parametrize(
    ("answer", "summary"),
    [
        (says("It is DNS."), None),
        (calls_tools(("submit_report", {**report_arguments(), "verdict": "certain"})), "Nothing stands out."),
    ],
)
def test_what_is_left_of_a_bad_report_is_partial_and_says_why(
    open_services: Open, answer: ModelAnswer, summary: str | None
) -> None:
    found = gathered(open_services, [answer, answer])

    assert (found.submission.summary if found.submission else None) == summary
    assert found.partial == "the model did not hand in a valid report"


def test_notes_are_told_once_however_often_they_were_made(open_services: Open) -> None:
    noted = calls_tools(UPTIME).model_copy(update={"notes": ("a parameter was dropped",)})
    last = submits_report().model_copy(update={"notes": ("a parameter was dropped",)})

    found = gathered(open_services, [noted, last])

    assert [note for note in found.notes if "dropped" in note] == ["a parameter was dropped"]


def test_a_retry_has_the_evidence_and_the_artifacts_of_the_attempt_before(open_services: Open) -> None:
    script: list[Any] = [calls_tools(UPTIME), ProviderAuthError("no key")]
    services = open_services(ScriptedModel(script))
    first = pipeline.accept(services, incident(), via="test").investigation_id
    drain(services)
    with services.database.transaction() as session:
        kept = artifacts.add(session, first, evidence_id="e1.1", text="kept by the attempt before")
    services.model.script[1] = submits_report()  # type: ignore[attr-defined]  # the scripted one

    second = pipeline.retry(services, first)
    agent = publishing(services).agent
    found = material.gather(services, agent)

    assert (agent.investigation_id, [e.id for e in found.evidence]) == (second, ["e1.1"])
    with services.database.transaction() as session:
        rows = material._read(session, agent)
        own = material.investigations.lineage(session, agent.investigation_id)
        assert artifacts.read(session, own, kept) == "kept by the attempt before"
    assert rows.full_texts["e1.1"]
