"""A worker with two bugs on purpose, for the checker's own test: it must see what each of them does.

It writes without looking whether its claim is still its own, and what it owes to the queue it never sends a second
time. The product has no such switches.
"""

import sys
from datetime import datetime

from celery.__main__ import main
from sqlalchemy import select
from sqlalchemy.orm import Session

from worker.domain.transcript import Claim
from worker.storage import agents, outbox
from worker.storage.outbox import WakeUp
from worker.storage.tables import AgentRow


def hold_without_looking(session: Session, claim: Claim) -> AgentRow:
    wanted = select(AgentRow).where(AgentRow.id == claim.agent.id).with_for_update()
    return session.scalars(wanted, execution_options={"populate_existing": True}).one()


def take_nothing(session: Session, now: datetime, *, limit: int = 500) -> list[WakeUp]:
    del session, now, limit
    return []


if __name__ == "__main__":
    agents.hold = hold_without_looking
    outbox.take_due = take_nothing
    sys.exit(main())
