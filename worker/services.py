"""What one process works with: built once in `bootstrap`, handed to every step."""

import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Protocol

from worker.domain.conversation import ModelAnswer, ModelRequest, Route
from worker.guardrails.policy import Policy
from worker.llm.routing import Router
from worker.ops.redaction import Redactor
from worker.settings import Settings
from worker.storage.database import Database
from worker.storage.heartbeat import Heartbeat
from worker.storage.outbox import WakeUp


class Model(Protocol):
    """Whatever answers a conversation: a provider's model, or the offline analyst."""

    def ask(self, request: ModelRequest, *, route: Route, timeout_s: float) -> ModelAnswer: ...


@dataclass(frozen=True)
class Services:
    """Everything a step needs. `send` puts wake-ups on the queue and never raises: the outbox sends again."""

    settings: Settings
    database: Database
    heartbeat: Heartbeat
    model: Model
    router: Router
    redactor: Redactor
    policy: Policy
    send: Callable[[Iterable[WakeUp]], None]
    stopping: threading.Event = field(default_factory=threading.Event)

    @property
    def lease(self) -> timedelta:
        return timedelta(seconds=self.settings.rca_lease_s)
