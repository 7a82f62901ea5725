"""Findings: what is taken as one, and how a lead reads many."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.domain.orchestration import Assignment, Contribution, Finding, Strength, gathered
from worker.domain.report import Category, Citation
from worker.errors import ToolInputError
from worker.investigation.findings import SUBMIT_FINDING, parse_finding, render_findings

SUSPECT = {"entity": "db", "category": "latency", "statement": "It waits.", "evidence": ["a1e1.1"]}
AMPLE = 1_000_000


def contribution(agent_no: int, **fields: Any) -> Contribution:
    known = {
        "agent_id": f"agt_{agent_no}",
        "agent_no": agent_no,
        "wave_no": 1,
        "status": "done",
        "model": "test/m",
        "turns": 2,
        "assignment": Assignment(role="errors", purpose=f"question {agent_no}"),
        "finding": Finding(summary="It is the database. " * 20, strength=Strength.MODERATE),
    }
    return Contribution(**{**known, **fields})


def rows_of(text: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(text)["findings"]
    return found


def test_a_finding_is_read_with_bare_ids_and_any_case() -> None:
    finding = parse_finding({"summary": "Slow.", "strength": " Strong ", "evidence": ["a1e1.1"], "suspects": [SUSPECT]})

    assert finding.strength is Strength.STRONG
    assert finding.evidence == (Citation(evidence_id="a1e1.1"),)
    assert finding.suspects[0].category is Category.LATENCY


@pytest.mark.parametrize(
    ("arguments", "field"),
    [({"strength": "strong"}, "summary"), ({"summary": "x", "strength": "certain"}, "strength"), ({}, "summary")],
)
def test_what_is_wrong_is_named(arguments: dict[str, Any], field: str) -> None:
    with pytest.raises(ToolInputError, match=field):
        parse_finding(arguments)


def test_every_field_of_the_tool_is_required_and_none_added() -> None:
    assert set(SUBMIT_FINDING.parameters["required"]) == set(Finding.model_fields)
    assert SUBMIT_FINDING.parameters["additionalProperties"] is False


def test_a_lead_reads_who_found_what_and_how_sure_that_is() -> None:
    (row,) = rows_of(render_findings([contribution(1)], limit_chars=AMPLE))

    assert (row["agent"], row["role"], row["purpose"], row["strength"]) == (1, "errors", "question 1", "moderate")
    assert "not_done" not in row


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"finding": gathered("it was cancelled", []), "reason": "it was cancelled"}, "it was cancelled"),
        ({"finding": None}, "still at work"),
        ({"is_late": True}, "still at work"),
    ],
)
def test_what_was_not_done_says_so(fields: dict[str, Any], said: str) -> None:
    (row,) = rows_of(render_findings([contribution(1, **fields)], limit_chars=AMPLE))

    assert said in row["not_done"]


def test_a_late_finding_tells_nothing_of_what_it_found() -> None:
    (row,) = rows_of(render_findings([contribution(1, is_late=True)], limit_chars=AMPLE))

    assert "summary" not in row


def test_over_the_limit_the_weakest_shrink_first() -> None:
    strengths = [Strength.STRONG, Strength.WEAK, Strength.MODERATE]
    found = [
        contribution(i, finding=Finding(summary="s", strength=s, follow_ups=("why",) * 10))
        for i, s in enumerate(strengths, 1)
    ]
    whole = len(render_findings(found, limit_chars=AMPLE))

    rows = rows_of(render_findings(found, limit_chars=whole - 20))

    assert ["follow_ups" in row for row in rows] == [True, False, True]


def test_of_equals_the_oldest_shrinks_first() -> None:
    found = [contribution(i, finding=Finding(summary="s", strength="weak", follow_ups=("why",) * 9)) for i in (1, 2)]
    whole = len(render_findings(found, limit_chars=AMPLE))

    rows = rows_of(render_findings(found, limit_chars=whole - 20))

    assert ["follow_ups" in row for row in rows] == [False, True]


@given(st.lists(st.sampled_from(Strength), min_size=1, max_size=12), st.integers(min_value=0, max_value=20_000))
def test_no_finding_is_ever_left_out(strengths: list[Strength], limit: int) -> None:
    found = [
        contribution(i, finding=Finding(summary="It waits for the pool. " * 40, strength=s))
        for i, s in enumerate(strengths, 1)
    ]

    text = render_findings(found, limit_chars=limit)

    assert [row["agent"] for row in rows_of(text)] == list(range(1, len(found) + 1))
    assert len(text) <= max(limit, 500 * len(found))


def test_what_code_writes_claims_nothing() -> None:
    finding = gathered("its time ran out", ["a1e1.1", "a1e2.1"])

    assert finding.strength is Strength.INCONCLUSIVE
    assert "its time ran out" in finding.summary
    assert [c.evidence_id for c in finding.evidence] == ["a1e1.1", "a1e2.1"]
    assert not finding.suspects


def test_a_finding_keeps_only_citations_of_results_there_are() -> None:
    evidence = [{"evidence_id": "a1e1.1"}, {"evidence_id": "e99.9"}]
    finding = Finding.model_validate(
        {"summary": "s", "strength": "strong", "evidence": evidence, "suspects": [{**SUSPECT, "evidence": evidence}]}
    )

    held = finding.citing_only({"a1e1.1"})

    assert [c.evidence_id for c in held.evidence] == ["a1e1.1"]
    assert [c.evidence_id for c in held.suspects[0].evidence] == ["a1e1.1"]
    assert held.strength is Strength.STRONG


@pytest.mark.parametrize(
    ("said", "counts_as"),
    [("strong", "weak"), ("moderate", "weak"), ("weak", "weak"), ("inconclusive", "inconclusive")],
)
def test_a_finding_that_rests_on_nothing_is_weak_at_most(said: str, counts_as: str) -> None:
    finding = Finding(summary="s", strength=Strength(said), evidence=(Citation(evidence_id="e99.9"),))

    assert finding.citing_only(()).strength == counts_as
