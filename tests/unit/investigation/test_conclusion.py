"""From the rows of an investigation to its report, with a submission and without one."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.domain.incident import IncidentEvent, TimeWindow
from worker.domain.report import Category, Citation, Confidence, Denial, Evidence, Gap, RootCause, Submission
from worker.domain.states import ReportVerdict
from worker.errors import ToolInputError
from worker.investigation.conclusion import (
    MAX_GAPS,
    SUBMIT_REPORT,
    Material,
    conclude,
    parse_submission,
    salvage,
)

AT = datetime(2026, 3, 4, 10, 0, tzinfo=UTC)
WINDOW = TimeWindow(start=AT, end=AT + timedelta(hours=1))
ARGUMENTS: dict[str, Any] = {
    "verdict": "confirmed",
    "confidence": "high",
    "summary": "orders ran out of connections",
    "root_causes": [
        {
            "entity": "orders",
            "category": "resource_pool",
            "statement": "The pool is exhausted.",
            "evidence": [{"evidence_id": "e1.1", "quote": "4 of 4 busy"}],
        }
    ],
}


def found(evidence_id: str, tool: str = "search_logs", **changes: Any) -> Evidence:
    fields = {
        "id": evidence_id,
        "tool": tool,
        "arguments": {},
        "status": "succeeded",
        "window": WINDOW,
        "entities": ("orders",),
        "excerpt": "orders: 4 of 4 busy",
    }
    return Evidence(**(fields | changes))


def material(**changes: Any) -> Material:
    fields: dict[str, Any] = {
        "investigation_id": "inv_1",
        "incident_id": "inc_1",
        "event": IncidentEvent(title="504 at the gateway", service="gateway", severity="critical"),
        "window": WINDOW,
        "created_at": AT,
        "evidence": (found("e1.1"),),
    }
    return Material(**(fields | changes))


def test_a_submission_that_holds_becomes_the_report() -> None:
    report = conclude(material(submission=parse_submission(ARGUMENTS), turns=3, models={"rca": "p/m"}))

    assert report.verdict is ReportVerdict.CONFIRMED
    assert (report.title, report.service, report.severity) == ("504 at the gateway", "gateway", "critical")
    assert (report.submitted_verdict, report.check_failures, report.partial) == (None, (), None)
    assert (report.turns, report.models) == (3, {"rca": "p/m"})


@pytest.mark.parametrize(
    ("started", "ended", "holds"),
    [(30, None, True), (30, 40, True), (10, None, False), (30, 55, False), (None, None, False), (-9, 99, False)],
)
def test_no_incident_has_to_look_at_the_time_that_the_event_names(
    started: int | None, ended: int | None, *, holds: bool
) -> None:
    times = {"started_at": started, "ended_at": ended}
    moments = {name: AT + timedelta(minutes=at) for name, at in times.items() if at is not None}
    seen = TimeWindow(start=AT + timedelta(minutes=20), end=AT + timedelta(minutes=50))
    calm = {"hypothesis": "orders is slow", "reason": "It is not.", "evidence": [{"evidence_id": "e1.1"}]}
    submitted = {"verdict": "no_incident", "confidence": "high", "summary": "All is well.", "ruled_out": [calm]}

    report = conclude(
        material(
            submission=parse_submission(submitted),
            event=IncidentEvent(title="orders is slow", **moments),
            evidence=(found("e1.1", window=seen),),
        )
    )

    assert (report.verdict is ReportVerdict.NO_INCIDENT) == holds


def test_a_lowered_verdict_is_shown_with_what_was_claimed() -> None:
    report = conclude(material(submission=parse_submission(ARGUMENTS), evidence=(found("e1.1", excerpt="orders ok"),)))

    assert report.verdict is ReportVerdict.INCONCLUSIVE
    assert report.submitted_verdict is ReportVerdict.CONFIRMED
    assert report.check_failures


def test_a_quote_may_stand_anywhere_in_the_whole_text() -> None:
    evidence = (found("e1.1", excerpt="orders"),)
    texts = {"e1.1": "orders\n...\n4 of 4 busy"}

    report = conclude(material(submission=parse_submission(ARGUMENTS), evidence=evidence, full_texts=texts))

    assert report.verdict is ReportVerdict.CONFIRMED


def test_refused_and_failed_calls_are_gaps_after_the_models_own() -> None:
    own = Gap(wanted="traces", reason="none are kept")
    evidence = (
        found("e1.1"),
        found("e1.2", "find_traces", status="failed", excerpt="timed out\nlong details"),
        found("e1.3", "find_traces", status="failed", excerpt="timed out"),
        found("e1.4", "list_changes", status="failed", excerpt=""),
    )
    denials = (Denial(tool="run_command", command="rm -rf /", layer="signatures of harm", reason="deletes files"),)
    submitted = parse_submission(ARGUMENTS | {"gaps": [own.model_dump()]})

    report = conclude(material(submission=submitted, evidence=evidence, denials=denials))

    assert [(g.wanted, g.reason) for g in report.gaps] == [
        ("traces", "none are kept"),
        ("run_command: rm -rf /", "denied by signatures of harm: deletes files"),
        ("find_traces (2 calls)", "failed: timed out"),
        ("list_changes", "failed: the tool gave no reason"),
    ]
    assert report.denied == denials


def test_more_gaps_than_the_schema_holds_are_counted() -> None:
    denials = tuple(Denial(tool="t", command=str(n), layer="l", reason="r") for n in range(200))

    gaps = conclude(material(submission=parse_submission(ARGUMENTS), denials=denials)).gaps

    assert len(gaps) == MAX_GAPS
    assert gaps[-1].wanted == "151 more"


def test_without_a_submission_code_says_what_was_looked_at_and_names_no_cause() -> None:
    evidence = (
        found("e1.1", entities=("orders", "billing")),
        found("e1.2", "query_metrics", excerpt='{"row_count": 1, "rows": []}'),
        found("e1.3", "find_traces", status="failed", excerpt="timed out"),
    )

    report = conclude(material(evidence=evidence, partial="the budget of 20 turns is spent"))

    assert report.verdict is ReportVerdict.INCONCLUSIVE
    assert report.confidence is Confidence.LOW
    assert report.root_causes == report.contributing_factors == report.suggestions == ()
    assert report.partial == "the budget of 20 turns is spent"
    for fact in (
        "the budget of 20 turns is spent",
        "3 tool calls",
        "2026-03-04 10:00 to 2026-03-04 11:00 UTC",
        "1 failed, 2 succeeded",
        "search_logs (1 line, e1.1)",
        "query_metrics (1 row, e1.2)",
        "which is not a cause: orders (2)",
    ):
        assert fact in report.summary
    assert [g.wanted for g in report.gaps] == ["the cause of this incident", "find_traces"]


def test_without_any_evidence_code_says_that_too() -> None:
    report = conclude(material(evidence=()))

    assert "No tool was called" in report.summary
    assert report.partial == "the model handed in no report"


def test_a_salvaged_report_stays_marked_partial_and_checked() -> None:
    submitted = salvage(ARGUMENTS | {"timeline": [{"at": "noon", "text": "?"}]})

    report = conclude(material(submission=submitted, partial="parts of the report could not be read", evidence=()))

    assert report.partial == "parts of the report could not be read"
    assert report.verdict is ReportVerdict.INCONCLUSIVE
    assert report.root_causes[0].evidence == ()


@given(st.integers(0, 300), st.text(max_size=500), st.text(min_size=1, max_size=5000))
def test_a_report_by_code_fits_the_schema_whatever_happened(calls: int, excerpt: str, partial: str) -> None:
    statuses = ("succeeded", "failed", "denied")
    evidence = tuple(found(f"e{n}.1", excerpt=excerpt, status=statuses[n % 3]) for n in range(calls))

    report = conclude(material(evidence=evidence, partial=partial))

    assert type(report).model_validate(report.model_dump()) == report


def test_the_tool_asks_for_every_field_without_references() -> None:
    objects = list(_objects(SUBMIT_REPORT.parameters))

    assert SUBMIT_REPORT.name == "submit_report"
    assert len(objects) == 10
    for node in objects:
        assert node["required"] == list(node["properties"])
        assert node["additionalProperties"] is False
    assert not {"$ref", "$defs", "default", "maxLength", "maxItems"} & set(_keywords(SUBMIT_REPORT.parameters))


def _objects(node: Any) -> Any:
    if isinstance(node, dict):
        if node.get("type") == "object":
            yield node
        for value in node.values():
            yield from _objects(value)
    elif isinstance(node, list):
        for item in node:
            yield from _objects(item)


def _keywords(node: Any) -> set[str]:
    if isinstance(node, list):
        return set().union(*map(_keywords, node)) if node else set()
    return set(node).union(*map(_keywords, node.values())) if isinstance(node, dict) and node else set()


def test_an_error_names_each_wrong_field() -> None:
    wrong = {"verdict": "sure", "summary": "s", "root_causes": [{"entity": "a", "category": "b"}], "extra": 1}

    with pytest.raises(ToolInputError) as caught:
        parse_submission(wrong)

    for field in ("verdict", "confidence", "root_causes[0].category", "root_causes[0].statement", "extra"):
        assert f"- {field}: " in str(caught.value)


def test_many_errors_are_told_in_part() -> None:
    with pytest.raises(ToolInputError, match="and 26 more"):
        parse_submission(ARGUMENTS | {"gaps": [{"wanted": "", "reason": ""}] * 20, "impact": 3})


def test_what_models_often_send_and_clearly_mean_is_read() -> None:
    sent = ARGUMENTS | {
        "verdict": " Confirmed",
        "root_causes": [ARGUMENTS["root_causes"][0] | {"evidence": ["e1.1"], "causal_chain": None}],
        "timeline": '[{"at": "2026-03-04T10:00:00", "text": "began"}]',
        "gaps": None,
    }

    submitted = parse_submission(sent)

    assert submitted.verdict is ReportVerdict.CONFIRMED
    assert submitted.root_causes[0].evidence == (Citation(evidence_id="e1.1"),)
    assert submitted.timeline[0].at == AT
    assert submitted.gaps == ()


def test_salvage_keeps_the_good_parts_beside_the_bad() -> None:
    good = ARGUMENTS["root_causes"][0]
    saved = salvage(
        {
            "summary": "s" * 5000,
            "verdict": "very sure",
            "root_causes": [{"entity": "x"}, good, "text", good | {"category": "gremlins"}],
            "timeline": [{"at": "noon", "text": "?"}, {"at": "2026-03-04T10:00:00Z", "text": "began"}],
            "impact": {"not": "text"},
            "extra": 1,
        }
    )

    assert saved is not None
    assert (saved.verdict, saved.confidence) == (ReportVerdict.INCONCLUSIVE, Confidence.LOW)
    assert len(saved.summary) == 4000
    assert [c.category for c in saved.root_causes] == [Category.RESOURCE_POOL, Category.OTHER]
    assert [t.text for t in saved.timeline] == ["began"]


def test_salvage_takes_the_summary_from_the_first_cause() -> None:
    saved = salvage({"root_causes": ARGUMENTS["root_causes"]})

    assert saved is not None
    assert saved.summary == "The pool is exhausted."


@pytest.mark.parametrize("arguments", [{}, {"verdict": "confirmed"}, {"summary": "  "}, {"root_causes": [{}, 3]}])
def test_salvage_gives_up_where_nothing_is_said(arguments: dict[str, Any]) -> None:
    assert salvage(arguments) is None


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=10),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
names = st.sampled_from([*Submission.model_fields, *RootCause.model_fields, "evidence_id", "at", "junk"])
arguments = st.dictionaries(names, json_values | st.lists(st.dictionaries(names, json_values, max_size=5), max_size=3))


@given(arguments)
def test_salvage_and_parse_survive_any_arguments(sent: dict[str, Any]) -> None:
    try:
        parsed = parse_submission(sent)
    except ToolInputError:
        parsed = None
    saved = salvage(sent)

    assert parsed is None or saved == parsed
    assert saved is None or saved.summary
