"""Commits a claimed step together with whatever comes next, or nothing at all; then wakes workers for it."""

from collections.abc import Callable, Sequence

from sqlalchemy.orm import Session

from worker.domain.states import AgentKind, AgentStatus
from worker.domain.transcript import Claim
from worker.services import Services
from worker.steps import PATIENCE_S
from worker.storage import agents, children, outbox
from worker.storage.outbox import WakeUp

Store = Callable[[Session], Sequence[WakeUp] | None]
"""What a step stores besides its next status; it may owe messages to others."""


def commit(
    services: Services,
    claim: Claim,
    to: AgentStatus,
    *,
    partial: str | None = None,
    store: Store | None = None,
    is_same_turn: bool = False,
) -> None:
    """Commit the step. An agent that goes on is at its next turn, unless the turn is to be taken in another way.

    The last sub-agent to end wakes its lead.
    """
    next_turn = claim.agent.turn_no + 1 if to is AgentStatus.READY and not is_same_turn else None

    def work(session: Session) -> list[WakeUp]:
        lead = children.lock_lead(session, claim.agent) if to.is_final else None
        own = agents.advance(session, claim, to, turn_no=next_turn, partial=partial)
        others = store(session) if store is not None else None
        if own and claim.agent.kind is AgentKind.LEAD:
            own = outbox.renamed(session, own)  # it may have just chosen to go on alone
        owed = [own, *(others or ()), children.rejoin(session, lead)]
        return [wake_up for wake_up in owed if wake_up]

    services.send(services.database.insist(work, for_s=PATIENCE_S))
