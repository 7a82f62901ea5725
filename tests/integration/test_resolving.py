"""Resolves: what closes an incident, what it does to the investigation, and that nothing vanishes."""

from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta
from itertools import count

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import func, select, update

from tests.builders import STARTED_AT, drain, incident, queue_of, run_step, submits_report
from tests.fakes import ScriptedModel, calls_tools
from worker import pipeline
from worker.domain.incident import IncidentEvent
from worker.domain.states import InvestigationStatus
from worker.errors import UserError
from worker.intake.events import Offer
from worker.services import Services
from worker.storage import investigations, reports
from worker.storage.incidents import Accepted
from worker.storage.tables import AgentRow, AlertRow, IncidentRow, InvestigationRow

Open = Callable[..., Services]
LOOKS = calls_tools(("run_command", {"command": "uptime", "purpose": "load"}))


def ended(title: str = "checkout p99 is high", minutes: int = 5, **fields: object) -> IncidentEvent:
    """Return the message that an alert is over."""
    return incident(title, ended_at=STARTED_AT + timedelta(minutes=minutes), resolved=True, **fields)


def take(services: Services, event: IncidentEvent) -> Accepted:
    return pipeline.accept(services, event, via="test")


def incident_row(services: Services, incident_id: str) -> IncidentRow:
    with services.database.transaction() as session:
        return session.get_one(IncidentRow, incident_id)


def status_of(services: Services, investigation_id: str) -> str:
    with services.database.transaction() as session:
        return investigations.get(session, investigation_id).status


def in_the_middle(open_services: Open, on_resolve: str) -> tuple[Services, ScriptedModel, Accepted]:
    """Return an investigation that has taken one turn and is due for its second."""
    model = ScriptedModel([LOOKS, LOOKS, submits_report()])
    services = open_services(model, rca_on_resolve=on_resolve)
    taken = take(services, incident())
    for _ in range(2):
        run_step(services, queue_of(services).take()[0])
    return services, model, taken


def test_a_resolve_closes_the_incident_and_the_investigation_goes_on(open_services: Open) -> None:
    services, model, taken = in_the_middle(open_services, "continue")

    said = take(services, ended())
    drain(services)

    assert (said.outcome, said.incident_id, said.investigation_id) == (
        "resolved",
        taken.incident_id,
        taken.investigation_id,
    )
    assert incident_row(services, taken.incident_id).status == "closed"
    assert incident_row(services, taken.incident_id).resolved_at is not None
    assert status_of(services, taken.investigation_id) == InvestigationStatus.COMPLETED
    assert model.calls_per_turn == {1: 1, 2: 1, 3: 1}


def test_the_running_agent_is_told_once(open_services: Open) -> None:
    services, model, _ = in_the_middle(open_services, "continue")

    take(services, ended())
    drain(services)

    told = [sum("this incident is over" in m.text for m in request.messages) for request in model.requests]
    assert told == [0, 1, 1]


def test_finish_makes_the_next_turn_the_last(open_services: Open) -> None:
    services, model, taken = in_the_middle(open_services, "finish")
    model.script[1] = submits_report(summary="It was the load.")

    take(services, ended())
    drain(services)

    assert [t.name for t in model.requests[1].tools] == ["submit_report"]
    assert model.calls_per_turn == {1: 1, 2: 1}
    with services.database.transaction() as session:
        assert reports.get(session, taken.investigation_id).summary == "It was the load."


def test_finish_ends_one_that_has_not_begun(open_services: Open) -> None:
    services = open_services(ScriptedModel([submits_report()]), rca_max_running=1, rca_on_resolve="finish")
    take(services, incident("first"))
    waiting = take(services, incident("second"))

    take(services, ended("second"))

    assert status_of(services, waiting.investigation_id) == InvestigationStatus.CANCELLED


def test_cancel_ends_the_investigation(open_services: Open) -> None:
    services, model, taken = in_the_middle(open_services, "cancel")

    take(services, ended())
    drain(services)

    assert status_of(services, taken.investigation_id) == InvestigationStatus.CANCELLED
    assert model.calls_per_turn == {1: 1}


def test_an_alert_after_the_resolve_opens_a_new_incident(open_services: Open) -> None:
    services = open_services(ScriptedModel([submits_report()]))
    first = take(services, incident())
    take(services, ended())

    again = take(services, incident(started_at=STARTED_AT + timedelta(minutes=9)))

    assert again.incident_id != first.incident_id
    assert again.outcome == "accepted"


def test_an_end_of_something_unknown_is_kept_and_opens_nothing(open_services: Open) -> None:
    services = open_services(ScriptedModel([submits_report()]))

    said = take(services, ended(idempotency_key="k"))
    again = take(services, ended(idempotency_key="k"))

    assert (said.outcome, said.investigation_id, again.outcome) == ("unmatched", "", "repeated")
    assert incident_row(services, said.incident_id).status == "closed"
    with services.database.transaction() as session:
        assert session.scalar(select(func.count()).select_from(InvestigationRow)) == 0
        assert session.scalar(select(func.count()).select_from(AlertRow)) == 1


def test_an_event_about_the_past_that_nobody_reported_is_investigated(open_services: Open) -> None:
    services = open_services(ScriptedModel([submits_report()]))
    past = incident(ended_at=STARTED_AT + timedelta(minutes=5))

    first, again = take(services, past), take(services, past)

    assert (first.outcome, again.outcome) == ("accepted", "folded")
    assert incident_row(services, first.incident_id).status == "open"


def test_an_end_without_the_word_resolves_what_was_going_on(open_services: Open) -> None:
    services = open_services(ScriptedModel([submits_report()]))
    first = take(services, incident())

    said = take(services, incident(ended_at=STARTED_AT + timedelta(minutes=5)))

    assert (said.outcome, said.incident_id) == ("resolved", first.incident_id)


def test_an_incident_of_two_alerts_is_over_when_both_are(open_services: Open) -> None:
    services = open_services(ScriptedModel([submits_report()]), rca_related_window_s=600)
    first = take(services, incident("latency", service="checkout"))
    second = take(services, incident("errors", service="checkout"))

    one = take(services, ended("latency", service="checkout"))
    between = incident_row(services, first.incident_id).status
    both = take(services, ended("errors", service="checkout"))

    assert second.incident_id == first.incident_id
    assert (one.resolution, between) == ("noted", "open")
    assert (both.resolution, both.incident_id) == ("closed", first.incident_id)
    assert incident_row(services, first.incident_id).status == "closed"


def test_an_alert_that_fires_again_before_the_others_end_keeps_it_open(open_services: Open) -> None:
    services = open_services(ScriptedModel([submits_report()]), rca_related_window_s=600)
    first = take(services, incident("latency", service="checkout"))
    take(services, incident("errors", service="checkout"))
    take(services, ended("latency", service="checkout"))
    take(services, incident("latency", service="checkout", started_at=STARTED_AT + timedelta(minutes=6)))

    take(services, ended("errors", service="checkout"))

    assert incident_row(services, first.incident_id).status == "open"


def test_a_late_word_of_an_earlier_end_closes_nothing(open_services: Open) -> None:
    services = open_services(ScriptedModel([submits_report()]))
    first = take(services, incident(started_at=STARTED_AT + timedelta(minutes=20)))

    said = take(services, ended(minutes=5))

    assert said.resolution == "noted"
    assert incident_row(services, first.incident_id).status == "open"


def test_a_burst_keeps_its_order(open_services: Open) -> None:
    services = open_services(ScriptedModel([submits_report()]))
    later = incident(started_at=STARTED_AT + timedelta(minutes=9))

    taken = pipeline.accept_many(services, [Offer(e, "test", None) for e in (incident(), ended(), later, ended())])

    assert [t.outcome for t in taken] == ["accepted", "resolved", "accepted", "resolved"]
    assert taken[0].incident_id == taken[1].incident_id != taken[2].incident_id
    assert taken[3].resolution == "noted"


def test_rows_from_before_are_resolved_by_the_incidents_own_fingerprint(open_services: Open) -> None:
    services = open_services(ScriptedModel([submits_report()]))
    first = take(services, incident())
    with services.database.transaction() as session:
        session.execute(update(AlertRow).values(fingerprint=None))

    assert take(services, ended()).incident_id == first.incident_id
    assert incident_row(services, first.incident_id).status == "closed"


def test_one_run_again_after_the_resolve_is_not_cut_short(open_services: Open) -> None:
    model = ScriptedModel([submits_report()])
    services = open_services(model, rca_on_resolve="finish")
    first = take(services, incident())
    drain(services)
    take(services, ended())
    model.script = [LOOKS, submits_report()]
    model.requests.clear()

    again = pipeline.rerun(services, first.investigation_id)
    drain(services)

    assert len(model.requests[0].tools) > 1
    assert not any("is over" in m.text for request in model.requests for m in request.messages)
    assert status_of(services, again) == InvestigationStatus.COMPLETED


def test_another_owners_end_closes_nothing(open_services: Open) -> None:
    services = open_services(ScriptedModel([submits_report()]))
    first = take(services, incident(user_path="/team/a"))

    said = take(services, ended(user_path="/team/b"))

    assert said.outcome == "unmatched"
    assert incident_row(services, first.incident_id).status == "open"


def test_a_rerun_starts_from_scratch_and_the_attempts_name_each_other(open_services: Open) -> None:
    model = ScriptedModel([LOOKS, submits_report()])
    services = open_services(model)
    first = take(services, incident())
    drain(services)

    again = pipeline.rerun(services, first.investigation_id)
    with pytest.raises(UserError, match=again):
        pipeline.rerun(services, first.investigation_id)
    drain(services)

    assert model.calls_per_turn == {1: 2, 2: 2}
    with services.database.transaction() as session:
        attempts = investigations.attempts_at(session, first.incident_id)
        assert reports.get(session, first.investigation_id).turns == reports.get(session, again).turns == 2
    assert [(a.id, a.attempt_no, a.retry_of) for a in attempts] == [
        (first.investigation_id, 1, None),
        (again, 2, None),
    ]


def test_one_that_runs_is_not_run_again(open_services: Open) -> None:
    services = open_services(ScriptedModel([submits_report()]))

    with pytest.raises(UserError, match="running"):
        pipeline.rerun(services, take(services, incident()).investigation_id)


_EXAMPLES = count()
"""All share a database; an address in memory, which was their number, comes again."""
ACTIONS = st.lists(st.sampled_from(["fire", "end", "work", "rerun", "cancel"]), min_size=1, max_size=14)


@given(actions=ACTIONS, on_resolve=st.sampled_from(["continue", "finish", "cancel"]))
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_whatever_happens_at_most_one_works_and_no_message_is_lost(
    open_services: Open, actions: list[str], on_resolve: str
) -> None:
    services = open_services(ScriptedModel([submits_report()]), rca_on_resolve=on_resolve)
    example = next(_EXAMPLES)
    name, sent, newest = f"alert {example} {'x'.join(actions)}", 0, ""
    owner = f"/p{example}"
    for number, action in enumerate(actions):
        at = STARTED_AT + timedelta(minutes=number)
        if action == "fire":
            sent, newest = sent + 1, take(services, incident(name, started_at=at, user_path=owner)).investigation_id
        elif action == "end":
            sent += 1
            take(services, incident(name, started_at=STARTED_AT, ended_at=at, resolved=True, user_path=owner))
        elif action == "work":
            drain(services)
        elif newest:
            with suppress(UserError):  # refused with a reason: nothing to do for it now
                (pipeline.rerun if action == "rerun" else pipeline.cancel)(services, newest)
        _require_order(services, owner, sent)


def _require_order(services: Services, owner: str, sent: int) -> None:
    with services.database.transaction() as session:
        alerts = session.scalars(select(AlertRow).where(AlertRow.user_path == owner)).all()
        incidents = session.scalars(select(IncidentRow).where(IncidentRow.user_path == owner)).all()
        rows = session.scalars(select(InvestigationRow).where(InvestigationRow.user_path == owner)).all()
        agents = session.scalars(select(AgentRow)).all()
    assert len(alerts) == sent
    assert sum(i.status == "open" for i in incidents) <= 1
    for found in incidents:
        fires = [a for a in alerts if a.incident_id == found.id and a.resolved_at is None]
        assert bool(fires) == (found.status == "open")
        assert (found.resolved_at is not None) == (found.status == "closed")
        assert sum(r.incident_id == found.id and r.finished_at is None for r in rows) <= 1
    live = {r.id for r in rows if r.finished_at is None}
    owned = {r.id for r in rows}
    assert all(a.investigation_id in live for a in agents if a.finished_at is None and a.investigation_id in owned)
