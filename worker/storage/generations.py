"""Generations of what operators say of models: a change makes the next, whole, with one row of the audit chain."""

from collections.abc import Callable

from sqlalchemy import delete, func, select
from sqlalchemy.orm import Session

from worker.domain.model_state import ModelState
from worker.storage import audit
from worker.storage.audit import Act
from worker.storage.database import database_now, serialise
from worker.storage.model_tables import GenerationRow

KEPT = 200
"""So many of the newest stay, for people who want to know what held."""


def newest_number(session: Session) -> int:
    """Return the number of the generation that holds; 0 before the first change."""
    return session.scalar(select(func.max(GenerationRow.number))) or 0


def read_newest(session: Session) -> ModelState:
    row = session.scalar(select(GenerationRow).order_by(GenerationRow.number.desc()).limit(1))
    return ModelState.model_validate(row.state) if row else ModelState()


def change(session: Session, act: Act, apply: Callable[[ModelState], ModelState]) -> ModelState:
    """Make the next generation of what `apply` returns, and say in the chain who did so. One change at a time."""
    serialise(session, "llm_generation")
    state = read_newest(session)
    new = apply(state).model_copy(update={"generation": state.generation + 1})
    row = GenerationRow(number=new.generation, state=new.model_dump(mode="json"), created_at=database_now(session))
    session.add(row)
    session.execute(delete(GenerationRow).where(GenerationRow.number <= new.generation - KEPT))
    audit.append(session, act)
    return new
