"""The offline analyst as a lead: whom it sends, what it opens of the findings, and the report it makes of them."""

import json
import time
from datetime import timedelta
from typing import Any

import pytest

from tests.analyst_conversation import STARTED_AT, Conversation, calls, change, metric
from worker.domain.conversation import ToolRequest
from worker.domain.incident import TimeWindow
from worker.domain.orchestration import Approach, Plan
from worker.domain.report import Category, Submission
from worker.domain.states import ReportVerdict
from worker.domain.tooling import ToolContext
from worker.errors import ToolInputError
from worker.investigation.planning import Staff, parse_plan, planning_tools
from worker.investigation.roles import load_roles
from worker.tools.artifacts import read_artifact
from worker.tools.output import Answer, render, shorten

SHOWN_CHARS = 12_000
CARDS = load_roles().cards
SOURCES = dict.fromkeys(("metrics", "logs", "traces", "topology", "changes"), "90 rows")
RUNTIME, DEPENDENCY = "runtime_state_investigator", "dependency_investigator"
SLOW = [
    metric("stock", "latency_p50_ms", usual=10, now=110, score=30),
    metric("till", "latency_p50_ms", usual=30, now=130, score=20),
    metric("shop", "latency_p50_ms", usual=60, now=160, score=12),
]
CALM = [metric(entity, "latency_p50_ms", usual=20, now=20.3, score=1.1) for entity in ("shop", "till", "stock")]


def lead(*, roles: tuple[str, ...] = tuple(CARDS), forced: str | None = None, **sources: str) -> Conversation:
    tools = planning_tools([CARDS[role] for role in roles])
    return Conversation(offered=("read_artifact",), more=tools, forced=forced, sources=sources or SOURCES)


def triaged(conversation: Conversation) -> Plan:
    (request,) = conversation.requests()
    return parse_plan(request.name, request.arguments or {}, Staff(CARDS))


def answer(*rows: Any, **query: Any) -> str:
    """Return a result as a built-in tool writes it."""
    return render(Answer(query=query, rows=rows)).text


def measured(*rows: Any, **query: Any) -> dict[str, str]:
    return {"a1e1.1": answer(*rows, **query)}


TOPOLOGY = {
    "a2e1.1": json.dumps(
        {"query": {}, "rows": [{"entity": "shop", "caller_count": 0}], "edges": calls(("shop", "till"))["edges"]},
        separators=(",", ":"),
    )
}


def finding(role: str, *ids: str, **fields: Any) -> dict[str, Any]:
    """Return a finding as a lead is told it, which cites these results."""
    cited = [{"evidence_id": i, "quote": None} for i in ids]
    told = {"summary": "See there.", "strength": "moderate", "evidence": cited, "suspects": [], "ruled_out": []}
    return {"agent": 1, "role": role, "purpose": f"what {role} sees", **told, **fields}


def suspect(entity: str, *, quote: str | None = None, evidence_id: str = "a1e1.1", **fields: Any) -> dict[str, Any]:
    known = {"entity": entity, "category": "latency", "statement": f"{entity} waits.", "change_id": None}
    return {**known, "evidence": [{"evidence_id": evidence_id, "quote": quote}], **fields}


def told(*findings: dict[str, Any], conversation: Conversation | None = None) -> Conversation:
    return (conversation or lead()).told("triage", {"findings": findings})


def opens(conversation: Conversation, texts: dict[str, str]) -> tuple[ToolRequest, ...]:
    """Answer what it reads, as the tool does, until it asks for something else; return that."""

    def read(id_: str) -> str:
        if id_ not in texts:
            raise ToolInputError(f"there is no {id_}")
        return texts[id_]

    window = TimeWindow(start=STARTED_AT - timedelta(hours=1), end=STARTED_AT)
    context = ToolContext(window, time.monotonic() + 60, read_artifact=read)
    for _ in range(10):
        requests = conversation.requests()
        if requests[0].name != "read_artifact":
            return requests
        for request in requests:
            arguments = request.arguments or {}
            try:
                text = read_artifact().run(arguments, context).text
            except ToolInputError as error:
                conversation.said("read_artifact", str(error), arguments=arguments, is_error=True)
                continue
            shown = shorten(text, SHOWN_CHARS, artifact_id="art_1") or text
            conversation.said("read_artifact", shown, arguments=arguments)
    raise AssertionError("it does not stop reading")


def reported(conversation: Conversation, texts: dict[str, str]) -> Submission:
    """Return its report; a wish for one more wave comes to nothing."""
    (request,) = opens(conversation, texts)
    if request.name == "dispatch":
        conversation.said("dispatch", "no", is_error=True)
        (request,) = conversation.requests()
    assert request.name == "submit_report"
    return Submission.model_validate(request.arguments)


def test_each_kind_of_signal_has_one_who_looks_at_it() -> None:
    plan = triaged(lead(forced="triage", **SOURCES, recordings="recorded answers of: pods"))

    assert plan.approach is Approach.FAN_OUT
    assert [a.role for a in plan.sub_agents] == [
        RUNTIME,
        "error_signal_investigator",
        DEPENDENCY,
        "recent_change_investigator",
        "general_investigator",
    ]
    assert plan.sub_agents[2].boundary == "metrics, logs, changes, recordings"


def test_a_source_without_rows_and_a_role_that_is_not_there_are_left_out() -> None:
    sources = {**SOURCES, "logs": "no rows", "changes": "none"}

    plan = triaged(lead(roles=(RUNTIME, DEPENDENCY), forced="triage", **sources))

    assert [a.role for a in plan.sub_agents] == [RUNTIME, DEPENDENCY]


@pytest.mark.parametrize("sources", [("metrics",), ("metrics", "topology"), ("recordings",), ()])
def test_one_kind_of_signal_is_not_divided(sources: tuple[str, ...]) -> None:
    plan = triaged(lead(forced="triage", **(dict.fromkeys(sources, "90 rows") or {"topology": "3 entities"})))

    assert (plan.approach, plan.sub_agents) == (Approach.SINGLE, ())


def test_findings_are_opened_those_that_carry_most_first() -> None:
    weak, strong = finding(DEPENDENCY, "a2e1.1", "a2e2.1", strength="weak"), finding(RUNTIME, "a1e1.1")

    requests = told(weak, strong).requests()

    assert [r.arguments for r in requests] == [{"id": i} for i in ("a1e1.1", "a2e1.1", "a2e2.1")]


def test_of_a_long_result_the_part_that_was_not_shown_is_read_too() -> None:
    rows = [metric(f"service-{i}", "latency_p50_ms", score=100 - i) for i in range(60)]
    conversation = told(finding(RUNTIME, "a1e1.1"))

    opens(conversation, measured(*rows))

    asked = [r.arguments for r in conversation.record().results if r.tool == "read_artifact"]
    assert len(asked) > 1
    assert [a for a in asked if asked.count(a) > 1] == []
    assert {a["id"] for a in asked} == {"a1e1.1"}


def test_the_rows_behind_the_findings_are_ranked_together() -> None:
    conversation = told(finding(RUNTIME, "a1e1.1"), finding(DEPENDENCY, "a2e1.1"))
    edges = calls(("shop", "till"), ("till", "stock"))["edges"]
    topology = json.dumps({"query": {}, "rows": [{"entity": "shop", "caller_count": 0}], "edges": edges})

    report = reported(conversation, {**measured(*SLOW), "a2e1.1": topology.replace(" ", "")})

    assert report.verdict in {ReportVerdict.LIKELY, ReportVerdict.CONFIRMED}
    (cause,) = report.root_causes
    assert cause.entity == "stock"
    assert [c.evidence_id for c in cause.evidence] == ["a1e1.1"]
    assert str(cause.evidence[0].quote) in measured(*SLOW)["a1e1.1"]


def test_who_was_blamed_and_not_measured_closer_is_measured_in_one_more_wave() -> None:
    conversation = told(finding(RUNTIME, "a1e1.1", "a1e2.1"), finding(DEPENDENCY, "a2e1.1"))
    texts = {**measured(*SLOW[:1]), "a1e2.1": answer(SLOW[0], entity="stock"), **TOPOLOGY}

    (request,) = opens(conversation, texts)

    plan = parse_plan(request.name, request.arguments or {}, Staff(CARDS))
    assert [(a.role, a.focus) for a in plan.sub_agents] == [(RUNTIME, "shop, till")]


def test_where_all_were_measured_there_is_no_other_wave() -> None:
    conversation = told(finding(RUNTIME, "a1e1.1", "a1e2.1"))

    (request,) = opens(conversation, {**measured(SLOW[2]), "a1e2.1": answer(SLOW[2], entity="shop")})

    assert request.name == "submit_report"


def test_there_is_no_third_wave() -> None:
    conversation = told(finding(RUNTIME, "a1e1.1"))
    opens(conversation, measured(*SLOW))
    conversation.told("dispatch", {"findings": [finding(RUNTIME)]})

    assert [r.name for r in opens(conversation, {})] == ["submit_report"]


def test_where_no_row_deviates_nothing_was_wrong() -> None:
    report = reported(told(finding(RUNTIME, "a1e1.1")), measured(*CALM))

    assert (report.verdict, report.root_causes) == (ReportVerdict.NO_INCIDENT, ())
    assert {c.evidence_id for r in report.ruled_out for c in r.evidence} == {"a1e1.1"}


def test_findings_that_show_nothing_are_inconclusive_and_no_proof_of_calm() -> None:
    report = reported(told(finding(RUNTIME, "a9e9.9", strength="inconclusive")), {})

    assert report.verdict is ReportVerdict.INCONCLUSIVE


def test_on_its_last_turn_it_reports_what_the_findings_quote() -> None:
    quote = json.dumps(SLOW[0], separators=(",", ":"))
    conversation = told(finding(RUNTIME, suspects=[suspect("stock", quote=quote)]))

    (cause,) = conversation.submission().root_causes

    assert (cause.entity, cause.evidence[0].quote) == ("stock", quote)


def test_a_finding_of_which_no_row_can_be_seen_is_taken_at_its_word() -> None:
    blamed = suspect("stock", evidence_id="a1e2.1", category="config_change", change_id="c9")
    conversation = told(finding("general_investigator", "a1e2.1", strength="strong", suspects=[blamed]))

    report = reported(conversation, {"a1e2.1": answer({"line": "pool is exhausted"}, command="kubectl logs stock")})

    (cause,) = report.root_causes
    assert report.verdict is ReportVerdict.LIKELY
    assert (cause.entity, cause.category, cause.change_id) == ("stock", Category.CONFIG_CHANGE, "c9")
    assert [c.evidence_id for c in cause.evidence] == ["a1e2.1"]


def test_findings_that_agree_count_more_than_one_that_is_loud() -> None:
    loud = finding("one", strength="strong", suspects=[suspect("till", evidence_id="a1e1.1")])
    agreeing = [
        finding(role, strength="moderate", suspects=[suspect("stock", evidence_id=f"{i}.1")])
        for role, i in (("two", "a2e1"), ("three", "a3e1"), ("four", "a4e1"))
    ]

    report = reported(told(loud, *agreeing), {})

    assert [c.entity for c in report.root_causes] == ["stock", "till"]


def test_what_the_rows_show_outweighs_the_words_about_them() -> None:
    conversation = told(finding(RUNTIME, "a1e1.1", strength="strong", suspects=[suspect("shop")]))

    report = reported(conversation, measured(*CALM))

    assert report.verdict is ReportVerdict.NO_INCIDENT


def test_a_foreign_result_that_a_finding_calls_external_is_so() -> None:
    outage = {"events": [{"provider": "paywell", "status": "outage", "message": "Payments fail"}]}
    blamed = suspect("paywell", evidence_id="a1e1.1", category="external_provider")

    report = reported(
        told(finding("general_investigator", "a1e1.1", suspects=[blamed])), {"a1e1.1": json.dumps(outage)}
    )

    assert report.verdict is ReportVerdict.EXTERNAL
    assert (report.root_causes[0].entity, report.root_causes[0].category) == ("paywell", Category.EXTERNAL_PROVIDER)


def test_a_change_is_found_guilty_by_its_own_row() -> None:
    recent = change("c7", "stock", minutes=-2, title="shop is slow after this")
    conversation = told(finding(RUNTIME, "a1e1.1"), finding("recent_change_investigator", "a4e1.1"))

    report = reported(conversation, {**measured(SLOW[0]), "a4e1.1": answer(recent)})

    assert (report.root_causes[0].entity, report.root_causes[0].change_id) == ("stock", "c7")


@pytest.mark.parametrize(
    "row",
    [
        {"suspects": [{"entity": "stock", "statement": "It waits."}], "evidence": ["a1e1.1"]},
        {"suspects": ["stock"], "evidence": ["a1e1.1"]},
    ],
)
def test_a_finding_that_was_shortened_is_read_all_the_same(row: dict[str, Any]) -> None:
    report = reported(told(finding(RUNTIME, **row)), {})

    assert [c.entity for c in report.root_causes] == ["stock"]


def test_who_handed_in_nothing_is_a_gap_and_so_is_a_source_that_is_not_there() -> None:
    missing = {
        "agent": 2,
        "role": "error_signal_investigator",
        "purpose": "who complains",
        "not_done": "it was cancelled",
    }
    conversation = told(missing, finding(RUNTIME, "a1e1.1"), conversation=lead(metrics="90 rows", logs="90 rows"))

    gaps = {gap.wanted: gap.reason for gap in reported(conversation, measured(*CALM)).gaps}

    assert gaps["error_signal_investigator: who complains"] == "it was cancelled"
    assert "What list_changes would show" in gaps
    assert "What rank_log_patterns would show" not in gaps
