"""What one process works with: built once in `bootstrap`, handed to every step."""

import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Protocol

from worker.current_models import CurrentModels
from worker.domain.conversation import Model as Model
from worker.guardrails.policy import Policy
from worker.investigation.roles import Roles, load_roles
from worker.llm.callers import Callers
from worker.llm.discovery import Discovered, NotDiscovered
from worker.llm.routing import Router
from worker.ops.redaction import Redactor
from worker.ops.tracing import NullTracer, Tracer
from worker.reporting.destinations.port import Destination
from worker.settings import Settings
from worker.storage.database import Database
from worker.storage.heartbeat import Heartbeat
from worker.storage.spending import RecentDay


class Message(Protocol):
    """What goes on the queue: a task's name, its arguments (ids only), and where it stands in line.

    `shown_as` is the name that people see: the task's, with whose it is.
    """

    @property
    def task(self) -> str: ...
    @property
    def shown_as(self) -> str: ...
    @property
    def arguments(self) -> tuple[str | int, ...]: ...
    @property
    def queue(self) -> str: ...


@dataclass(frozen=True)
class Services:
    """Everything a step needs. `send` puts messages on the queue and never raises: what is owed is sent again."""

    settings: Settings
    database: Database
    heartbeat: Heartbeat
    model: Model
    models: CurrentModels
    router: Router
    callers: Callers
    redactor: Redactor
    policy: Policy
    send: Callable[[Iterable[Message]], None]
    destinations: Mapping[str, Destination] = field(default_factory=dict)
    stopping: threading.Event = field(default_factory=threading.Event)
    recent_day: RecentDay = field(default_factory=RecentDay)
    roles: Roles = field(default_factory=load_roles)
    tracer: Tracer = field(default_factory=NullTracer)
    discovered: Discovered = field(default_factory=NotDiscovered)

    @property
    def lease(self) -> timedelta:
        return timedelta(seconds=self.settings.rca_lease_s)
