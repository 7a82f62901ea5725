"""The verify pass: a second call tries to refute what the report claims, before it is written."""

from dataclasses import dataclass

from sqlalchemy.orm import Session

from worker.asking import ask
from worker.budgeting import expect, reserve
from worker.domain.report import Verification
from worker.domain.states import AgentKind, Purpose, ToolCallStatus
from worker.domain.transcript import Agent, Claim
from worker.errors import LeaseLostError, LimitReachedError, StepCancelledError, StorageUnavailableError, WorkerError
from worker.investigation.budget import Stage
from worker.investigation.conclusion import Material
from worker.investigation.fence import nonce_for
from worker.investigation.verification import (
    Grounds,
    build_verification_request,
    is_worth_verifying,
    parse_verification,
)
from worker.services import Services
from worker.settings import Settings
from worker.storage import usage
from worker.storage.tables import AgentRow

OFFLINE = "offline"


@dataclass(frozen=True)
class Verified:
    """What came of the pass; no `verification` where there was nothing to verify."""

    verification: Verification | None = None
    booking: usage.Call | None = None


def is_wanted(settings: Settings, agent: Agent) -> bool:
    """Say whether this agent's report is verified. By default those of leads are; the offline analyst cannot."""
    wanted = settings.rca_verify
    return agent.route.wire != OFFLINE and (agent.kind is AgentKind.LEAD if wanted is None else wanted)


def store(session: Session, claim: Claim, verified: Verified) -> None:
    """Keep what the pass said, and what it cost."""
    if verified.verification is not None:
        row = session.get_one(AgentRow, claim.agent.id)
        row.verification = verified.verification.model_dump(mode="json")
    if verified.booking is not None:
        usage.book(session, claim, verified.booking)


def verify(services: Services, claim: Claim, found: Material) -> Verified:
    """Ask once. A call that fails is told in the report: it takes nothing from what was found."""
    agent = claim.agent
    checked = found.checked()
    if checked is None or not is_worth_verifying(checked.submission):
        return Verified()
    submission = checked.submission
    known = {e.id: e for e in found.evidence}
    grounds = Grounds(found.event, found.window, known, found.text_of)
    others = tuple(other for other in agent.route.fallbacks if other.wire != OFFLINE)  # the analyst cannot verify
    route = agent.route.model_copy(update={"fallbacks": others})
    request = build_verification_request(submission, grounds, nonce=nonce_for(agent.nonce, "verify"), route=route)
    next_ask = expect(services, claim, Purpose.VERIFY, route=route, request=request)
    bound = reserve(services, claim, next_ask)
    label = route.label
    if bound.stage is Stage.SPENT:
        return Verified(Verification(model=label, problem=bound.reason))
    try:
        answer, booking = ask(services, claim, next_ask, request)
    except (LeaseLostError, LimitReachedError, StepCancelledError, StorageUnavailableError):
        raise
    except WorkerError as error:
        return Verified(Verification(model=label, problem=f"the model did not answer ({error.reason})"))
    causes = len(submission.root_causes)
    ids = [e.id for e in found.evidence if e.status == ToolCallStatus.SUCCEEDED]
    return Verified(parse_verification(answer, model=booking.route.label, causes=causes, known_ids=ids), booking)
