"""A lead, its sub-agents and its report in one process: real rows on both databases, scripted models, no queue."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.builders import drain, queue_of, submits_report
from tests.fakes import calls_tools, says
from tests.orchestra import (
    CHANGES,
    ENABLED,
    ERRORS,
    GENERAL,
    LOOKS,
    RUNTIME,
    Orchestra,
    finds,
    orchestrated_incident,
    sends,
    write_two_sources,
)
from worker import pipeline
from worker.domain.conversation import Usage
from worker.domain.incident import Severity
from worker.domain.report import Report
from worker.domain.states import AgentKind, AgentStatus, InvestigationStatus
from worker.errors import ModelRefusedError, ProviderAuthError, ProviderUnavailableError
from worker.services import Services
from worker.storage import children, investigations, reports
from worker.storage.tables import AgentRow, InvestigationRow

Open = Callable[..., Services]
LOOKS_AT_LOGS = calls_tools(("rank_log_patterns", {}))
CITED = [{"evidence_id": "a1e1.1", "quote": None}]


@pytest.fixture(scope="module")
def recorded_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_two_sources(tmp_path_factory.mktemp("recorded"))


@pytest.fixture
def open_orchestrated(open_services: Open, recorded_root: Path) -> Open:
    def build(model: Orchestra, **fields: Any) -> Services:
        return open_services(model, rca_recorded_root=recorded_root, **{**ENABLED, **fields})

    return build


def investigate(services: Services, **fields: Any) -> str:
    accepted = pipeline.accept(services, orchestrated_incident(**fields), via="test")
    drain(services, at_most=300)
    return str(accepted.investigation_id)


def row_of(services: Services, investigation_id: str) -> InvestigationRow:
    with services.database.transaction() as session:
        return investigations.get(session, investigation_id)


def report_of(services: Services, investigation_id: str) -> Report:
    row = row_of(services, investigation_id)
    assert row.status == InvestigationStatus.COMPLETED, (row.status, row.failure_class, row.failure_reason)
    with services.database.transaction() as session:
        return reports.get(session, investigation_id)


def agents_of(services: Services) -> list[AgentRow]:
    with services.database.transaction() as session:
        return sorted(session.query(AgentRow).all(), key=lambda a: a.agent_no)


def test_a_wave_of_sub_agents_ends_in_one_report(open_orchestrated: Open) -> None:
    model = Orchestra(
        {
            "lead": [sends(ERRORS, RUNTIME), submits_report(summary="The database waits.")],
            ERRORS: [LOOKS_AT_LOGS, finds("Lock waits.", evidence=["a1e1.1"])],
            RUNTIME: [LOOKS, finds("Latency rose tenfold.", evidence=["a2e1.1"])],
        }
    )
    services = open_orchestrated(model)

    report = report_of(services, investigate(services))

    assert report.summary == "The database waits."
    assert [(s.agent_no, s.role, s.status, s.strength) for s in report.sub_agents] == [
        (1, ERRORS, "done", "moderate"),
        (2, RUNTIME, "done", "moderate"),
    ]
    assert {e.id for e in report.evidence} == {"a1e1.1", "a2e1.1"}
    assert model.asked == dict.fromkeys([(part, turn) for part in ("lead", ERRORS, RUNTIME) for turn in (1, 2)], 1)


def test_each_role_is_asked_on_its_route_and_the_report_names_them(open_orchestrated: Open, tmp_path: Path) -> None:
    shipped = "---\nname: own_role\ndescription: Ours.\ntools: ['*']\nmodel: openai/gpt-4o\n---\nLook.\n"
    (tmp_path / "own.md").write_text(shipped)
    model = Orchestra(
        {"lead": [sends(RUNTIME, "own_role"), submits_report()], RUNTIME: [LOOKS, finds()], "own_role": [finds()]}
    )
    services = open_orchestrated(model, rca_roles_dir=tmp_path)

    report = report_of(services, investigate(services))

    assert model.routes == {
        "lead": "openai/gpt-4.1",
        RUNTIME: "openai/gpt-4.1-mini",
        "own_role": "openai/gpt-4o",
    }
    assert {role: report.models[role] for role in model.routes} == model.routes


def test_the_lead_reads_findings_as_the_result_of_its_plan(open_orchestrated: Open) -> None:
    model = Orchestra({"lead": [sends(ERRORS), submits_report()], ERRORS: [finds("Lock waits pile up.")]})
    services = open_orchestrated(model)

    investigate(services)

    synthesis = model.requests["lead"][-1]
    assert "Lock waits pile up." in synthesis.messages[-1].text
    assert "evidence_id" not in synthesis.messages[-1].text.partition("\n")[0]
    first = model.requests["lead"][0]
    assert synthesis.messages[: len(first.messages)] == first.messages
    assert synthesis.tools == first.tools


def test_a_second_wave_starts_from_results_of_the_first(open_orchestrated: Open) -> None:
    again = {"role": CHANGES, "purpose": "which change", "evidence": ["a1e1.1"]}
    model = Orchestra(
        {
            "lead": [
                sends(RUNTIME),
                sends(tool="dispatch", sub_agents=[again]),
                submits_report(summary="A pool was cut."),
            ],
            RUNTIME: [LOOKS, finds("Latency rose.")],
            CHANGES: [calls_tools(("list_changes", {})), finds("The pool.")],
        }
    )
    services = open_orchestrated(model)

    report = report_of(services, investigate(services))

    assert [(s.role, s.wave_no) for s in report.sub_agents] == [(RUNTIME, 1), (CHANGES, 2)]
    assert "latency_s" in "".join(m.text for m in model.requests[CHANGES][0].messages)


def test_a_third_wave_is_refused_to_the_lead(open_orchestrated: Open) -> None:
    waves = [sends(tool="dispatch", sub_agents=[{"role": RUNTIME, "purpose": f"wave {i}"}]) for i in (2, 3)]
    model = Orchestra({"lead": [sends(RUNTIME), *waves, submits_report()], RUNTIME: [finds()]})
    services = open_orchestrated(model)

    report = report_of(services, investigate(services))

    assert [s.wave_no for s in report.sub_agents] == [1, 2]
    assert "2 waves already" in model.requests["lead"][-1].messages[-1].text


@pytest.mark.parametrize(
    ("fields", "said"),
    [({"severity": Severity.LOW}, "the severity is low"), ({"labels": {}}, "there is one source to ask: commands")],
)
def test_a_small_incident_is_investigated_by_one_agent_without_a_triage(
    open_orchestrated: Open, fields: dict[str, Any], said: str
) -> None:
    model = Orchestra({"single": [submits_report(summary="All is well.")]})
    services = open_orchestrated(model)
    event = orchestrated_incident().model_copy(update=fields)

    accepted = pipeline.accept(services, event, via="test")
    drain(services)

    report = report_of(services, accepted.investigation_id)
    assert model.asked == {("single", 1): 1}
    assert model.routes == {"single": "openai/gpt-4.1-mini"}
    assert any(said in note for note in report.notes)


def test_a_triage_may_choose_one_agent_which_does_not_hear_of_it(open_orchestrated: Open) -> None:
    alone = calls_tools(("triage", {"approach": "single", "reason": "one service"}))
    model = Orchestra({"lead": [alone], "single": [LOOKS, submits_report()]})
    services = open_orchestrated(model)

    report = report_of(services, investigate(services))

    assert model.asked == {("lead", 1): 1, ("single", 1): 1, ("single", 2): 1}
    assert any("triage chose so: one service" in note for note in report.notes)
    assert {e.id for e in report.evidence} == {"e2.1"}


@pytest.mark.parametrize("error", [ProviderAuthError("no"), ModelRefusedError("no")])
def test_a_triage_that_fails_leaves_it_to_one_agent_and_says_why(open_orchestrated: Open, error: Exception) -> None:
    model = Orchestra({"lead": [error], "single": [submits_report()]})
    services = open_orchestrated(model)

    report = report_of(services, investigate(services))

    assert any("triage failed" in note for note in report.notes)


def test_one_agent_whose_triage_is_paid_for_does_not_wait_for_another_day(open_orchestrated: Open) -> None:
    alone = calls_tools(("triage", {"approach": "single", "reason": "one service"}))
    dear = alone.model_copy(update={"usage": Usage(input_tokens=26_000, output_tokens=10)})
    model = Orchestra({"lead": [dear], "single": [submits_report()]})
    services = open_orchestrated(model, rca_day_tokens=30_000)

    report = report_of(services, investigate(services))

    assert report.partial == "the fleet's budget of 30000 tokens a day is spent"


def test_two_bad_plans_leave_it_to_one_agent(open_orchestrated: Open) -> None:
    model = Orchestra({"lead": [sends("astrology"), says("I would rather not.")], "single": [submits_report()]})
    services = open_orchestrated(model)

    report = report_of(services, investigate(services))

    assert model.asked["lead", 2] == 1
    assert any("no plan that can be followed" in note for note in report.notes)


def test_a_sub_agent_that_fails_is_a_gap_and_its_sisters_count(open_orchestrated: Open) -> None:
    model = Orchestra(
        {
            "lead": [sends(ERRORS, RUNTIME, CHANGES), submits_report()],
            ERRORS: [ProviderAuthError("no access")],
            RUNTIME: [LOOKS, finds("Slow.")],
            CHANGES: [calls_tools(("list_changes", {})), says("Hm."), calls_tools(("submit_finding", {}))],
        }
    )
    services = open_orchestrated(model)

    report = report_of(services, investigate(services))

    missing = {s.role: s.missing for s in report.sub_agents}
    assert missing[RUNTIME] is None
    assert "provider_auth" in str(missing[ERRORS])
    assert "valid finding" in str(missing[CHANGES])
    assert {g.wanted.partition(":")[0] for g in report.gaps} >= {ERRORS, CHANGES}
    assert "a3e1.1" in {e.id for e in report.evidence}


def test_when_all_fail_no_cause_is_claimed_and_the_reasons_are_listed(open_orchestrated: Open) -> None:
    model = Orchestra(
        {
            "lead": [sends(ERRORS, RUNTIME), submits_report(verdict="confirmed")],
            ERRORS: [ProviderAuthError("no access")],
            RUNTIME: [says("Hm."), says("Hm.")],
        }
    )
    services = open_orchestrated(model)

    report = report_of(services, investigate(services))

    assert report.verdict == "inconclusive"
    assert "none of the 2 sub-agents" in str(report.partial)
    assert {g.wanted.partition(":")[0] for g in report.gaps} >= {ERRORS, RUNTIME}
    assert ("lead", 2) not in model.asked


def test_a_synthesis_that_fails_is_resumed_without_asking_a_sub_agent_again(open_orchestrated: Open) -> None:
    scripts: dict[str, Any] = {
        "lead": [sends(RUNTIME), ProviderAuthError("the key was taken away")],
        RUNTIME: [LOOKS, finds("Slow.")],
    }
    model = Orchestra(scripts)
    services = open_orchestrated(model)
    failed = investigate(services)
    assert row_of(services, failed).status == InvestigationStatus.FAILED

    scripts["lead"][1] = submits_report(summary="The database waits.")
    resumed = pipeline.retry(services, failed)
    drain(services)

    report = report_of(services, resumed)
    assert report.summary == "The database waits."
    assert [s.summary for s in report.sub_agents] == ["Slow."]
    assert {e.id for e in report.evidence} == {"a1e1.1"}
    assert model.asked == {("lead", 1): 1, ("lead", 2): 2, (RUNTIME, 1): 1, (RUNTIME, 2): 1}


def test_a_lead_that_writes_no_report_fails_and_a_retry_goes_on_from_the_findings(open_orchestrated: Open) -> None:
    scripts: dict[str, Any] = {
        "lead": [sends(RUNTIME), says("I am not sure."), says("Nor now."), submits_report(summary="At last.")],
        RUNTIME: [LOOKS, finds("Slow.")],
    }
    model = Orchestra(scripts)
    services = open_orchestrated(model)
    failed = investigate(services)
    assert row_of(services, failed).failure_class == "synthesis_failed"

    resumed = pipeline.retry(services, failed)
    drain(services)

    assert report_of(services, resumed).summary == "At last."
    assert set(model.asked.values()) == {1}


def test_one_cancelled_in_the_middle_of_a_wave_goes_on_with_the_rest_of_it(open_orchestrated: Open) -> None:
    scripts: dict[str, Any] = {
        "lead": [sends(ERRORS, RUNTIME), submits_report()],
        ERRORS: [finds("Errors.")],
        RUNTIME: [finds("Slow.")],
    }
    model = Orchestra(scripts)
    services = open_orchestrated(model)
    accepted = pipeline.accept(services, orchestrated_incident(), via="test")
    pipeline.take_turn(services, agents_of(services)[0].id, 1)
    first, second = agents_of(services)[1:]
    pipeline.take_turn(services, first.id, 1)
    pipeline.cancel(services, accepted.investigation_id)
    queue_of(services).take()

    resumed = pipeline.retry(services, accepted.investigation_id)
    drain(services)

    report = report_of(services, resumed)
    assert [(s.role, s.missing) for s in report.sub_agents] == [(ERRORS, None), (RUNTIME, None)]
    assert model.asked[ERRORS, 1] == model.asked[RUNTIME, 1] == 1
    assert second.kind == AgentKind.SUB


def test_a_sub_agent_cancelled_alone_is_a_gap_and_the_investigation_goes_on(open_orchestrated: Open) -> None:
    model = Orchestra(
        {"lead": [sends(ERRORS, RUNTIME), submits_report()], ERRORS: [finds("Errors.")], RUNTIME: [finds()]}
    )
    services = open_orchestrated(model)
    accepted = pipeline.accept(services, orchestrated_incident(), via="test")
    pipeline.take_turn(services, agents_of(services)[0].id, 1)
    pipeline.cancel_agent(services, accepted.investigation_id, agent_no=2)
    drain(services)
    with services.database.transaction() as session:
        queue_of(services)(children.rejoin_all(session))
    drain(services)

    report = report_of(services, accepted.investigation_id)

    assert {s.role: s.missing for s in report.sub_agents} == {ERRORS: None, RUNTIME: "it was cancelled"}


def test_the_same_call_of_two_sub_agents_runs_once(open_orchestrated: Open) -> None:
    model = Orchestra(
        {
            "lead": [sends(GENERAL, RUNTIME), submits_report()],
            GENERAL: [LOOKS, finds(evidence=["a1e1.1"])],
            RUNTIME: [LOOKS, finds(evidence=["a1e1.1"])],
        }
    )
    services = open_orchestrated(model)

    report = report_of(services, investigate(services))

    assert [e.status for e in report.evidence] == ["succeeded"]
    first, second = (model.requests[role][-1].messages[-1] for role in (GENERAL, RUNTIME))
    assert first.text.partition("\n")[0] == second.text.partition("\n")[0] == f"evidence_id: {report.evidence[0].id}"


def test_a_sub_agent_has_only_the_tools_of_its_role(open_orchestrated: Open) -> None:
    model = Orchestra({"lead": [sends(CHANGES), submits_report()], CHANGES: [LOOKS, finds()]})
    services = open_orchestrated(model)

    investigate(services)

    offered = {tool.name for tool in model.requests[CHANGES][0].tools}
    assert "rank_metric_changes" not in offered
    assert {"list_changes", "read_artifact", "submit_finding"} <= offered
    assert "There is no tool 'rank_metric_changes'" in model.requests[CHANGES][1].messages[-1].text


def test_a_verify_pass_that_refutes_the_cause_lowers_the_verdict(open_orchestrated: Open) -> None:
    cause = {"entity": "db", "category": "latency", "statement": "It waits.", "evidence": CITED}
    refuted = {"cause": 1, "entity": "db", "outcome": "refuted", "reason": "It began later.", "evidence": CITED}
    model = Orchestra(
        {
            "lead": [sends(RUNTIME), submits_report(verdict="likely", confidence="high", root_causes=[cause])],
            RUNTIME: [LOOKS, finds("Slow.", evidence=CITED)],
            "verify": [calls_tools(("submit_verification", {"checks": [refuted]}))],
        }
    )
    services = open_orchestrated(model, rca_verify=None)

    report = report_of(services, investigate(services))

    assert (report.verdict, report.submitted_verdict) == ("inconclusive", "likely")
    assert report.verification is not None
    assert [r.hypothesis for r in report.ruled_out] == ["It waits."]
    assert {u.purpose for u in report.usage} == {"orchestrator", "subagent", "verify"}


def test_a_verify_pass_that_cannot_be_asked_takes_nothing_away_and_says_so(open_orchestrated: Open) -> None:
    cause = {"entity": "db", "category": "latency", "statement": "It waits.", "evidence": CITED}
    model = Orchestra(
        {
            "lead": [sends(RUNTIME), submits_report(verdict="likely", confidence="high", root_causes=[cause])],
            RUNTIME: [LOOKS, finds("Slow.", evidence=CITED)],
            "verify": [ProviderUnavailableError("down")],
        }
    )
    services = open_orchestrated(model, rca_verify=None)

    report = report_of(services, investigate(services))

    assert report.verdict == "likely"
    assert report.verification is not None
    assert "provider_unavailable" in str(report.verification.problem)


def test_a_lead_that_waits_holds_no_claim(open_orchestrated: Open) -> None:
    model = Orchestra({"lead": [sends(RUNTIME), submits_report()], RUNTIME: [finds()]})
    services = open_orchestrated(model)
    pipeline.accept(services, orchestrated_incident(), via="test")

    pipeline.take_turn(services, agents_of(services)[0].id, 1)

    lead, child = agents_of(services)
    assert (lead.status, lead.claim_token, lead.wave_no) == (AgentStatus.WAITING_CHILDREN, None, 1)
    assert child.deadline_at < lead.deadline_at
    assert [w.queue for w in queue_of(services).take()] == ["rca", "subagents"]
