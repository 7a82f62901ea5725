"""What shows that nothing was wrong: of each kind of observation the one farthest from its usual state, cited."""

from collections.abc import Iterator

from worker.domain.report import Citation, RuledOut
from worker.investigation.offline.observations import MetricMove, Observations
from worker.investigation.offline.ranking import Ranking

_MAX_SHOWN = 3


def find_calm(seen: Observations, ranking: Ranking) -> tuple[RuledOut, ...]:
    """Return what was looked at where nothing deviates; empty where nothing was seen that would have shown it."""
    return (*_calm_series(ranking), *_calm_logs(seen), *_calm_states(seen))


def _calm_series(ranking: Ranking) -> Iterator[RuledOut]:
    """Cite what users would feel; a series without figures of both times was not compared and shows nothing."""
    compared = [m for m in ranking.felt if m.usual is not None and m.now is not None]
    farthest = sorted(compared, key=_distance, reverse=True)[:_MAX_SHOWN]
    if farthest:
        most = farthest[0]
        yield RuledOut(
            hypothesis="Users wait longer than usual or see errors",
            reason=(
                f"None of the {len(compared)} series that would show it got worse than usual for longer than a moment."
                f" Nearest to it: {most.metric} of {most.entity}, {most.usual:.4g} usually and {most.now:.4g} now."
            ),
            evidence=tuple(m.source.cite() for m in farthest),
        )


def _distance(move: MetricMove) -> float:
    """Return how far it went the wrong way; what got better for good lies behind everything else."""
    return -1.0 if move.is_lasting and move.worsening <= 0 else move.score


def _calm_logs(seen: Observations) -> Iterator[RuledOut]:
    severe = [m for m in seen.logs if m.is_severe]
    if seen.logs:
        yield RuledOut(
            hypothesis="The logs are full of errors",
            reason=(
                f"Of the {len(seen.logs)} patterns that changed most {len(severe)} are errors,"
                " and none of them came more often than chance explains."
            ),
            evidence=(max(severe or seen.logs, key=lambda m: m.score).source.cite(),),
        )


def _calm_states(seen: Observations) -> Iterator[RuledOut]:
    if seen.states:
        yield RuledOut(
            hypothesis="Something reports a state in which it cannot do its work",
            reason="Among the states told there is no severe one, and no two mild ones meet at one place.",
            evidence=tuple(Citation(evidence_id=i) for i in seen.states),
        )
