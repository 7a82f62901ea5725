"""What a transaction ends: noted while it works, told once it is committed, so that nobody hears of an end twice."""

from dataclasses import dataclass

from sqlalchemy.orm import Session

from worker.storage.tables import AgentRow, InvestigationRow

_NOTED = "ended"


@dataclass(frozen=True)
class Ended:
    """The row of an agent or an investigation that has ended; `failure_class` is set where an error ended it."""

    row: AgentRow | InvestigationRow
    failure_class: str | None = None


def note(session: Session, row: AgentRow | InvestigationRow, failure_class: str | None = None) -> None:
    """Remember until the commit that this transaction ends it."""
    session.info.setdefault(_NOTED, []).append(Ended(row, failure_class))


def of_transaction(session: Session) -> tuple[Ended, ...]:
    """Return what the transaction has ended, in order."""
    return tuple(session.info.get(_NOTED, ()))
