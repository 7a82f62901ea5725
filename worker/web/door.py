"""The door for events: each is taken in with those of the same moment, and answered when it is on disk."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Annotated

from fastapi import Depends, Request

from worker import arriving, pipeline
from worker.domain.states import InvestigationStatus
from worker.errors import StorageUnavailableError, WorkerError
from worker.intake.bridge import POISON
from worker.intake.events import Offer
from worker.services import Services
from worker.storage import investigations
from worker.storage.incidents import Accepted
from worker.web.gathering import Gathering


class Door:
    """Takes events in, and starts the investigations that they open."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._arrivals = Gathering(self._take_all)
        self._starts = Gathering(self._start_all)

    async def take(self, offer: Offer) -> Accepted:
        """Take an event in. Raises what taking in this one event raises.

        What it opens is started at once where nothing else is going on. In a storm taking in comes first: what was
        opened is answered as queued, and the sweeper starts it.
        """
        accepted = await self._arrivals.ask(offer)
        is_quiet = self._arrivals.is_idle and self._starts.is_idle
        if not accepted.opened or not is_quiet:
            return accepted
        return replace(accepted, status=await self._starts.ask(accepted.investigation_id))

    def _take_all(self, offers: Sequence[Offer]) -> Sequence[Accepted | Exception]:
        """Take all in; if one is in the way, one by one, so that it harms no other."""
        try:
            return arriving.take(self._services, offers)
        except StorageUnavailableError:
            raise  # nothing was taken, and nothing would be
        except (WorkerError, *POISON):
            return [self._take_alone(offer) for offer in offers]

    def _take_alone(self, offer: Offer) -> Accepted | Exception:
        try:
            (accepted,) = arriving.take(self._services, [offer])
        except (WorkerError, *POISON) as error:
            return error
        return accepted

    def _start_all(self, opened: Sequence[str]) -> Sequence[str]:
        """Start as many as were opened, if they may run, and return how each stands."""
        try:
            pipeline.admit_waiting(self._services, at_most=len(opened))
            with self._services.database.transaction() as session:
                statuses = investigations.statuses_of(session, opened)
        except StorageUnavailableError:
            return [InvestigationStatus.QUEUED] * len(opened)  # they are on disk: the sweeper starts them
        return [statuses[investigation] for investigation in opened]


async def _door_of(request: Request) -> Door:
    door: Door = request.app.state.door
    return door


AtDoor = Annotated[Door, Depends(_door_of)]
