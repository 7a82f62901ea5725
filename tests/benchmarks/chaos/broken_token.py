"""A worker with a bug on purpose: it writes without looking whether its claim is still its own.

For the checker's own test: it must see what this does. The product has no such switch.
"""

import sys

from celery.__main__ import main
from sqlalchemy import select
from sqlalchemy.orm import Session

from worker.domain.transcript import Claim
from worker.storage import agents
from worker.storage.tables import AgentRow


def hold_without_looking(session: Session, claim: Claim) -> AgentRow:
    wanted = select(AgentRow).where(AgentRow.id == claim.agent.id).with_for_update()
    return session.scalars(wanted, execution_options={"populate_existing": True}).one()


if __name__ == "__main__":
    agents.hold = hold_without_looking
    sys.exit(main())
