"""Reservations: a call counts before it is made, so that the agents of an investigation can share one budget."""

from dataclasses import dataclass
from datetime import UTC, datetime

from sqlalchemy import ColumnElement, func, literal, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from worker.domain.states import ASIDE
from worker.domain.transcript import Amount, Claim, Limits, Spent
from worker.errors import LeaseLostError, TransientError
from worker.storage import usage
from worker.storage.tables import AgentRow, InvestigationRow, UsageRow
from worker.storage.types import UtcDateTime


@dataclass(frozen=True)
class Account:
    """What a call is checked against. `largest` is the agent's largest call so far, those beside it left out."""

    limits: Limits | None
    user_path: str
    spent: Spent
    largest: Amount


def lock_account(session: Session, claim: Claim) -> Account:
    """Return the investigation's account and keep it from others until the transaction ends.

    Raises `LeaseLostError` if the step is no longer ours, `TransientError` if the agent was cancelled.
    """
    row, agent = InvestigationRow, AgentRow
    began = func.coalesce(row.admitted_at, row.created_at, type_=UtcDateTime)
    locked = (
        select(row.limits, row.user_path, began, agent.cancel_requested_at, _clock(session))
        .join(agent, agent.investigation_id == row.id)
        .where(agent.id == claim.agent.id, agent.claim_token == claim.token)
        .with_for_update(of=row, key_share=True)
    )
    found = session.execute(locked).one_or_none()
    if found is None:
        raise LeaseLostError(f"the {claim.step} of {claim.agent.id} was taken over")
    limits, user_path, began_at, cancelled_at, now = found
    if cancelled_at is not None:
        raise TransientError("it was cancelled before the call")
    session.info["now"] = now
    counted, largest = _sums(session, claim)
    spent = Spent(elapsed_s=(now - began_at).total_seconds(), counted=counted)
    return Account(Limits(**limits) if limits else None, user_path, spent, largest)


def reserve(session: Session, claim: Claim, call: usage.Call) -> None:
    """Write what the call is expected to take, over what an earlier holder of the step reserved for it."""
    values = usage.values_of(session, claim, call)
    dialect = postgresql if session.get_bind().dialect.name == "postgresql" else sqlite
    statement = dialect.insert(UsageRow).values(**values)
    session.execute(
        statement.on_conflict_do_update(
            index_elements=["agent_id", "turn_no", "purpose"],
            index_where=usage.IS_RESERVED,
            set_=values,
        )
    )


def _sums(session: Session, claim: Claim) -> tuple[Amount, Amount]:
    """Return what the investigation has spent and reserved, and the largest call of this agent's conversation."""
    row = UsageRow
    own = (row.agent_id == claim.agent.id, row.purpose.not_in(ASIDE), row.outcome == usage.OK)
    largest = (func.max(row.counted_tokens).filter(*own), func.max(row.counted_cost_usd).filter(*own))
    wanted = select(*usage.counted_sums(), *largest)
    sums = session.execute(wanted.where(row.investigation_id == claim.agent.investigation_id, usage.counts())).one()
    return Amount(int(sums[0]), float(sums[1])), Amount(sums[2] or 0, sums[3] or 0.0)


def _clock(session: Session) -> ColumnElement[datetime]:
    """Return the database's clock as an expression, so that reading it is no statement of its own."""
    if session.get_bind().dialect.name == "postgresql":
        return func.clock_timestamp(type_=UtcDateTime)
    return literal(datetime.now(UTC), UtcDateTime)
