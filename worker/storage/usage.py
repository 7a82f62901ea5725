"""Usage: one row per model call, and the sums that budgets are checked against."""

from dataclasses import dataclass, field

from sqlalchemy import and_, func, select
from sqlalchemy.orm import Session

from worker.domain.conversation import Route, Usage
from worker.domain.report import UsageLine
from worker.domain.states import Purpose
from worker.domain.transcript import Agent, Spent
from worker.storage.database import database_now
from worker.storage.tables import InvestigationRow, UsageRow
from worker.storage.types import UtcDateTime


@dataclass(frozen=True)
class Call:
    """One model call as it is booked. `outcome` is `ok` or the reason of the error."""

    purpose: Purpose
    route: Route
    outcome: str
    usage: Usage = field(default_factory=Usage)
    cost_usd: float | None = None
    attempts: int = 1
    latency_ms: int = 0


def book(session: Session, agent: Agent, call: Call) -> None:
    """Write the usage row of a call."""
    session.add(
        UsageRow(
            investigation_id=agent.investigation_id,
            agent_id=agent.id,
            turn_no=agent.turn_no,
            purpose=call.purpose,
            provider=call.route.provider,
            model=call.route.model,
            outcome=call.outcome,
            **call.usage.model_dump(),
            cost_usd=call.cost_usd,
            price_source=call.route.price.source if call.route.price else None,
            billed_to="platform",
            attempts=call.attempts,
            latency_ms=call.latency_ms,
            created_at=database_now(session),
        )
    )


def spent(session: Session, investigation_id: str) -> Spent:
    """Return what the investigation has used since it was admitted, with the attempts it resumes left out."""
    row = UsageRow
    tokens = func.coalesce(func.sum(func.coalesce(row.input_tokens, 0) + func.coalesce(row.output_tokens, 0)), 0)
    unpriced = func.count(row.id).filter(row.cost_usd.is_(None))
    answered = and_(row.investigation_id == InvestigationRow.id, row.outcome == "ok")
    began = func.coalesce(InvestigationRow.admitted_at, InvestigationRow.created_at, type_=UtcDateTime)
    sums = session.execute(
        select(began, tokens, func.coalesce(func.sum(row.cost_usd), 0.0), unpriced)
        .select_from(InvestigationRow)
        .outerjoin(row, answered)
        .where(InvestigationRow.id == investigation_id)
        .group_by(InvestigationRow.id)
    ).one()
    elapsed = (database_now(session) - sums[0]).total_seconds()
    return Spent(tokens=int(sums[1]), cost_usd=float(sums[2] or 0), unpriced_calls=int(sums[3]), elapsed_s=elapsed)


def lines(session: Session, investigation_id: str) -> tuple[UsageLine, ...]:
    """Return the calls of an investigation by purpose and model; a sum with an unknown part is unknown."""
    wanted = select(UsageRow).where(UsageRow.investigation_id == investigation_id, UsageRow.outcome == "ok")
    groups: dict[tuple[str, str], list[UsageRow]] = {}
    for row in session.scalars(wanted.order_by(UsageRow.id)):
        groups.setdefault((row.purpose, f"{row.provider}/{row.model}"), []).append(row)
    return tuple(_line(purpose, model, rows) for (purpose, model), rows in groups.items())


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
