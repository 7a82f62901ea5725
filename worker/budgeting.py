"""Reserves what a call may take before it is made, and says whose new investigations wait for a budget of the day."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from sqlalchemy.orm import Session

from worker.domain.conversation import ModelRequest, Route
from worker.domain.incident import Budget
from worker.domain.states import ASIDE, InvestigationStatus, Purpose
from worker.domain.transcript import Amount, Claim, Limits
from worker.investigation import budget
from worker.investigation.budget import NOTHING, Bound, Cap, NextCall, OwnBounds, Stage
from worker.investigation.messages import request_tokens
from worker.services import Services
from worker.settings import Settings
from worker.storage import openings, reservations, spending, usage
from worker.storage.database import database_now, serialise
from worker.storage.investigations import Listed
from worker.storage.reservations import Account
from worker.storage.spending import Day
from worker.storage.tables import InvestigationRow

CALLS_A_MOMENT = 2
"""How many calls each running investigation may begin while what is known of the day is a moment old."""


@dataclass(frozen=True)
class NextAsk:
    """A call about to be made: for what, to whom, and what it is expected to take."""

    purpose: Purpose
    route: Route
    call: NextCall


def limits_of(settings: Settings, wanted: Budget | None = None) -> Limits:
    """Return the limits of an investigation that starts now."""
    operator = Limits(
        max_turns=settings.rca_max_turns,
        max_tokens=settings.rca_max_tokens,
        max_cost_usd=settings.rca_max_cost_usd,
        max_seconds=settings.rca_max_seconds,
    )
    return budget.pin_limits(operator, wanted)


def expect(services: Services, claim: Claim, purpose: Purpose, *, route: Route, request: ModelRequest) -> NextAsk:
    """Return what asking this is expected to take, of the dearest model that may answer."""
    tokens, unpriced = request_tokens(request), services.settings.rca_unpriced_usd_per_mtok
    calls = [NextCall(claim.agent.turn_no, tokens, one.price, unpriced) for one in (route, *route.fallbacks)]
    return NextAsk(purpose, route, max(calls, key=lambda call: call.amount.cost_usd))


def reserve(services: Services, claim: Claim, ask: NextAsk) -> Bound:
    """Reserve the call unless its bound is SPENT. One agent of an investigation at a time passes here.

    A call beside the conversation, such as the judge's, leaves room for the conversation's own next one: the report
    comes before whoever serves it. Raises `LeaseLostError`, and `TransientError` for an agent that was cancelled.
    """
    with services.database.transaction() as session:
        account = reservations.lock_account(session, claim)
        bound = _check(services, session, account, ask)
        if ask.purpose is Purpose.SUBAGENT:
            bound = budget.check_sub_agent(bound, _own_bounds(services, session, claim, account))
        if bound.stage is not Stage.SPENT:
            expected = usage.Call(ask.purpose, ask.route, usage.RESERVED, counted=ask.call.amount)
            reservations.reserve(session, claim, expected)
    return bound


def _check(services: Services, session: Session, account: Account, ask: NextAsk) -> Bound:
    limits = account.limits or limits_of(services.settings)
    is_ours = ask.route.billed_to == "platform"
    days = _caps_before(services, session, account.user_path, ask.call) if is_ours else ()
    if ask.purpose is Purpose.SUBAGENT:
        return budget.check_aside(limits, account.spent, ask.call, kept=budget.synthesis_of(ask.call), days=days)
    if ask.purpose in ASIDE:
        kept = NOTHING if ask.purpose is Purpose.VERIFY else account.largest  # after the last turn none comes
        return budget.check_aside(limits, account.spent, ask.call, kept=kept, days=days)
    return budget.check_budget(limits, account.spent, ask.call, days=days)


def _own_bounds(services: Services, session: Session, claim: Claim, account: Account) -> OwnBounds:
    """Return how a sub-agent stands in its own turns and time; the investigation's bound on turns holds for each."""
    agent, most = claim.agent, (account.limits or limits_of(services.settings)).max_turns
    began_at = agent.created_at or claim.claimed_at
    return OwnBounds(
        max_turns=min(most, agent.brief.max_turns) if agent.brief else most,
        turn_no=agent.turn_no,
        max_seconds=(agent.deadline_at - began_at).total_seconds(),
        elapsed_s=(database_now(session) - began_at).total_seconds(),
    )


def _caps_before(services: Services, session: Session, user_path: str, call: NextCall) -> tuple[Cap, ...]:
    """Return the day's caps: as they were a moment ago while they are far, exactly once they may be reached."""
    settings = services.settings
    if not has_day_limits(settings):
        return ()
    caps = caps_of(settings, services.recent_day.read(session), user_path)
    calls = CALLS_A_MOMENT * settings.rca_max_running
    if not any(cap.is_near(call, calls=calls) for cap in caps):
        return caps
    serialise(session, "budget of the day")
    return caps_of(settings, spending.read_day(session), user_path)


def has_day_limits(settings: Settings) -> bool:
    fleet = (settings.rca_day_tokens, settings.rca_day_cost_usd)
    return any(limit is not None for limit in (*fleet, *_path_limits(settings)))


def caps_of(settings: Settings, day: Day, user_path: str) -> tuple[Cap, ...]:
    """Return what binds this path today: the fleet's budget and its own, without those that were lifted."""
    return (*fleet_caps(settings, day), *path_caps(settings, day, user_path))


def fleet_caps(settings: Settings, day: Day) -> tuple[Cap, ...]:
    if day.is_fleet_lifted:
        return ()
    tokens, usd = settings.rca_day_tokens, settings.rca_day_cost_usd
    return budget.cap_both("the fleet's budget of ", " a day", tokens=tokens, usd=usd, spent=day.fleet)


def path_caps(settings: Settings, day: Day, user_path: str) -> tuple[Cap, ...]:
    """A path's budget is its own: a path below it has another."""
    if day.is_lifted(user_path):
        return ()
    tokens, usd = _path_limits(settings)
    spent = day.paths.get(user_path, Amount())
    return budget.cap_both(f"the budget of {user_path} of ", " a day", tokens=tokens, usd=usd, spent=spent)


def find_wait(settings: Settings, day: Day, user_path: str, *, opening: Amount = NOTHING) -> str | None:
    """Say which budget of the day keeps this path's new investigations waiting; None if none does.

    `opening` is what the first call of one takes, where that is known. Shown to whoever may see the path, so it
    tells no figures of the fleet's.
    """
    if fleets := _find_fleet_wait(settings, day, opening=opening):
        return fleets
    reached = budget.find_reached(path_caps(settings, day, user_path), opening=opening)
    if reached is None:
        return None
    return f"{reached.what} is reached: it waits until 00:00 UTC, or for `rca budget lift --user-path {user_path}`"


def _find_fleet_wait(settings: Settings, day: Day, *, opening: Amount = NOTHING) -> str | None:
    if budget.find_reached(fleet_caps(settings, day), opening=opening) is None:
        return None
    return "the fleet's budget of the day is reached: it waits until 00:00 UTC, or for `rca budget lift`"


@dataclass(frozen=True)
class Standing:
    """How one budget of the day stands: a user path's, or the fleet's (None)."""

    user_path: str | None
    tokens: int
    cost_usd: float
    max_tokens: int | None
    max_cost_usd: float | None
    is_lifted: bool
    waits_for: str | None
    waiting: int


@dataclass(frozen=True)
class DayStanding:
    """How the budgets of the day stand: of the fleet, and of every path that spent, waits or was lifted."""

    day: Day
    fleet: Standing
    paths: tuple[Standing, ...]


def read_standing(settings: Settings, session: Session) -> DayStanding:
    """Return how the day stands, read afresh."""
    day, queued = spending.read_day(session), spending.queued_by_path(session)
    fleet = Standing(
        user_path=None,
        tokens=day.fleet.tokens,
        cost_usd=day.fleet.cost_usd,
        max_tokens=settings.rca_day_tokens,
        max_cost_usd=settings.rca_day_cost_usd,
        is_lifted=day.is_fleet_lifted,
        waits_for=_find_fleet_wait(settings, day),
        waiting=sum(queued.values()),
    )
    paths = sorted({*day.paths, *queued, *(lift.user_path for lift in day.lifts if lift.user_path)})
    return DayStanding(day, fleet, tuple(_path_standing(settings, day, p, waiting=queued.get(p, 0)) for p in paths))


def _path_standing(settings: Settings, day: Day, user_path: str, *, waiting: int) -> Standing:
    spent, (max_tokens, max_cost_usd) = day.paths.get(user_path, Amount()), _path_limits(settings)
    return Standing(
        user_path=user_path,
        tokens=spent.tokens,
        cost_usd=spent.cost_usd,
        max_tokens=max_tokens,
        max_cost_usd=max_cost_usd,
        is_lifted=day.is_lifted(user_path),
        waits_for=find_wait(settings, day, user_path),
        waiting=waiting,
    )


def tell_waits(settings: Settings, session: Session, found: Sequence[Listed]) -> list[Listed]:
    """Return the same with what each queued one waits for, where that is a budget of the day."""
    is_asked = has_day_limits(settings) and any(row.status == InvestigationStatus.QUEUED for row in found)
    if not is_asked:
        return list(found)
    day = spending.read_day(session)
    known = openings.read_all(session, [row.id for row in found])
    return [
        replace(row, waits_for=find_wait(settings, day, row.user_path, opening=known.get(row.id, NOTHING)))
        if row.status == InvestigationStatus.QUEUED
        else row
        for row in found
    ]


class DayGate:
    """Lets new investigations through while no budget of the day is reached, within one transaction.

    What is known to be reached a moment ago still is. Whatever is let through is looked at exactly: it would end
    before it has begun.
    """

    def __init__(self, services: Services, session: Session) -> None:
        self._settings = services.settings
        self._has_limits = has_day_limits(services.settings)
        self._recent = services.recent_day.read(session) if self._has_limits else None
        self._now: Day | None = None

    @property
    def is_closed(self) -> bool:
        """Say whether nothing at all may start."""
        return self._recent is not None and budget.find_reached(fleet_caps(self._settings, self._recent)) is not None

    def may_run(self, session: Session, row: InvestigationRow) -> bool:
        if self._recent is None:
            return True
        opening = openings.opening_of(row) or NOTHING
        if find_wait(self._settings, self._recent, row.user_path, opening=opening):
            return False
        self._now = self._now or spending.read_day(session)
        return find_wait(self._settings, self._now, row.user_path, opening=opening) is None


def _path_limits(settings: Settings) -> tuple[int | None, float | None]:
    return settings.rca_day_tokens_per_path, settings.rca_day_cost_usd_per_path
