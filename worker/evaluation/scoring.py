"""How good the answers were: scores per set and system, against the known truth of recorded incidents."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from worker.domain.states import ReportVerdict

NO_INCIDENT = "no_incident"
EXTERNAL = "external"
ROOT_CAUSE = "root_cause"

_SHORTEST_SHA = 7  # what git itself abbreviates a commit to
_DEEPEST_RANK = 5

_MEANING = {
    ReportVerdict.CONFIRMED: ROOT_CAUSE,
    ReportVerdict.LIKELY: ROOT_CAUSE,
    ReportVerdict.EXTERNAL: EXTERNAL,
    ReportVerdict.NO_INCIDENT: NO_INCIDENT,
}


@dataclass(frozen=True)
class CaseTruth:
    """What is known of a case: `entities` are the accepted names of its one culprit."""

    set_name: str
    system: str
    verdict: str
    entities: tuple[str, ...]
    commit: str | None = None


@dataclass(frozen=True)
class Outcome:
    """What an investigation of one case came to.

    `ranked` is strict, the likeliest first. `system` empty means: as the truth says. `failed` is the reason
    when there is no report; such a case is a miss everywhere, never left out.
    """

    case_id: str
    verdict: ReportVerdict | None
    ranked: tuple[str, ...] = ()
    change_id: str | None = None
    system: str = ""
    failed: str | None = None


@dataclass(frozen=True)
class SetScore:
    """The scores of one system of one set; a share is None where no case asks for it."""

    set_name: str
    system: str
    n: int
    n_incidents: int
    n_healthy: int
    n_failed: int
    ac_at_1: float | None
    ac_at_3: float | None
    avg_at_5: float | None
    specificity: float | None
    no_incident_on_incidents: float | None
    commit_accuracy: float | None
    verdict_accuracy: float | None


Pair = tuple[Outcome, CaseTruth]


def parse_truth(set_name: str, content: Mapping[str, Mapping[str, Any]]) -> dict[str, CaseTruth]:
    """Read the content of one set's `truth.json`, keyed by case id."""
    return {
        case_id: CaseTruth(
            set_name=set_name,
            system=known["system"],
            verdict=known["verdict"],
            entities=tuple(known.get("entities") or ()),
            commit=(known.get("extra") or {}).get("commit"),
        )
        for case_id, known in content.items()
    }


def score(outcomes: Iterable[Outcome], truth: Mapping[str, CaseTruth]) -> list[SetScore]:
    """Score per set and system, in the order of their names. An outcome without a truth raises `KeyError`."""
    groups: dict[tuple[str, str], list[Pair]] = {}
    for outcome in outcomes:
        known = truth[outcome.case_id]
        groups.setdefault((known.set_name, outcome.system or known.system), []).append((outcome, known))
    return [_score_group(set_name, system, groups[set_name, system]) for set_name, system in sorted(groups)]


def culprit_rank(outcome: Outcome, known: CaseTruth) -> int | None:
    """Return the culprit's rank, 1 the best; None when it was not named.

    It is one more than the number of other entities ranked at least as high. Names of the culprit itself
    are not others, and a name that is repeated is one entity.
    """
    accepted = set(known.entities)
    others: set[str] = set()
    for name in outcome.ranked if not outcome.failed else ():
        if name in accepted:
            return len(others) + 1
        others.add(name)
    return None


def says_no_incident(outcome: Outcome) -> bool:
    return not outcome.failed and outcome.verdict is ReportVerdict.NO_INCIDENT


def is_right_commit(outcome: Outcome, known: CaseTruth) -> bool:
    """Say whether the guilty commit was named; where none is guilty, whether none was named."""
    if outcome.failed:
        return False
    if known.commit is None:
        return outcome.change_id is None
    return _is_same_commit(outcome.change_id, known.commit)


def is_right_verdict(outcome: Outcome, known: CaseTruth) -> bool:
    """Compare what the verdict means: confirmed and likely both claim a root cause, inconclusive claims nothing."""
    if outcome.failed or outcome.verdict is None:
        return False
    return _MEANING.get(outcome.verdict) == known.verdict


def _is_same_commit(named: str | None, guilty: str) -> bool:
    return bool(named) and (
        named == guilty or (len(str(named)) >= _SHORTEST_SHA and guilty.startswith(str(named).lower()))
    )


def _score_group(set_name: str, system: str, pairs: list[Pair]) -> SetScore:
    incidents = [p for p in pairs if p[1].verdict != NO_INCIDENT]
    healthy = [p for p in pairs if p[1].verdict == NO_INCIDENT]
    ranks = [culprit_rank(*p) for p in incidents]
    knows_commits = any(known.commit for _, known in pairs)
    return SetScore(
        set_name=set_name,
        system=system,
        n=len(pairs),
        n_incidents=len(incidents),
        n_healthy=len(healthy),
        n_failed=sum(bool(outcome.failed) for outcome, _ in pairs),
        ac_at_1=_accuracy_at(1, ranks),
        ac_at_3=_accuracy_at(3, ranks),
        avg_at_5=_average_accuracy(ranks),
        specificity=_share([says_no_incident(o) for o, _ in healthy]),
        no_incident_on_incidents=_share([says_no_incident(o) for o, _ in incidents]),
        commit_accuracy=_share([is_right_commit(*p) for p in pairs]) if knows_commits else None,
        verdict_accuracy=_share([is_right_verdict(*p) for p in pairs]),
    )


def _accuracy_at(k: int, ranks: list[int | None]) -> float | None:
    return _share([rank is not None and rank <= k for rank in ranks])


def _average_accuracy(ranks: list[int | None]) -> float | None:
    """Return the mean of AC@1 to AC@5."""
    shares = [_accuracy_at(k, ranks) for k in range(1, _DEEPEST_RANK + 1)]
    known = [s for s in shares if s is not None]
    return sum(known) / len(known) if known else None


def _share(answers: list[bool]) -> float | None:
    return sum(answers) / len(answers) if answers else None
