"""Reservations: a call counts before it is made, so that the agents of an investigation can share one budget.

This runs before every call, so its three statements are built once.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from sqlalchemy import bindparam, func, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from worker.domain.states import ASIDE
from worker.domain.transcript import Amount, Claim, Limits, Spent
from worker.errors import LeaseLostError, TransientError
from worker.storage import usage
from worker.storage.database import database_now
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
    own = {"agent_id": claim.agent.id, "token": claim.token, "investigation_id": claim.agent.investigation_id}
    found = session.execute(_LOCK_AT if _is_postgresql(session) else _LOCK, own).one_or_none()
    if found is None:
        raise LeaseLostError(f"the {claim.step} of {claim.agent.id} was taken over")
    limits, user_path, began_at, cancelled_at, *now = found
    if now:
        session.info["now"] = now[0]
    if cancelled_at is not None:
        raise TransientError("it was cancelled before the call")
    sums = session.execute(_SUMS, own).one()
    elapsed_s = (database_now(session) - began_at).total_seconds()
    spent = Spent(elapsed_s=elapsed_s, counted=Amount(int(sums[0]), float(sums[1])))
    return Account(Limits(**limits) if limits else None, user_path, spent, Amount(sums[2] or 0, sums[3] or 0.0))


def reserve(session: Session, claim: Claim, call: usage.Call) -> None:
    """Write what the call is expected to take, over what an earlier holder of the step reserved for it."""
    session.execute(_RESERVE[_is_postgresql(session)], usage.values_of(session, claim, call))


def _is_postgresql(session: Session) -> bool:
    return session.get_bind().dialect.name == "postgresql"


def _lock() -> Any:
    row, agent = InvestigationRow, AgentRow
    began = func.coalesce(row.admitted_at, row.created_at, type_=UtcDateTime)
    return (
        select(row.limits, row.user_path, began, agent.cancel_requested_at)
        .join(agent, agent.investigation_id == row.id)
        .where(agent.id == bindparam("agent_id"), agent.claim_token == bindparam("token"))
        .with_for_update(of=row, key_share=True)
    )


def _sums() -> Any:
    """What the investigation has spent and reserved, and the largest call of the agent's own conversation."""
    row = UsageRow
    own = (row.agent_id == bindparam("agent_id"), row.purpose.not_in(ASIDE), row.outcome == usage.OK)
    largest = (func.max(row.counted_tokens).filter(*own), func.max(row.counted_cost_usd).filter(*own))
    mine = row.investigation_id == bindparam("investigation_id")
    return select(*usage.counted_sums(), *largest).where(mine, usage.counts())


def _reserve(insert: Callable[..., Any]) -> Any:
    statement = insert(UsageRow)
    key = ["agent_id", "turn_no", "purpose"]
    new = {name: statement.excluded[name] for name in usage.COLUMNS}
    return statement.on_conflict_do_update(index_elements=key, index_where=usage.IS_RESERVED, set_=new)


_LOCK, _SUMS = _lock(), _sums()
_LOCK_AT = _LOCK.add_columns(func.clock_timestamp(type_=UtcDateTime))
"""The same with the server's clock, so that reading it is no statement of its own."""
_RESERVE = {True: _reserve(postgresql.insert), False: _reserve(sqlite.insert)}
