"""The main path in one process: real rows on both databases, a scripted model, no queue."""

from collections.abc import Callable

import pytest

from tests.builders import drain, incident, submits_report
from tests.fakes import ScriptedModel, calls_tools, says
from worker import pipeline
from worker.domain.states import InvestigationStatus
from worker.errors import EventError, ProviderAuthError
from worker.services import Services
from worker.storage import investigations, reports
from worker.storage.tables import InvestigationRow

Open = Callable[..., Services]


def investigation_of(services: Services, investigation_id: str) -> InvestigationRow:
    with services.database.transaction() as session:
        return investigations.get(session, investigation_id)


def test_an_event_becomes_a_stored_report_in_three_turns(open_services: Open) -> None:
    model = ScriptedModel(
        [
            calls_tools(("run_command", {"command": "uname -r", "purpose": "kernel"})),
            calls_tools(("run_command", {"command": "uptime", "purpose": "load"})),
            submits_report(summary="The kernel is fine."),
        ]
    )
    services = open_services(model)

    accepted = pipeline.accept(services, incident(), via="test")
    drain(services)

    with services.database.transaction() as session:
        report = reports.get(session, accepted.investigation_id)
    assert investigation_of(services, accepted.investigation_id).status == InvestigationStatus.COMPLETED
    assert report.summary == "The kernel is fine."
    assert [e.id for e in report.evidence] == ["e1.1", "e2.1"]
    assert model.calls_per_turn == {1: 1, 2: 1, 3: 1}


def test_a_rejected_key_fails_the_investigation_with_its_reason(open_services: Open) -> None:
    services = open_services(ScriptedModel([ProviderAuthError("the key was rejected")]))

    accepted = pipeline.accept(services, incident(), via="test")
    drain(services)

    row = investigation_of(services, accepted.investigation_id)
    assert (row.status, row.failure_class) == (InvestigationStatus.FAILED, "provider_auth")


def test_prose_instead_of_a_report_is_asked_again_then_published_as_partial(open_services: Open) -> None:
    services = open_services(ScriptedModel([says("I think it is DNS."), says("It is always DNS.")]))

    accepted = pipeline.accept(services, incident(), via="test")
    drain(services)

    with services.database.transaction() as session:
        report = reports.get(session, accepted.investigation_id)
    assert report.verdict == "inconclusive"
    assert report.partial == "the model did not hand in a valid report"


def test_an_artifact_that_is_not_there_is_told_to_the_model(open_services: Open) -> None:
    services = open_services(ScriptedModel([calls_tools(("read_artifact", {"id": "art_none"})), submits_report()]))

    accepted = pipeline.accept(services, incident(), via="test")
    drain(services)

    with services.database.transaction() as session:
        report = reports.get(session, accepted.investigation_id)
    assert [(e.status, "art_none" in e.excerpt) for e in report.evidence] == [("failed", True)]


def test_an_event_that_redaction_makes_too_long_is_refused_with_the_field(open_services: Open) -> None:
    services = open_services(ScriptedModel([]))
    title = "x" * 483 + " password=abcdef"

    with pytest.raises(EventError, match="title"):
        pipeline.accept(services, incident(title), via="test")
