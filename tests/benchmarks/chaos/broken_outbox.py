"""A worker with a bug on purpose: what it owes to the queue is never sent a second time.

For the checker's own test: it must see what this does. The product has no such switch.
"""

import sys
from datetime import datetime

from celery.__main__ import main
from sqlalchemy.orm import Session

from worker.storage import outbox
from worker.storage.outbox import WakeUp


def take_nothing(session: Session, now: datetime, *, limit: int = 500) -> list[WakeUp]:
    del session, now, limit
    return []


if __name__ == "__main__":
    outbox.take_due = take_nothing
    sys.exit(main())
