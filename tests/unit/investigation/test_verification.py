"""What a second call makes of the root causes: read only where it is clear, and never to a report's advantage."""

from itertools import product
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.domain.conversation import AssistantMessage, ModelAnswer, StopReason, ToolRequest
from worker.domain.report import (
    Category,
    Check,
    CheckFailure,
    Citation,
    Confidence,
    Refutation,
    RootCause,
    RuledOut,
    Submission,
    Verification,
)
from worker.domain.states import ReportVerdict
from worker.investigation.verification import (
    TOOL_NAME,
    apply_verification,
    is_worth_verifying,
    parse_verification,
)

MODEL = "p/m"
CONFIRMED, LIKELY, INCONCLUSIVE = ReportVerdict.CONFIRMED, ReportVerdict.LIKELY, ReportVerdict.INCONCLUSIVE
EXTERNAL, NO_INCIDENT = ReportVerdict.EXTERNAL, ReportVerdict.NO_INCIDENT
HIGH, MEDIUM, LOW = Confidence.HIGH, Confidence.MEDIUM, Confidence.LOW
LOWEST_FIRST = [LOW, MEDIUM, HIGH]
OUTCOMES = {"H": Refutation.HOLDS, "W": Refutation.WEAKENED, "R": Refutation.REFUTED}


def cause(entity: str = "orders", statement: str | None = None) -> RootCause:
    return RootCause(entity=entity, category=Category.LATENCY, statement=statement or f"{entity} is slow")


def submission(*causes: RootCause, **changes: Any) -> Submission:
    fields: dict[str, Any] = {"verdict": CONFIRMED, "confidence": HIGH, "summary": "It is slow.", "root_causes": causes}
    return Submission(**(fields | changes))


def check(number: int, outcome: Refutation, *ids: str, reason: str = "e2.1 says so") -> Check:
    return Check(cause=number, outcome=outcome, reason=reason, evidence=tuple(Citation(evidence_id=i) for i in ids))


def verified(*checks: Check) -> Verification:
    return Verification(model=MODEL, checks=checks)


# What is worth a second call


@pytest.mark.parametrize("verdict", list(ReportVerdict))
def test_only_a_verdict_that_stands_on_a_cause_is_worth_verifying(verdict: ReportVerdict) -> None:
    assert is_worth_verifying(submission(cause(), verdict=verdict)) is (verdict in {CONFIRMED, LIKELY, EXTERNAL})
    assert not is_worth_verifying(submission(verdict=verdict))


# What the answer says


def answer(arguments: Any, *, name: str = TOOL_NAME, times: int = 1) -> ModelAnswer:
    requests = tuple(ToolRequest(id=f"t{i}", name=name, arguments=arguments) for i in range(times))
    return ModelAnswer(message=AssistantMessage(tool_requests=requests), stop_reason=StopReason.TOOL_USE)


def answered(*checks: Any) -> ModelAnswer:
    return answer({"checks": list(checks)})


def parse(found: ModelAnswer, *, causes: int = 2) -> Verification:
    return parse_verification(found, model=MODEL, causes=causes, known_ids={"e1.1", "e2.1"})


def told(number: Any = 1, outcome: Any = "refuted", **changes: Any) -> dict[str, Any]:
    evidence = [{"evidence_id": "e2.1", "quote": None}]
    return {
        "cause": number,
        "entity": "orders",
        "outcome": outcome,
        "reason": "it rose later",
        "evidence": evidence,
        **changes,
    }


def test_each_check_is_read_in_the_order_of_the_causes() -> None:
    found = parse(answered(told(2, "holds"), told(1, "refuted")))

    assert found.problem is None
    assert found.model == MODEL
    assert [(c.cause, c.outcome, c.entity) for c in found.checks] == [
        (1, Refutation.REFUTED, "orders"),
        (2, Refutation.HOLDS, "orders"),
    ]


@pytest.mark.parametrize(
    "nonsense",
    [
        answer({}, times=0),
        answer(None),
        answer({}),
        answer({"checks": None}),
        answer({"checks": "refuted"}),
        answer({"checks": told()}),
        answer({"checks": [told()]}, name="submit_report"),
        answer({"checks": [told()]}, times=2),
        answered(),
        answered(None),
        answered("refuted"),
        answered([]),
        answered({}),
        answered(told(0)),
        answered(told(-1)),
        answered(told(3)),
        answered(told("first")),
        answered(told(1.5)),
        answered(told(None)),
        answered(told(1, "REFUTED?")),
        answered(told(1, None)),
        answered(told(1, ["refuted"])),
        answered(told(reason="")),
        answered(told(reason="  ")),
        answered(told(reason=None)),
        answered(told(reason=7)),
        answered(told(reason="\ud800")),
        answered(told(entity=["orders"])),
    ],
)
def test_what_is_not_clear_is_a_problem_and_no_check(nonsense: ModelAnswer) -> None:
    found = parse(nonsense)

    assert found.checks == ()
    assert found.problem


def test_one_unreadable_check_costs_only_itself() -> None:
    assert [c.cause for c in parse(answered("?", told(1, "no"), told(2, "holds"), told(9))).checks] == [2]


def test_of_two_checks_of_one_cause_the_first_stands() -> None:
    found = parse(answered(told(1, "holds"), told(1, "refuted")))

    assert [c.outcome for c in found.checks] == [Refutation.HOLDS]


@pytest.mark.parametrize(
    "evidence",
    [[], None, "e2.1", {"evidence_id": "e2.1"}, ["e9.9"], [{"evidence_id": "e9.9"}], [{}], [None], [["e2.1"]]],
)
def test_a_refutation_that_rests_on_no_result_only_weakens(evidence: Any) -> None:
    (found,) = parse(answered(told(evidence=evidence))).checks

    assert found.outcome is Refutation.WEAKENED
    assert found.evidence == ()


@pytest.mark.parametrize("outcome", [Refutation.HOLDS, Refutation.WEAKENED])
def test_what_does_not_refute_needs_no_result(outcome: Refutation) -> None:
    assert parse(answered(told(1, outcome.value, evidence=[]))).checks[0].outcome is outcome


def test_only_known_results_are_cited_each_once_and_without_unproven_quotes() -> None:
    evidence = ["e2.1", {"evidence_id": "e1.1", "quote": "invented"}, {"evidence_id": "e9.9"}, "e2.1"]

    (found,) = parse(answered(told(evidence=evidence))).checks

    assert found.evidence == (Citation(evidence_id="e2.1"), Citation(evidence_id="e1.1"))


def test_no_more_results_are_cited_than_a_check_holds() -> None:
    ids = [f"e{n}.1" for n in range(20)]

    found = parse_verification(answered(told(evidence=ids)), model=MODEL, causes=1, known_ids=ids)

    assert [c.evidence_id for c in found.checks[0].evidence] == ids[:10]


def test_what_is_clearly_meant_is_read_shortened_and_without_unknown_parts() -> None:
    (found,) = parse(answered(told(1, " Refuted", reason="x" * 9000, entity="y" * 9000, sure=True))).checks

    assert len(found.reason) == 4000
    assert len(found.entity) == 300
    assert found.outcome is Refutation.REFUTED


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-1, 4) | st.sampled_from(["refuted", "holds", "e2.1", "e9", "x", ""]),
    lambda c: (
        st.lists(c, max_size=4)
        | st.dictionaries(st.sampled_from([*Check.model_fields, "evidence_id", "x"]), c, max_size=5)
    ),
    max_leaves=15,
)


@given(st.dictionaries(st.sampled_from(["checks", "x"]), JSON | st.lists(JSON, max_size=3), max_size=2))
def test_any_answer_gives_at_most_one_check_for_each_cause_or_a_problem(arguments: dict[str, Any]) -> None:
    found = parse(answer(arguments))

    numbers = [c.cause for c in found.checks]
    assert numbers == sorted(set(numbers) & {1, 2})
    assert bool(numbers) is (found.problem is None)
    assert all(c.evidence for c in found.checks if c.outcome is Refutation.REFUTED)


# What it costs: outcomes of a first and a second cause (holds, weakened, refuted, not answered) under high confidence

UNCHANGED, ONE_GONE, LEAD_WEAK, BOTH, NONE_LEFT = "unchanged", "one gone", "lead weak", "both of these", "none left"
STEPS = {
    "HH": UNCHANGED,
    "HW": UNCHANGED,
    "HR": ONE_GONE,
    "H-": UNCHANGED,
    "WH": LEAD_WEAK,
    "WW": LEAD_WEAK,
    "WR": BOTH,
    "W-": LEAD_WEAK,
    "RH": ONE_GONE,
    "RW": BOTH,
    "RR": NONE_LEFT,
    "R-": ONE_GONE,
    "-H": UNCHANGED,
    "-W": UNCHANGED,
    "-R": ONE_GONE,
    "--": UNCHANGED,
}
COSTS = {
    UNCHANGED: {CONFIRMED: (CONFIRMED, HIGH), LIKELY: (LIKELY, HIGH), EXTERNAL: (EXTERNAL, HIGH)},
    ONE_GONE: {CONFIRMED: (LIKELY, MEDIUM), LIKELY: (LIKELY, MEDIUM), EXTERNAL: (EXTERNAL, MEDIUM)},
    LEAD_WEAK: {CONFIRMED: (LIKELY, MEDIUM), LIKELY: (LIKELY, LOW), EXTERNAL: (EXTERNAL, LOW)},
    BOTH: {CONFIRMED: (LIKELY, LOW), LIKELY: (LIKELY, LOW), EXTERNAL: (EXTERNAL, LOW)},
    NONE_LEFT: dict.fromkeys((CONFIRMED, LIKELY, EXTERNAL), (INCONCLUSIVE, LOW)),
}


def verification_of(outcomes: str) -> Verification:
    return verified(*(check(n, OUTCOMES[o], "e2.1") for n, o in enumerate(outcomes, 1) if o in OUTCOMES))


def test_the_table_holds_every_combination() -> None:
    assert set(STEPS) == {"".join(pair) for pair in product("HWR-", repeat=2)}


@pytest.mark.parametrize("confidence", list(Confidence))
@pytest.mark.parametrize("verdict", [CONFIRMED, LIKELY, EXTERNAL])
@pytest.mark.parametrize(("outcomes", "step"), STEPS.items())
def test_every_outcome_has_its_cost(outcomes: str, step: str, verdict: ReportVerdict, confidence: Confidence) -> None:
    expected, at_most = COSTS[step][verdict]

    left, failures = apply_verification(
        submission(cause("orders"), cause("cart"), verdict=verdict, confidence=confidence), verification_of(outcomes)
    )

    assert left.verdict is expected
    assert left.confidence is min(confidence, at_most, key=LOWEST_FIRST.index)
    assert [c.entity for c in left.root_causes] == [
        e for e, o in zip(("orders", "cart"), outcomes, strict=True) if o != "R"
    ]
    assert len(left.ruled_out) == outcomes.count("R")
    assert bool(failures) is (step != UNCHANGED)


@pytest.mark.parametrize("outcomes", STEPS)
@pytest.mark.parametrize("verdict", [INCONCLUSIVE, NO_INCIDENT])
def test_a_verdict_that_was_not_worth_verifying_stays(verdict: ReportVerdict, outcomes: str) -> None:
    claimed = submission(cause("orders"), cause("cart"), verdict=verdict)

    assert apply_verification(claimed, verification_of(outcomes)) == (claimed, ())


def test_a_verification_with_a_problem_changes_nothing() -> None:
    failed = verification_of("RR").model_copy(update={"problem": "the model did not answer"})
    claimed = submission(cause("orders"), cause("cart"))

    assert apply_verification(claimed, failed) == (claimed, ())


def test_a_refuted_cause_is_ruled_out_before_what_the_model_had_ruled_out() -> None:
    before = RuledOut(hypothesis="the disk", reason="it is idle")
    claimed = submission(cause("orders"), cause("cart"), ruled_out=(before,))

    left, failures = apply_verification(claimed, verified(check(1, Refutation.REFUTED, "e2.1", reason="It rose last.")))

    assert left.root_causes == (claimed.root_causes[1],)
    assert left.ruled_out == (
        RuledOut(
            hypothesis="orders is slow",
            reason="Refuted in the verify pass: It rose last.",
            evidence=(Citation(evidence_id="e2.1"),),
        ),
        before,
    )
    assert failures == (
        CheckFailure(
            claim="Root cause 1 (orders)",
            problem=(
                "refuted in the verify pass (verdict from confirmed to likely, confidence from high to medium):"
                " It rose last."
            ),
        ),
    )


def test_a_full_list_of_what_was_ruled_out_makes_room_for_a_refuted_cause() -> None:
    full = tuple(RuledOut(hypothesis=f"guess {n}", reason="it is idle") for n in range(30))

    left, _ = apply_verification(submission(cause(), ruled_out=full), verified(check(1, Refutation.REFUTED, "e2.1")))

    assert [r.hypothesis for r in left.ruled_out] == ["orders is slow", *(f"guess {n}" for n in range(29))]


def test_what_costs_neither_verdict_nor_confidence_is_told_all_the_same() -> None:
    claimed = submission(cause("orders"), verdict=LIKELY, confidence=LOW)

    left, failures = apply_verification(claimed, verified(check(1, Refutation.WEAKENED, reason="thin")))

    assert left == claimed
    assert [f.problem for f in failures] == ["weakened in the verify pass: thin"]


def test_a_check_of_a_cause_that_is_not_there_changes_nothing() -> None:
    claimed = submission(cause())

    assert apply_verification(claimed, verified(check(2, Refutation.REFUTED, "e2.1"))) == (claimed, ())


def test_of_two_checks_on_one_cause_only_the_first_counts() -> None:
    claimed = submission(cause())

    found = verified(check(1, Refutation.HOLDS), check(1, Refutation.REFUTED, "e2.1"))

    assert apply_verification(claimed, found) == (claimed, ())


TEXT = st.sampled_from(["short", "x" * 3990, "word " * 790])
RULED_OUT = RuledOut(hypothesis="the disk", reason="it is idle")
SUBMISSIONS = st.builds(
    Submission,
    verdict=st.sampled_from(ReportVerdict),
    confidence=st.sampled_from(Confidence),
    summary=st.just("It is slow."),
    root_causes=st.lists(TEXT, max_size=10).map(
        lambda texts: tuple(cause(f"e{n}", f"{n} {text}") for n, text in enumerate(texts))
    ),
    ruled_out=st.sampled_from([0, 1, 25, 30]).map(lambda n: (RULED_OUT,) * n),
)
CHECKS = st.lists(
    st.builds(
        check,
        st.integers(1, 12),
        st.sampled_from(Refutation),
        st.sampled_from(["e1.1", "e2.1"]),
        reason=st.sampled_from(["short", "x" * 4000]),
    ),
    max_size=14,
)


@given(SUBMISSIONS, CHECKS)
def test_no_verification_raises_a_verdict_or_loses_a_cause(claimed: Submission, checks: list[Check]) -> None:
    left, _ = apply_verification(claimed, verified(*checks))

    lower = {CONFIRMED: {LIKELY, INCONCLUSIVE}, LIKELY: {INCONCLUSIVE}, EXTERNAL: {INCONCLUSIVE}}
    assert left.verdict in {claimed.verdict, *lower.get(claimed.verdict, ())}
    assert LOWEST_FIRST.index(left.confidence) <= LOWEST_FIRST.index(claimed.confidence)
    ruled_out = {r.hypothesis for r in left.ruled_out}
    assert [c for c in claimed.root_causes if c.statement not in ruled_out] == list(left.root_causes)
    assert Submission.model_validate(left.model_dump()) == left
