from hypothesis import given
from hypothesis import strategies as st

from worker.domain.states import ReportVerdict
from worker.evaluation.scoring import (
    CaseTruth,
    Outcome,
    SetScore,
    culprit_rank,
    is_right_commit,
    is_right_verdict,
    parse_truth,
    score,
)

SHA = "4f2a9c1d7e8b3a6055aa0123456789abcdef0123"


def truth_of(verdict: str = "root_cause", *entities: str, system: str = "shop", commit: str | None = None) -> CaseTruth:
    return CaseTruth(set_name="made-up", system=system, verdict=verdict, entities=entities, commit=commit)


def outcome_of(*ranked: str, verdict: ReportVerdict | None = ReportVerdict.LIKELY, case_id: str = "c1") -> Outcome:
    return Outcome(case_id, verdict, ranked)


def only_score(pairs: dict[str, tuple[Outcome, CaseTruth]]) -> SetScore:
    scores = score([o for o, _ in pairs.values()], {case_id: t for case_id, (_, t) in pairs.items()})
    assert len(scores) == 1
    return scores[0]


def test_the_rank_counts_the_others_before_the_culprit() -> None:
    assert culprit_rank(outcome_of("cart", "stock", "pay"), truth_of("root_cause", "pay")) == 3


def test_an_unnamed_culprit_has_no_rank() -> None:
    assert culprit_rank(outcome_of("cart", "stock"), truth_of("root_cause", "pay")) is None


def test_any_accepted_name_counts_and_none_of_them_stands_in_the_way() -> None:
    known = truth_of("root_cause", "pay", "pay-7f9d")

    assert culprit_rank(outcome_of("cart", "pay-7f9d", "pay"), known) == 2


def test_a_repeated_name_takes_one_rank_only() -> None:
    assert culprit_rank(outcome_of("cart", "cart", "pay"), truth_of("root_cause", "pay")) == 2


def test_a_failed_investigation_ranks_nothing() -> None:
    failed = Outcome("c1", None, ("pay",), failed="provider_unavailable")

    assert culprit_rank(failed, truth_of("root_cause", "pay")) is None


def test_accuracies_are_shares_of_the_incidents() -> None:
    known = truth_of("root_cause", "pay")
    found = only_score(
        {
            "a": (outcome_of("pay", case_id="a"), known),
            "b": (outcome_of("x", "pay", case_id="b"), known),
            "c": (outcome_of("x", "y", "z", "w", "pay", case_id="c"), known),
            "d": (outcome_of("x", case_id="d"), known),
        }
    )

    assert (found.ac_at_1, found.ac_at_3) == (0.25, 0.5)
    assert found.avg_at_5 == (0.25 + 0.5 + 0.5 + 0.5 + 0.75) / 5


def test_cases_without_incident_count_for_specificity_and_not_for_accuracy() -> None:
    found = only_score(
        {
            "a": (outcome_of(case_id="a", verdict=ReportVerdict.NO_INCIDENT), truth_of("no_incident")),
            "b": (outcome_of("x", case_id="b"), truth_of("no_incident")),
            "c": (outcome_of("pay", case_id="c"), truth_of("root_cause", "pay")),
        }
    )

    assert (found.n, found.n_incidents, found.n_healthy) == (3, 1, 2)
    assert (found.ac_at_1, found.specificity) == (1.0, 0.5)


def test_saying_no_incident_of_a_real_one_is_counted() -> None:
    known = truth_of("root_cause", "pay")
    found = only_score(
        {
            "a": (outcome_of(case_id="a", verdict=ReportVerdict.NO_INCIDENT), known),
            "b": (outcome_of("pay", case_id="b"), known),
        }
    )

    assert found.no_incident_on_incidents == 0.5
    assert found.specificity is None


def test_a_failed_case_stays_in_every_denominator() -> None:
    failed = Outcome("a", None, failed="deadline")
    found = only_score(
        {"a": (failed, truth_of("no_incident")), "b": (outcome_of(case_id="b"), truth_of("no_incident"))}
    )

    assert found.n_failed == 1
    assert found.specificity == 0.0


def test_the_guilty_commit_may_be_abbreviated_as_git_does() -> None:
    known = truth_of("root_cause", "pay", commit=SHA)

    assert is_right_commit(Outcome("a", ReportVerdict.LIKELY, change_id=SHA), known)
    assert is_right_commit(Outcome("a", ReportVerdict.LIKELY, change_id=SHA[:7]), known)
    assert not is_right_commit(Outcome("a", ReportVerdict.LIKELY, change_id=SHA[:6]), known)
    assert not is_right_commit(Outcome("a", ReportVerdict.LIKELY), known)


def test_an_external_case_wants_no_commit_named() -> None:
    known = truth_of("external", "provider")

    assert is_right_commit(Outcome("a", ReportVerdict.LIKELY), known)
    assert not is_right_commit(Outcome("a", ReportVerdict.EXTERNAL, change_id=SHA), known)
    assert not is_right_commit(Outcome("a", None, failed="deadline"), known)


def test_commit_accuracy_is_over_all_cases_of_a_set_that_knows_commits() -> None:
    guilty = truth_of("root_cause", "pay", commit=SHA)
    found = only_score(
        {
            "a": (Outcome("a", ReportVerdict.LIKELY, change_id=SHA), guilty),
            "b": (Outcome("b", ReportVerdict.LIKELY, change_id="0" * 40), guilty),
            "c": (Outcome("c", ReportVerdict.EXTERNAL), truth_of("external")),
            "d": (Outcome("d", ReportVerdict.INCONCLUSIVE), guilty),
        }
    )

    assert found.commit_accuracy == 0.5


def test_a_set_without_commits_has_no_commit_accuracy() -> None:
    assert only_score({"c1": (outcome_of("pay"), truth_of("root_cause", "pay"))}).commit_accuracy is None


def test_confirmed_and_likely_both_mean_a_root_cause() -> None:
    known = truth_of("root_cause", "pay")

    right = {v: is_right_verdict(outcome_of(verdict=v), known) for v in ReportVerdict}

    assert right == {
        ReportVerdict.CONFIRMED: True,
        ReportVerdict.LIKELY: True,
        ReportVerdict.INCONCLUSIVE: False,
        ReportVerdict.NO_INCIDENT: False,
        ReportVerdict.EXTERNAL: False,
    }


def test_inconclusive_is_never_the_right_verdict() -> None:
    inconclusive = outcome_of(verdict=ReportVerdict.INCONCLUSIVE)

    assert not any(is_right_verdict(inconclusive, truth_of(v)) for v in ("root_cause", "external", "no_incident"))


def test_systems_and_sets_are_never_pooled() -> None:
    truth = {
        "a": CaseTruth("first", "shop", "root_cause", ("pay",)),
        "b": CaseTruth("first", "trains", "root_cause", ("pay",)),
        "c": CaseTruth("second", "shop", "root_cause", ("pay",)),
    }

    scores = score([outcome_of("pay", case_id=c) for c in "cba"], truth)

    assert [(s.set_name, s.system, s.n) for s in scores] == [
        ("first", "shop", 1),
        ("first", "trains", 1),
        ("second", "shop", 1),
    ]


def test_the_truth_file_is_read_with_its_commit() -> None:
    content = {"c1": {"system": "shop", "verdict": "root_cause", "entities": ["pay"], "extra": {"commit": SHA}}}

    assert parse_truth("made-up", content) == {"c1": CaseTruth("made-up", "shop", "root_cause", ("pay",), SHA)}


@given(st.lists(st.sampled_from("abcdefg"), max_size=8), st.sampled_from("abcdefg"))
def test_accuracy_never_falls_with_a_longer_list(ranked: list[str], culprit: str) -> None:
    found = only_score({"c1": (outcome_of(*ranked), truth_of("root_cause", culprit))})

    assert found.ac_at_1 is not None
    assert found.ac_at_3 is not None
    assert found.avg_at_5 is not None
    assert found.ac_at_1 <= found.ac_at_3 <= 1
    assert found.ac_at_1 <= found.avg_at_5 <= 1
    assert (found.avg_at_5 > 0) == (culprit in list(dict.fromkeys(ranked))[:5])
