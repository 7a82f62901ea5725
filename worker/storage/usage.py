"""Usage: one row per model call, reserved before it and booked after, and the sums that budgets are checked against."""

from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import (
    ColumnElement,
    String,
    and_,
    case,
    delete,
    func,
    insert,
    literal_column,
    not_,
    or_,
    select,
    update,
)
from sqlalchemy.orm import Session

from worker.domain.conversation import Route, Usage
from worker.domain.report import UsageLine
from worker.domain.states import Purpose
from worker.domain.transcript import Amount, Claim, Spent
from worker.storage.database import database_now
from worker.storage.tables import AgentRow, InvestigationRow, UsageRow
from worker.storage.types import UtcDateTime

OK, RESERVED = "ok", "reserved"
IS_RESERVED: ColumnElement[bool] = UsageRow.outcome == literal_column(f"'{RESERVED}'", String)
"""A literal, not a bound value: in a prepared plan the index of reservations would not match."""
COLUMNS = tuple(c.name for c in UsageRow.__table__.columns if c.name != "id")
OLD_USD_PER_MTOK = 20.0
"""What tokens of unknown price count as in rows written before calls were counted."""


@dataclass(frozen=True)
class Call:
    """One model call as it is booked. `outcome` is `ok` or the reason of the error; `counted` is for budgets.

    `fallback_of` is the label of the model whose place the route's took, `fallback_reason` why it had to.
    """

    purpose: Purpose
    route: Route
    outcome: str
    usage: Usage = field(default_factory=Usage)
    cost_usd: float | None = None
    attempts: int = 1
    latency_ms: int = 0
    counted: Amount = field(default_factory=Amount)
    fallback_of: str | None = None
    fallback_reason: str | None = None


def book(session: Session, claim: Claim, call: Call) -> None:
    """Write the usage row of a call over its reservation."""
    row, values = UsageRow, values_of(session, claim, call)
    key = (row.agent_id == claim.agent.id, row.turn_no == claim.agent.turn_no, row.purpose == call.purpose)
    own = update(row).where(*key, IS_RESERVED, row.claim_token == claim.token)
    if session.scalar(own.values(**values).returning(row.id)) is None:
        session.execute(insert(row).values(**values))


def book_alone(session: Session, call: Call, *, user_path: str) -> None:
    """Write the usage row of a call that belongs to no investigation."""
    session.execute(insert(UsageRow).values(**_of_call(session, call), agent_id="", turn_no=0, user_path=user_path))


def release(session: Session, agent_id: str) -> None:
    """Drop the agent's reservations: its step has ended without the call being booked."""
    row = UsageRow
    session.execute(delete(row).where(row.agent_id == agent_id, IS_RESERVED))


def values_of(session: Session, claim: Claim, call: Call) -> dict[str, Any]:
    return {
        **_of_call(session, call),
        "investigation_id": claim.agent.investigation_id,
        "agent_id": claim.agent.id,
        "turn_no": claim.agent.turn_no,
        "claim_token": claim.token if call.outcome == RESERVED else None,
    }


def _of_call(session: Session, call: Call) -> dict[str, Any]:
    return {
        "purpose": call.purpose,
        "provider": call.route.provider,
        "model": call.route.model,
        "outcome": call.outcome,
        **call.usage.model_dump(),
        "cost_usd": call.cost_usd,
        "price_source": call.route.price.source if call.route.price else None,
        "billed_to": call.route.billed_to,
        "attempts": call.attempts,
        "latency_ms": call.latency_ms,
        "created_at": database_now(session),
        "counted_tokens": call.counted.tokens,
        "counted_cost_usd": call.counted.cost_usd,
        "fallback_of": call.fallback_of,
        "fallback_reason": call.fallback_reason,
    }


def counts() -> ColumnElement[bool]:
    """Return the condition under which a row counts: a reservation only while its agent holds the claim."""
    row = UsageRow
    holder = select(AgentRow.id).where(AgentRow.id == row.agent_id, AgentRow.claim_token == row.claim_token)
    return or_(not_(IS_RESERVED), holder.exists())


def counted_sums() -> tuple[ColumnElement[int], ColumnElement[float]]:
    """Return the sums of tokens and of dollars over rows that count."""
    row = UsageRow
    known = case((row.outcome == OK, _said()), else_=0)
    dollars = case((row.outcome == OK, func.coalesce(row.cost_usd, _said() * OLD_USD_PER_MTOK / 1_000_000)), else_=0.0)
    tokens = func.sum(func.coalesce(row.counted_tokens, known))
    return func.coalesce(tokens, 0), func.coalesce(func.sum(func.coalesce(row.counted_cost_usd, dollars)), 0.0)


def _said() -> ColumnElement[int]:
    return func.coalesce(UsageRow.input_tokens, 0) + func.coalesce(UsageRow.output_tokens, 0)


def spent(session: Session, investigation_id: str) -> Spent:
    """Return what the investigation has used since it was admitted, with the attempts it resumes left out."""
    row = UsageRow
    is_ok = row.outcome == OK
    tokens, dollars = func.sum(_said()).filter(is_ok), func.sum(row.cost_usd).filter(is_ok)
    unpriced = func.count(row.id).filter(is_ok, row.cost_usd.is_(None))
    began = func.coalesce(InvestigationRow.admitted_at, InvestigationRow.created_at, type_=UtcDateTime)
    wanted = (
        select(began, func.coalesce(tokens, 0), func.coalesce(dollars, 0.0), unpriced, *counted_sums())
        .select_from(InvestigationRow)
        .outerjoin(row, and_(row.investigation_id == InvestigationRow.id, counts()))
        .where(InvestigationRow.id == investigation_id)
        .group_by(InvestigationRow.id)
    )
    sums = session.execute(wanted).one()
    elapsed = (database_now(session) - sums[0]).total_seconds()
    counted = Amount(int(sums[4]), float(sums[5]))
    return Spent(int(sums[1]), float(sums[2] or 0), int(sums[3]), elapsed, counted)


def lines(session: Session, investigation_id: str) -> tuple[UsageLine, ...]:
    """Return the calls of an investigation by purpose and model; a sum with an unknown part is unknown."""
    wanted = select(UsageRow).where(UsageRow.investigation_id == investigation_id, UsageRow.outcome == OK)
    groups: dict[tuple[str, str], list[UsageRow]] = {}
    for row in session.scalars(wanted.order_by(UsageRow.id)):
        groups.setdefault((row.purpose, f"{row.provider}/{row.model}"), []).append(row)
    return tuple(_line(purpose, model, rows) for (purpose, model), rows in groups.items())


def fallbacks(session: Session, investigation_id: str) -> tuple[str, ...]:
    """Say which models answered in another's place, in the order in which they first did."""
    row = UsageRow
    told = (row.purpose, row.provider, row.model, row.fallback_of, row.fallback_reason)
    wanted = select(*told, func.count()).where(row.investigation_id == investigation_id, row.fallback_of.is_not(None))
    return tuple(
        f"{provider}/{model} answered {count} {'call' if count == 1 else 'calls'} ({purpose}) in place of {other}:"
        f" {reason}."
        for purpose, provider, model, other, reason, count in session.execute(
            wanted.group_by(*told).order_by(func.min(row.id))
        )
    )


@dataclass(frozen=True)
class Used:
    """What an agent's answered calls took; a sum with an unknown part is unknown, which is None."""

    tokens: int | None = 0
    cost_usd: float | None = 0.0


def by_agent(session: Session, investigation_id: str) -> dict[str, Used]:
    """Return what each agent used, with its judge's and its verifier's calls; whoever made no call is left out."""
    row = UsageRow
    known = (func.count(row.input_tokens + row.output_tokens), func.count(row.cost_usd))
    wanted = select(row.agent_id, func.count(row.id), *known, func.sum(_said()), func.sum(row.cost_usd))
    answered = wanted.where(row.investigation_id == investigation_id, row.outcome == OK)
    return {
        agent_id: Used(int(tokens) if told == calls else None, cost if priced == calls else None)
        for agent_id, calls, told, priced, tokens, cost in session.execute(answered.group_by(row.agent_id))
    }


def _line(purpose: str, model: str, rows: list[UsageRow]) -> UsageLine:
    def total(values: list[int | None]) -> int | None:
        return None if None in values else sum(v or 0 for v in values)

    costs = [r.cost_usd for r in rows]
    return UsageLine(
        purpose=purpose,
        model=model,
        calls=len(rows),
        input_tokens=total([r.input_tokens for r in rows]),
        cached_input_tokens=total([r.cached_input_tokens for r in rows]),
        output_tokens=total([r.output_tokens for r in rows]),
        cost_usd=None if None in costs else sum(c or 0.0 for c in costs),
    )
