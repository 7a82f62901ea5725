"""What a report claims holds on to evidence, or the verdict goes down."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.domain.incident import TimeWindow
from worker.domain.report import (
    Category,
    Citation,
    Confidence,
    Evidence,
    Factor,
    RootCause,
    RuledOut,
    Submission,
    TimelineEntry,
)
from worker.domain.states import ReportVerdict
from worker.investigation.claims import CheckedClaims, Grounds, check_claims

AT = datetime(2026, 3, 4, 10, 0, tzinfo=UTC)
WINDOW = TimeWindow(start=AT, end=AT + timedelta(hours=1))
INCIDENT = TimeWindow(start=AT + timedelta(minutes=20), end=AT + timedelta(minutes=40))
DAY_BEFORE = TimeWindow(start=AT - timedelta(days=1), end=AT - timedelta(hours=20))
STRENGTH = [ReportVerdict.INCONCLUSIVE, ReportVerdict.LIKELY, ReportVerdict.CONFIRMED]


def found(evidence_id: str, **changes: Any) -> Evidence:
    fields = {
        "id": evidence_id,
        "tool": "query_metrics",
        "arguments": {},
        "status": "succeeded",
        "window": WINDOW,
        "entities": ("orders",),
        "excerpt": "orders p99 945 ms",
    }
    return Evidence(**(fields | changes))


EVIDENCE = {
    e.id: e
    for e in (
        found("e1.1"),
        found("e1.2", excerpt="orders errors 12 %"),
        found("e2.1", status="failed", excerpt="no answer"),
        found("e2.2", status="denied", excerpt="denied"),
        found("e3.1", window=DAY_BEFORE),
        found("e3.2", window=DAY_BEFORE, tool="list_changes", excerpt="orders 9f3c2ab"),
        found("e4.1", entities=("orders-db",), excerpt="orders-db is slow"),
        found("e5.1", window=None, excerpt="head", entities=()),
        found("e6.1", window=TimeWindow(start=AT, end=INCIDENT.start)),
        found("e6.2", window=TimeWindow(start=AT, end=INCIDENT.end - timedelta(seconds=1))),
        found("e6.3", window=INCIDENT),
        found("e6.4", excerpt='{"query":{},"rows":[],"row_count":0}'),
        found("e6.5", tool="list_changes"),
        found("e6.6", tool="show_topology", window=None),
    )
}
TEXTS = {"e5.1": "head\nfar below the excerpt: orders pool 4 of 4 busy"}


def cause(*citations: Citation | str, **changes: Any) -> RootCause:
    fields = {
        "entity": "orders",
        "category": Category.LATENCY,
        "statement": "orders is slow",
        "evidence": tuple(Citation(evidence_id=c) if isinstance(c, str) else c for c in citations),
    }
    return RootCause(**(fields | changes))


def quote(evidence_id: str, text: str) -> Citation:
    return Citation(evidence_id=evidence_id, quote=text)


def submission(*causes: RootCause, **changes: Any) -> Submission:
    fields: dict[str, Any] = {
        "verdict": ReportVerdict.CONFIRMED,
        "confidence": Confidence.HIGH,
        "summary": "orders is slow",
        "root_causes": causes,
    }
    return Submission(**(fields | changes))


def check(submitted: Submission) -> CheckedClaims:
    grounds = Grounds(
        evidence=EVIDENCE,
        full_text=lambda evidence_id: TEXTS.get(evidence_id, ""),
        window=WINDOW,
        incident=INCIDENT,
        known_entities=("orders", "orders-db"),
        alert="orders p99 above 800 ms",
    )
    return check_claims(submitted, grounds)


def test_a_cause_whose_evidence_holds_keeps_its_verdict() -> None:
    submitted = submission(cause(quote("e1.1", "p99 945 ms"), "e1.2"))

    checked = check(submitted)

    assert checked.submission == submitted
    assert checked.verdict is ReportVerdict.CONFIRMED
    assert checked.failures == ()


def test_a_quote_is_looked_up_beyond_the_excerpt() -> None:
    assert check(submission(cause(quote("e5.1", "pool 4 of 4 busy")))).failures == ()


def test_what_quotes_nothing_is_not_confirmed() -> None:
    checked = check(submission(cause("e1.1", "e1.2")))

    assert checked.verdict is ReportVerdict.LIKELY
    assert [f.problem for f in checked.failures] == ["quotes nothing of what it cites"]
    assert check(submission(cause("e1.1"), verdict="likely")).failures == ()


@pytest.mark.parametrize(
    ("statement", "unread"),
    [
        ("p99 of orders is 945 ms", ""),
        ("p99 of orders is 0.945 s, about 0.9 s", ""),
        ("orders failed 12 % of its calls, as 2 of 3 did since 2026-03-04T10:20:00Z, 10:20 UTC", ""),
        ("above the 800 ms of the alert", ""),  # as the monitors said
        ("orders took 7 times longer for 20 minutes", ""),  # compared and counted, not measured
        ("orders failed 47 % of its calls", "47 %"),
        ("p99 of orders is 954 ms, errors 21 %", "954 ms, 21 %"),
        ("p99 of orders is 9.45 s", "9.45 s"),
    ],
)
def test_figures_of_a_statement_are_read_in_what_it_cites(statement: str, unread: str) -> None:
    stated = cause(quote("e1.1", "p99 945 ms"), "e1.2", statement=statement)

    checked = check(submission(stated, verdict="confirmed"))

    problems = [f"states {unread}, to be read in none of the evidence cited"] if unread else []
    assert [f.problem for f in checked.failures] == problems
    assert checked.verdict is (ReportVerdict.LIKELY if unread else ReportVerdict.CONFIRMED)


def test_a_figure_of_another_result_is_not_of_the_one_cited() -> None:
    checked = check(submission(cause(quote("e1.1", "p99 945 ms"), causal_chain=("orders failed 12 % of its calls",))))

    assert checked.verdict is ReportVerdict.LIKELY
    assert "12 %" in checked.failures[0].problem


def test_a_summary_states_what_some_result_says() -> None:
    held = cause(quote("e1.1", "p99 945 ms"))

    assert check(submission(held, summary="p99 945 ms, errors 12 %")).failures == ()
    invented = check(submission(held, summary="31 % of checkouts failed", impact="1,250 orders lost"))
    assert [(f.claim, f.problem) for f in invented.failures] == [
        ("Summary", "states 31 %, 1,250, to be read in no result of this investigation")
    ]
    assert invented.verdict is ReportVerdict.LIKELY


TOPOLOGY = {
    "query": {},
    "rows": [],
    "nodes": ["web", "orders", "orders-db", "mail"],
    "edges": [["web", "orders"], ["orders", "orders-db"], ["web", "mail"]],
}
TRACES = {"rows": [{"caller": "batch", "callee": "mail"}, {"caller": None, "callee": "web"}, "odd"]}


@pytest.mark.parametrize(
    ("chain", "problem"),
    [
        (("orders waits for its pool", "web answers late"), ""),
        (("web answers late",), ""),  # through what it skips
        (("web retries", "orders-db is overloaded"), ""),  # load goes down
        (("something unknown happens", "users see errors"), ""),
        (("mail is late",), "goes from orders-db to mail, between which no calls are known"),
        (("web answers late", "batch fails"), "goes from web to batch, between which no calls are known"),
    ],
)
def test_a_chain_goes_the_ways_that_topology_and_traces_know(chain: tuple[str, ...], problem: str) -> None:
    told = {
        **EVIDENCE,
        "e7.1": found("e7.1", tool="show_topology", excerpt=json.dumps(TOPOLOGY)),
        "e7.2": found("e7.2", tool="rank_edge_latency", excerpt=json.dumps(TRACES)),
        "e7.3": found("e7.3", tool="show_topology", excerpt='{"edges": [["web", "cut'),
    }
    grounds = Grounds(evidence=told, full_text=lambda _: "", window=WINDOW, incident=INCIDENT)
    blamed = cause(quote("e4.1", "is slow"), entity="orders-db", statement="slow", causal_chain=chain)

    checked = check_claims(submission(blamed), grounds)

    assert [f.problem for f in checked.failures] == ([problem] if problem else [])
    assert checked.verdict is (ReportVerdict.LIKELY if problem else ReportVerdict.CONFIRMED)


def test_where_no_ways_are_known_a_chain_may_go_any() -> None:
    assert check(submission(cause(quote("e1.1", "945 ms"), causal_chain=("mail is late", "web too")))).failures == ()


def test_a_change_may_lie_before_the_incident() -> None:
    assert check(submission(cause(quote("e3.2", "9f3c2ab"), change_id="9f3c2ab"))).failures == ()


@pytest.mark.parametrize(
    ("bad", "problem"),
    [
        (Citation(evidence_id="e9.9"), "cites e9.9, which is no result of this investigation"),
        (Citation(evidence_id="e2.1"), "cites e2.1, a call that did not succeed (failed)"),
        (Citation(evidence_id="e2.2"), "cites e2.2, a call that did not succeed (denied)"),
        (quote("e1.1", "orders ran out of memory"), "quotes words that are not in e1.1"),
        (quote("e1.1", "orders p99 94 ms"), "quotes e1.1 with numbers that differ from the evidence"),
        (Citation(evidence_id="e3.1"), "e3.1 looks at a time outside the incident"),
    ],
)
class TestABadCitation:
    def test_costs_one_beside_a_good_one(self, bad: Citation, problem: str) -> None:
        checked = check(submission(cause("e1.1", bad)))

        assert checked.verdict is ReportVerdict.LIKELY
        assert checked.submission.verdict is ReportVerdict.LIKELY
        assert checked.submission.confidence is Confidence.MEDIUM
        assert [(f.claim, f.problem) for f in checked.failures] == [("Root cause 1 (orders)", problem)]

    def test_costs_everything_alone(self, bad: Citation, problem: str) -> None:
        checked = check(submission(cause(bad)))

        assert checked.verdict is ReportVerdict.INCONCLUSIVE
        assert checked.submission.confidence is Confidence.LOW
        assert problem in {f.problem for f in checked.failures}

    def test_beside_the_cause_costs_confirmed_and_no_more(self, bad: Citation, problem: str) -> None:
        factor = Factor(statement="load was high", evidence=(bad,))
        sides = {"contributing_factors": (factor, factor)}

        assert check(submission(cause("e1.1"), **sides)).verdict is ReportVerdict.LIKELY
        likely = check(submission(cause("e1.1"), verdict=ReportVerdict.LIKELY, **sides))
        assert likely.verdict is ReportVerdict.LIKELY
        assert problem in {f.problem for f in likely.failures}


def test_two_bad_citations_of_the_leading_cause_leave_nothing_established() -> None:
    checked = check(submission(cause("e1.1", quote("e1.1", "invented"), "e9.9")))

    assert checked.verdict is ReportVerdict.INCONCLUSIVE


def test_a_cause_without_citations_is_inconclusive() -> None:
    checked = check(submission(cause()))

    assert checked.verdict is ReportVerdict.INCONCLUSIVE
    assert [f.problem for f in checked.failures] == ["cites no evidence"]


def test_an_entity_named_nowhere_in_the_cited_evidence_is_inconclusive() -> None:
    checked = check(submission(cause("e1.1", entity="billing")))

    assert checked.verdict is ReportVerdict.INCONCLUSIVE
    assert [f.problem for f in checked.failures] == ["billing is named in none of the evidence cited"]


def test_another_entity_with_a_longer_name_does_not_name_the_one_blamed() -> None:
    slow = quote("e4.1", "is slow")

    assert check(submission(cause(slow))).verdict is ReportVerdict.INCONCLUSIVE
    assert check(submission(cause(slow, entity="orders-db"))).verdict is ReportVerdict.CONFIRMED


def test_an_invented_change_costs_one() -> None:
    checked = check(submission(cause("e3.2", change_id="deadbee")))

    assert checked.verdict is ReportVerdict.LIKELY
    assert "deadbee" in checked.failures[0].problem


def test_a_lesser_cause_that_does_not_hold_costs_confirmed_only() -> None:
    assert check(submission(cause("e1.1"), cause("e9.9"))).verdict is ReportVerdict.LIKELY


def test_what_failed_is_gone_from_the_report_and_what_exists_stays_linked() -> None:
    checked = check(submission(cause("e1.1", "e9.9", "e2.1", quote("e1.2", "invented words"))))

    kept = checked.submission.root_causes[0].evidence
    assert kept == (Citation(evidence_id="e1.1"), Citation(evidence_id="e1.2"))


def test_unknown_ids_beside_the_causes_are_dropped_and_told() -> None:
    checked = check(
        submission(
            cause(quote("e1.1", "945 ms")),
            timeline=(
                TimelineEntry(at=AT, text="a", evidence_id="e9.1"),
                TimelineEntry(at=AT, text="b", evidence_id="e1.1"),
                TimelineEntry(at=AT, text="c"),
            ),
            ruled_out=(
                RuledOut(hypothesis="h", reason="r", evidence=(Citation(evidence_id="e9.2"), quote("e1.1", "p99"))),
            ),
            contributing_factors=(Factor(statement="s", evidence=(Citation(evidence_id="e9.3"),)),),
        )
    )

    assert [t.evidence_id for t in checked.submission.timeline] == [None, "e1.1", None]
    assert [c.evidence_id for c in checked.submission.ruled_out[0].evidence] == ["e1.1"]
    assert checked.submission.contributing_factors[0].evidence == ()
    assert {f.claim for f in checked.failures} == {"Timeline 10:00:00", "Ruled out 1", "Contributing factor 1"}


RULED_OUT = (RuledOut(hypothesis="h", reason="r", evidence=(quote("e1.1", "945 ms"),)),)
INVENTED = (RuledOut(hypothesis="h", reason="r", evidence=(quote("e1.1", "invented"),)),)


@pytest.mark.parametrize(
    ("submitted", "expected"),
    [
        (submission(verdict="no_incident", ruled_out=RULED_OUT), "no_incident"),
        (submission(verdict="no_incident", ruled_out=INVENTED), "inconclusive"),
        (submission(verdict="no_incident"), "inconclusive"),
        (submission(cause("e1.1"), verdict="no_incident", ruled_out=RULED_OUT), "inconclusive"),
        (submission(cause("e1.1"), verdict="external"), "external"),
        (submission(verdict="external", ruled_out=RULED_OUT), "external"),
        (submission(cause("e1.1", "e9.9"), verdict="external"), "inconclusive"),
        (submission(verdict="external"), "inconclusive"),
        (submission(verdict="confirmed"), "inconclusive"),
        (submission(verdict="likely", ruled_out=RULED_OUT), "inconclusive"),
        (submission(verdict="inconclusive"), "inconclusive"),
        (submission(cause("e1.1"), verdict="inconclusive"), "inconclusive"),
    ],
)
def test_each_verdict_has_its_own_demands(submitted: Submission, expected: str) -> None:
    checked = check(submitted)

    assert checked.verdict == expected
    assert bool(checked.failures) == (checked.verdict is not submitted.verdict)


@pytest.mark.parametrize(
    ("cited", "holds"),
    [
        ("e1.1", True),  # all of the window
        ("e6.3", True),  # just the incident
        ("e5.1", True),  # what carries no window looks at what is there
        ("e6.1", False),  # ends as the incident begins
        ("e6.2", False),  # ends before the incident does
        ("e3.1", False),  # another day
        ("e6.4", False),  # holds no rows
        ("e6.5", False),  # changes are no state
        ("e6.6", False),  # nor is who calls whom
        ("e2.1", False),  # failed
        ("e9.9", False),
    ],
)
def test_no_incident_cites_a_result_that_covers_the_incident_and_is_not_empty(cited: str, *, holds: bool) -> None:
    citations = (Citation(evidence_id=cited),)
    blocks: list[dict[str, Any]] = [
        {"ruled_out": (RuledOut(hypothesis="h", reason="r", evidence=citations),)},
        {"contributing_factors": (Factor(statement="s", evidence=citations),)},
    ]

    verdicts = [check(submission(verdict="no_incident", **block)).verdict for block in blocks]

    assert verdicts == ["no_incident" if holds else "inconclusive"] * 2


def test_no_incident_may_cite_more_than_what_it_rests_on() -> None:
    citations = (Citation(evidence_id="e6.5"), Citation(evidence_id="e1.1"))
    ruled_out = (RuledOut(hypothesis="h", reason="r", evidence=citations),)

    assert check(submission(verdict="no_incident", ruled_out=ruled_out)).failures == ()


def test_when_something_happened_does_not_show_that_nothing_was_wrong() -> None:
    timeline = (TimelineEntry(at=AT, text="orders departs from its usual range", evidence_id="e1.1"),)

    checked = check(submission(verdict="no_incident", timeline=timeline))

    assert checked.verdict is ReportVerdict.INCONCLUSIVE
    assert [f.claim for f in checked.failures] == ["Verdict no_incident"]


def test_an_inconclusive_report_may_say_so_without_evidence_and_keeps_its_confidence() -> None:
    checked = check(submission(verdict="inconclusive", confidence="high"))

    assert checked.failures == ()
    assert checked.submission.confidence is Confidence.HIGH


def test_an_incident_of_one_moment_fits_evidence_around_it() -> None:
    moment = TimeWindow(start=AT, end=AT)

    grounds = Grounds(evidence=EVIDENCE, full_text=lambda _: "", window=moment, incident=moment)
    checked = check_claims(submission(cause(quote("e1.1", "orders"))), grounds)

    assert checked.failures == ()


citations = st.builds(
    Citation,
    evidence_id=st.sampled_from([*EVIDENCE, "e9.9", "a1e1.1"]),
    quote=st.none() | st.sampled_from(["p99 945 ms", "errors 12 %", "errors 99 %", "invented"]),
)
causes = st.builds(
    cause,
    entity=st.sampled_from(["orders", "orders-db", "billing"]),
    evidence=st.lists(citations, max_size=4).map(tuple),
)
submissions = st.builds(
    submission,
    verdict=st.sampled_from(ReportVerdict),
    confidence=st.sampled_from(Confidence),
    root_causes=st.lists(causes, max_size=3).map(tuple),
    contributing_factors=st.lists(
        st.builds(Factor, statement=st.just("s"), evidence=st.lists(citations, max_size=2).map(tuple)), max_size=2
    ).map(tuple),
)


@given(submissions)
def test_no_citation_that_stays_names_unknown_evidence(submitted: Submission) -> None:
    checked = check(submitted).submission

    cited = [c for block in (*checked.root_causes, *checked.contributing_factors) for c in block.evidence]
    assert all(EVIDENCE[c.evidence_id].status == "succeeded" for c in cited)


@given(submissions)
def test_the_check_never_raises_a_verdict(submitted: Submission) -> None:
    checked = check(submitted)

    if submitted.verdict in STRENGTH:
        assert STRENGTH.index(checked.verdict) <= STRENGTH.index(submitted.verdict)
    else:
        assert checked.verdict in {submitted.verdict, ReportVerdict.INCONCLUSIVE}


@given(submissions)
def test_a_lowered_verdict_always_says_why(submitted: Submission) -> None:
    checked = check(submitted)

    assert checked.verdict is submitted.verdict or checked.failures


@given(submissions.filter(lambda s: s.root_causes), st.sampled_from(["e9.9", "e0.0", "nonsense"]))
def test_an_invented_id_never_keeps_confirmed_and_never_helps(submitted: Submission, invented: str) -> None:
    first, *others = submitted.root_causes
    worse_cause = first.model_copy(update={"evidence": (*first.evidence, Citation(evidence_id=invented))})
    worse = submitted.model_copy(update={"root_causes": (worse_cause, *others)})

    before, after = check(submitted).verdict, check(worse).verdict

    assert after is not ReportVerdict.CONFIRMED
    if before in STRENGTH:
        assert STRENGTH.index(after) <= STRENGTH.index(before)


@given(st.text(alphabet="qxzjw ", min_size=3, max_size=40).filter(str.strip))
def test_a_quote_not_in_the_evidence_never_passes(words: str) -> None:
    checked = check(submission(cause(quote("e1.1", words))))

    assert checked.verdict is ReportVerdict.INCONCLUSIVE
    assert checked.submission.root_causes[0].evidence == (Citation(evidence_id="e1.1"),)
