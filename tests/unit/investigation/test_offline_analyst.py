import json
from datetime import timedelta
from typing import Any

import pytest

from tests.analyst_conversation import STARTED_AT, Conversation, at, calls, change, metric, pattern, span
from tests.analyst_loop import ROUTE, SUBMIT
from worker.domain.conversation import ModelRequest, StopReason, ToolDefinition, UserMessage
from worker.domain.report import Category, Submission
from worker.domain.states import ReportVerdict
from worker.investigation.offline.analyst import OfflineAnalyst
from worker.investigation.offline.chains import felt_shares, path_up, reachable
from worker.investigation.quotes import QuotedText
from worker.tools.output import shorten

HALF_READ = shorten('{"pods":[' + '{"name":"till-1","phase":"Running"},' * 90 + "{}]}", 900, artifact_id="art_7") or ""
CHAIN = calls(("shop", "till"), ("till", "stock"), ("shop", "search"))


def slow_stock() -> Conversation:
    """Stock is slow; its callers wait for it and nothing else is wrong."""
    latency = [
        metric("stock", "latency_p50_ms", usual=10, now=110, score=30),
        metric("till", "latency_p50_ms", usual=30, now=130, score=20),
        metric("shop", "latency_p50_ms", usual=60, now=160, score=12),
        metric("search", "latency_p50_ms", usual=20, now=20.2, score=0.4),
    ]
    return Conversation().told("show_topology", CHAIN).rows("rank_metric_changes", *latency)


def calm() -> Conversation:
    quiet = [metric(e, "latency_p50_ms", usual=20, now=20.3, score=1.1) for e in ("shop", "till", "stock")]
    return Conversation().told("show_topology", CHAIN).rows("rank_metric_changes", *quiet)


def test_the_first_turn_asks_everything_broad_at_once() -> None:
    asked = [r.name for r in Conversation(offered=("rank_metric_changes", "show_topology", "pods")).requests()]

    assert asked == ["rank_metric_changes", "show_topology", "pods"]


def test_a_recorded_tool_that_needs_arguments_is_a_gap_and_not_guessed() -> None:
    tool = ToolDefinition(name="pod_logs", description="", parameters={"type": "object", "required": ["pod"]})
    messages = calm().request().messages
    request = ModelRequest(messages=messages, tools=(tool, SUBMIT))

    (report,) = OfflineAnalyst().ask(request, route=ROUTE, timeout_s=1).message.tool_requests

    assert any("pod_logs" in gap.wanted for gap in Submission.model_validate(report.arguments).gaps)


def test_further_turns_look_closer_at_the_suspects_and_what_they_call() -> None:
    asked = {(r.name, (r.arguments or {}).get("entity")) for r in slow_stock().requests()}

    assert {("rank_metric_changes", "stock"), ("rank_metric_changes", "till")} <= asked
    assert ("search_logs", "stock") in asked


def test_calm_is_compared_once_more_with_an_earlier_time() -> None:
    references = [(r.arguments or {}).get("reference_start") for r in calm().requests()]

    assert any(references)
    assert not any((r.arguments or {}).get("reference_start") for r in slow_stock().requests())


def test_of_two_comparisons_of_a_series_the_clearer_counts() -> None:
    conversation = calm().rows("rank_metric_changes", metric("till", "latency_p50_ms", usual=20, now=90, score=20))

    assert [m.score for m in conversation.seen().metrics if m.entity == "till"] == [20]


def test_nothing_is_asked_twice() -> None:
    conversation = slow_stock()
    first = conversation.requests()
    for request in first:
        conversation.told(request.name, {"rows": []}, arguments=request.arguments)

    again = [(r.name, r.arguments) for r in conversation.requests()]

    assert not [call for call in again if call in [(r.name, r.arguments) for r in first]]


def test_it_is_a_function_of_the_conversation() -> None:
    request = slow_stock().request()

    answers = [OfflineAnalyst().ask(request, route=ROUTE, timeout_s=1) for _ in range(2)]

    assert answers[0] == answers[1]
    assert answers[0].stop_reason is StopReason.TOOL_USE


def test_where_only_the_report_is_offered_it_reports_at_once() -> None:
    assert [r.name for r in Conversation().requests(is_last=True)] == ["submit_report"]


def test_knowing_nothing_is_inconclusive_and_never_no_incident() -> None:
    assert Conversation().submission().verdict is ReportVerdict.INCONCLUSIVE


def test_an_unreadable_conversation_ends_in_an_honest_report() -> None:
    request = ModelRequest(messages=(UserMessage(text="hello"),), tools=(SUBMIT,))

    (report,) = OfflineAnalyst().ask(request, route=ROUTE, timeout_s=1).message.tool_requests

    assert Submission.model_validate(report.arguments).verdict is ReportVerdict.INCONCLUSIVE


def test_callers_that_only_wait_are_not_blamed() -> None:
    submission = slow_stock().submission()

    assert submission.verdict in {ReportVerdict.LIKELY, ReportVerdict.CONFIRMED}
    assert [c.entity for c in submission.root_causes] == ["stock"]
    assert len(submission.root_causes[0].causal_chain) == 3


def test_normal_noise_is_no_incident() -> None:
    submission = calm().submission()

    assert submission.verdict is ReportVerdict.NO_INCIDENT
    assert submission.root_causes == ()


def test_calm_is_shown_by_the_series_nearest_to_trouble() -> None:
    series = [
        metric("till", "latency_p50_ms", usual=20, now=20.2, score=0.5),
        metric("shop", "latency_p50_ms", usual=20, now=21, score=2.5),
        metric("stock", "latency_p50_ms", usual=20, now=5, score=30),  # for the better
        metric("stock", "cpu_usage_percent", usual=20, now=20.4, score=1),  # users do not feel it
    ]
    conversation = Conversation().told("show_topology", CHAIN).rows("rank_metric_changes", *series)

    shown, *others = conversation.submission().ruled_out

    assert "latency_p50_ms of shop, 20 usually and 21 now" in shown.reason
    assert "None of the 3 series" in shown.reason
    assert [json.loads(c.quote or "")["entity"] for c in shown.evidence] == ["shop", "till", "stock"]
    assert others == []


def test_calm_logs_and_states_are_cited_besides() -> None:
    conversation = calm().rows("rank_log_patterns", pattern("till", "retry", count=3, usual=9))
    conversation.told("pods", {"pods": [{"name": "till-1", "phase": "Running"}]}).told("events", {"events": []})

    cited = [[c.evidence_id for c in r.evidence] for r in conversation.submission().ruled_out]

    assert cited == [["e2.1"] * 3, ["e3.1"], ["e4.1"]]


@pytest.mark.parametrize(
    "conversation",
    [
        Conversation().told("show_topology", CHAIN),
        Conversation().rows("list_changes", change("abc", "till", minutes=-2)),
        Conversation().rows("rank_metric_changes", metric("shop", "latency_p50_ms") | {"reference_median": None}),
        Conversation().rows("rank_metric_changes", metric("shop", "cpu_usage_percent", score=1)),
        Conversation().told("events", {"events": []}),
        Conversation().said("pods", HALF_READ),
    ],
    ids=["topology", "changes", "no reference", "nothing users feel", "empty", "half read"],
)
def test_what_cannot_show_that_all_is_well_leaves_it_open(conversation: Conversation) -> None:
    assert conversation.submission().verdict is ReportVerdict.INCONCLUSIVE


def passing(entity: str, *, minutes: float) -> dict[str, Any]:
    quiet = metric(entity, "latency_p50_ms", usual=20, now=20.5, score=8)
    return quiet | {"change": "peak", "incident_peak": 90, "onset": at(minutes)}


@pytest.mark.parametrize(("minutes", "is_calm"), [(8, True), (1, False)])
def test_passing_extremes_count_only_where_they_come_together(minutes: float, *, is_calm: bool) -> None:
    conversation = Conversation().told("show_topology", CHAIN)
    conversation.rows("rank_metric_changes", passing("till", minutes=0), passing("shop", minutes=minutes))

    assert (conversation.submission().verdict is ReportVerdict.NO_INCIDENT) == is_calm


def test_a_deploy_alone_makes_no_incident() -> None:
    submission = calm().rows("list_changes", change("abc", "till", minutes=-2)).submission()

    assert submission.verdict is ReportVerdict.NO_INCIDENT


def test_an_innocent_deploy_nearby_is_ruled_out_and_not_blamed() -> None:
    submission = slow_stock().rows("list_changes", change("abc", "search", minutes=-2)).submission()

    assert submission.root_causes[0].entity == "stock"
    assert submission.root_causes[0].change_id is None
    assert "search" in submission.ruled_out[0].hypothesis


def test_a_deploy_of_the_culprit_just_before_is_named_and_cited() -> None:
    submission = slow_stock().rows("list_changes", change("abc", "stock", minutes=-4)).submission()
    cause = submission.root_causes[0]

    assert (cause.change_id, cause.category) == ("abc", Category.DEPLOYMENT)
    assert any(c.quote and '"abc"' in c.quote for c in cause.evidence)


def test_a_deploy_after_the_onset_is_not_the_cause() -> None:
    submission = slow_stock().rows("list_changes", change("abc", "stock", minutes=15)).submission()

    assert submission.root_causes[0].change_id is None


def test_errors_are_blamed_where_they_begin() -> None:
    rates = [
        metric("stock", "error_rate_percent", usual=0.1, now=20, score=40),
        metric("till", "error_rate_percent", usual=0.1, now=19, score=40),
        metric("shop", "error_rate_percent", usual=0.1, now=18, score=40),
    ]
    conversation = Conversation().told("show_topology", CHAIN).rows("rank_metric_changes", *rates)

    assert conversation.submission().root_causes[0].entity == "stock"


def test_a_caller_that_names_its_callee_in_errors_accuses_the_callee() -> None:
    conversation = Conversation().told("show_topology", CHAIN)
    conversation.rows("rank_log_patterns", pattern("till", "call to stock failed"))

    assert conversation.submission().root_causes[0].entity == "stock"


def test_a_hot_processor_gives_the_cause_its_category() -> None:
    conversation = slow_stock().rows(
        "rank_metric_changes", metric("stock", "cpu_usage_percent", usual=20, now=95, score=30)
    )

    assert conversation.submission().root_causes[0].category is Category.RESOURCE_CPU


def test_a_resource_that_grew_with_its_load_proves_nothing() -> None:
    grown = [
        metric("search", "cpu_usage_percent", usual=20, now=60, score=30),
        metric("search", "requests_per_s", usual=10, now=30, score=30),
    ]
    hot_only = slow_stock().rows("rank_metric_changes", grown[0]).seen()
    explained = slow_stock().rows("rank_metric_changes", *grown)

    assert any(m.entity == "search" for m in hot_only.metrics)
    assert "search" not in [c.entity for c in explained.submission().root_causes[:1]]


def test_independent_observations_that_agree_confirm() -> None:
    conversation = slow_stock()
    conversation.rows("rank_edge_latency", span("till", "stock", usual_ms=9, now_ms=109))
    conversation.rows("rank_log_patterns", pattern("stock", "worker queue is full"))

    assert conversation.submission().verdict is ReportVerdict.CONFIRMED


def test_a_providers_outage_without_a_change_of_ours_is_external() -> None:
    conversation = slow_stock()
    conversation.offered = (*conversation.offered, "provider_status")
    page = {"provider": "CardsCo", "components": [{"name": "Cards API", "status": "major_outage"}]}

    submission = conversation.told("provider_status", page).submission()

    # The report's last turn offers no descriptions; the tool's own name says that it speaks of a provider.
    assert submission.verdict is ReportVerdict.EXTERNAL
    assert submission.root_causes[0].category is Category.EXTERNAL_PROVIDER


def test_a_surge_at_the_door_comes_from_outside() -> None:
    surge = [
        metric("shop", "requests_per_s", usual=100, now=600, score=40),
        metric("till", "requests_per_s", usual=80, now=480, score=40),
        metric("shop", "latency_p50_ms", usual=60, now=900, score=40),
    ]
    conversation = Conversation().told("show_topology", CHAIN).rows("rank_metric_changes", *surge)

    assert conversation.submission().verdict is ReportVerdict.EXTERNAL


@pytest.mark.parametrize(("conversation", "count"), [(slow_stock(), 40), (calm(), 2)], ids=["slow", "calm"])
def test_every_quote_stands_in_the_result_it_cites(conversation: Conversation, count: int) -> None:
    conversation.rows("list_changes", change("abc", "stock", minutes=-4))
    conversation.rows("rank_log_patterns", pattern("stock", 'cannot read "total" of null', count=count, usual=2))
    texts = {r.evidence_id: QuotedText(r.text) for r in conversation.record().results}

    submission = conversation.submission()

    citations = [c for block in (*submission.root_causes, *submission.ruled_out) for c in block.evidence]
    assert citations
    assert all(c.quote is None or texts[c.evidence_id].holds(c.quote) for c in citations)


def test_a_failed_call_and_a_missing_source_are_gaps() -> None:
    conversation = calm()
    conversation.offered = ("rank_metric_changes",)
    submission = conversation.said("rank_log_patterns", "connection refused", is_error=True).submission()

    assert any("connection refused" in gap.reason for gap in submission.gaps)
    assert any("rank_edge_latency" in gap.wanted for gap in submission.gaps)


def test_the_timeline_is_in_order_and_holds_the_alert() -> None:
    timeline = slow_stock().rows("list_changes", change("abc", "stock", minutes=-4)).submission().timeline

    assert [t.at for t in timeline] == sorted(t.at for t in timeline)
    assert any(t.at == STARTED_AT for t in timeline)
    assert timeline[0].at == STARTED_AT - timedelta(minutes=4)


def test_a_recorded_output_that_was_not_read_whole_is_a_gap() -> None:
    gaps = calm().said("pods", HALF_READ).told("nodes", {"nodes": ["n1"]}).submission().gaps

    assert [g.wanted for g in gaps if "too long" in g.reason] == ["All of the answer of pods"]


def test_a_shortened_recorded_output_is_read_on() -> None:
    conversation = Conversation(offered=("pods", "read_artifact")).said("pods", HALF_READ)

    asked = [r.arguments for r in conversation.requests() if r.name == "read_artifact"]

    assert asked
    assert {(a or {}).get("id") for a in asked} == {"art_7"}


def test_a_piece_of_an_artifact_is_searched_like_the_output_itself() -> None:
    conversation = Conversation(service="till", offered=("pods", "read_artifact"))
    pieces = [{"line": 1, "text": '{"name":"till-1",'}, {"line": 2, "text": '"phase":"Failed"}'}]

    alarms = conversation.rows("read_artifact", *pieces).seen().alarms

    assert [a.entity for a in alarms] == ["till"]


EDGES = {("a", "b"), ("b", "c"), ("c", "a"), ("a", "d")}


def test_chains_of_calls_may_hold_cycles() -> None:
    assert reachable(EDGES, "a") == {"a", "b", "c", "d"}
    assert path_up("c", "a", frozenset(EDGES)) == ("c", "b", "a")


def test_without_a_way_up_the_culprit_stands_alone() -> None:
    assert path_up("d", "c", frozenset({("a", "d")})) == ("d",)


@pytest.mark.parametrize(("unmoved", "share"), [((), 1.0), (("b",), 0.4), (("a",), 1.0)])
def test_a_caller_that_felt_nothing_has_hardly_passed_anything_on(unmoved: tuple[str, ...], share: float) -> None:
    assert felt_shares(EDGES, "a", unmoved=unmoved)["c"] == share
