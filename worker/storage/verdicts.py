"""Verdicts: what the judge said of a command before, until it expires."""

from datetime import timedelta

from sqlalchemy import select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from worker.domain.states import JudgeVerdict
from worker.storage.database import database_now
from worker.storage.tables import VerdictRow

KEPT_FOR = timedelta(days=7)


def find(session: Session, keys: list[str]) -> dict[str, tuple[JudgeVerdict, str]]:
    """Return verdict and reason by key, for the keys that are known and have not expired."""
    now = database_now(session)
    rows = session.scalars(select(VerdictRow).where(VerdictRow.key.in_(keys), VerdictRow.expires_at > now))
    return {r.key: (JudgeVerdict(r.verdict), r.reason) for r in rows}


def keep(session: Session, key: str, *, verdict: JudgeVerdict, reason: str, model: str) -> None:
    """Remember a verdict for a week. Of two who keep the same one at the same moment, the later one's stays."""
    now = database_now(session)
    values = {"verdict": verdict, "reason": reason, "model": model, "created_at": now, "expires_at": now + KEPT_FOR}
    insert = postgresql.insert if session.get_bind().dialect.name == "postgresql" else sqlite.insert
    kept = insert(VerdictRow).values(key=key, **values)
    session.execute(kept.on_conflict_do_update(index_elements=["key"], set_=values))
