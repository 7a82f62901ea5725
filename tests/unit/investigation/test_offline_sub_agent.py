"""The offline analyst as a sub-agent: its own tools, its task, and a finding that its lead can use."""

from typing import Any

from tests.analyst_conversation import Conversation, calls, change, metric, pattern
from tests.analyst_loop import ROUTE
from worker.domain.conversation import ModelRequest, UserMessage
from worker.domain.orchestration import Assignment, Finding, Strength
from worker.domain.report import Category
from worker.investigation.findings import SUBMIT_FINDING, parse_finding
from worker.investigation.offline.analyst import OfflineAnalyst
from worker.investigation.prompts import render_prompt
from worker.investigation.quotes import QuotedText

SLOW = metric("stock", "latency_p50_ms", usual=10, now=110, score=30)
QUIET = metric("shop", "latency_p50_ms", usual=20, now=20.3, score=1.1)


def sub_agent(*offered: str, **assigned: str) -> Conversation:
    assignment = Assignment(role="any", purpose="What is wrong?", **assigned)
    task = render_prompt("assignment", assignment=assignment, window=None, known="")
    return Conversation(offered=offered, ending=SUBMIT_FINDING, task=task)


def asked(conversation: Conversation) -> list[tuple[str, Any]]:
    return [(r.name, (r.arguments or {}).get("entity")) for r in conversation.requests()]


def found(conversation: Conversation) -> Finding:
    """Return what it hands in when this is its last turn."""
    (request,) = conversation.requests(is_last=True)
    assert request.name == SUBMIT_FINDING.name
    return parse_finding(request.arguments or {})


def test_it_asks_what_its_role_has_and_nothing_else() -> None:
    assert asked(sub_agent("rank_log_patterns", "search_logs")) == [("rank_log_patterns", None)]


def test_what_its_task_leaves_to_others_it_does_not_ask() -> None:
    conversation = sub_agent("rank_metric_changes", "list_changes", "pods", boundary="metrics, changes")

    assert asked(conversation) == [("pods", None)]


def test_a_boundary_in_whole_words_takes_no_tool_away() -> None:
    conversation = sub_agent("rank_metric_changes", boundary="the metrics of other services, and logs")

    assert asked(conversation) == [("rank_metric_changes", None)]


def test_it_measures_first_what_its_task_names() -> None:
    conversation = sub_agent("rank_metric_changes", focus="till, stock, anything slow")

    assert [entity for _, entity in asked(conversation)] == [None, "till", "stock"]


def test_it_looks_closer_at_its_own_suspects() -> None:
    conversation = sub_agent("rank_metric_changes").rows("rank_metric_changes", SLOW)

    assert ("rank_metric_changes", "stock") in asked(conversation)


def test_a_suspect_carries_what_speaks_against_it_word_for_word() -> None:
    conversation = sub_agent("rank_metric_changes").rows("rank_metric_changes", SLOW, QUIET)
    text = QuotedText(conversation.record().results[0].text)

    finding = found(conversation)

    (suspect, *_) = finding.suspects
    assert (suspect.entity, suspect.category) == ("stock", Category.LATENCY)
    assert all(c.evidence_id == "e1.1" and c.quote and text.holds(c.quote) for c in suspect.evidence)
    assert finding.summary == suspect.statement
    assert any("stock" in question for question in finding.follow_ups)


def test_a_change_near_the_onset_is_a_weak_finding_that_names_it() -> None:
    recent = change("c7", "stock", minutes=-2, title="shop is slow after this")

    finding = found(sub_agent("list_changes").rows("list_changes", recent))

    assert (finding.strength, finding.suspects[0].change_id) == (Strength.WEAK, "c7")


def test_one_clear_kind_of_signal_is_moderate_and_nothing_at_all_inconclusive() -> None:
    assert found(sub_agent("rank_metric_changes").rows("rank_metric_changes", SLOW)).strength is Strength.MODERATE
    assert found(sub_agent("rank_metric_changes")).strength is Strength.INCONCLUSIVE


def test_a_rush_of_warnings_is_told_although_it_makes_no_incident() -> None:
    finding = found(sub_agent("rank_log_patterns").rows("rank_log_patterns", pattern("till", "slow", level="warn")))

    assert (finding.strength, [s.entity for s in finding.suspects]) == (Strength.WEAK, ["till"])


def test_calm_names_nobody_and_cites_what_shows_it() -> None:
    finding = found(sub_agent("rank_metric_changes").rows("rank_metric_changes", QUIET))

    assert finding.suspects == ()
    assert [c.evidence_id for r in finding.ruled_out for c in r.evidence] == ["e1.1"]


def test_it_cites_every_result_that_can_be_ranked_again() -> None:
    conversation = sub_agent("rank_metric_changes", "show_topology", "query_metrics")
    conversation.told("show_topology", calls(("shop", "till"))).rows("rank_metric_changes", QUIET)
    conversation.rows("query_metrics", {"ts": "now"}).rows("rank_metric_changes")
    conversation.said("rank_metric_changes", "down", is_error=True)

    assert [c.evidence_id for c in found(conversation).evidence] == ["e1.1", "e2.1"]


def test_an_incident_it_cannot_read_ends_in_a_finding_that_says_so() -> None:
    request = ModelRequest(messages=(UserMessage(text="hello"),), tools=(SUBMIT_FINDING,))

    (handed_in,) = OfflineAnalyst().ask(request, route=ROUTE, timeout_s=1).message.tool_requests

    assert parse_finding(handed_in.arguments or {}).strength is Strength.INCONCLUSIVE
