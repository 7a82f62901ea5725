"""What tests are made of: events, services, and the loop that stands in for the queue."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

from fakeredis import FakeRedis

from tests.databases import sqlite_url as sqlite_url
from tests.fakes import CollectingQueue, calls_tools
from tests.llm_builders import bare_settings
from worker import pipeline, spans
from worker.current_models import CurrentModels
from worker.domain.conversation import ModelAnswer
from worker.domain.incident import IncidentEvent
from worker.domain.states import Step
from worker.guardrails.policy import load_policy
from worker.investigation.roles import load_roles
from worker.llm.callers import Callers
from worker.llm.routing import Router
from worker.ops.redaction import Redactor
from worker.ops.tracing import NullTracer, Tracer
from worker.reporting.destinations.configured import find_destinations
from worker.services import Model, Services
from worker.settings import Settings
from worker.storage.database import Database
from worker.storage.heartbeat import Heartbeat
from worker.storage.outbox import WakeUp

STARTED_AT = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)


def incident(title: str = "checkout p99 is high", **fields: Any) -> IncidentEvent:
    return IncidentEvent.model_validate({"title": title, "started_at": STARTED_AT, **fields})


def report_arguments(**fields: Any) -> dict[str, Any]:
    """Return arguments of `submit_report` that are valid and claim nothing."""
    return {"verdict": "inconclusive", "confidence": "low", "summary": "Nothing stands out.", **fields}


def submits_report(**fields: Any) -> ModelAnswer:
    return calls_tools(("submit_report", report_arguments(**fields)))


def settings_for(url: str, **fields: Any) -> Settings:
    return bare_settings(**{"database_url": url, "rca_commands": True, **fields})


def build_services(url: str, model: Model, *, tracer: Tracer | None = None, **fields: Any) -> Services:
    """Return services on this database with this model; nothing is sent anywhere, except spans to a given tracer."""
    tracer = tracer or NullTracer()
    settings = settings_for(url, **fields)
    lease = timedelta(seconds=settings.rca_lease_s)
    database = Database(settings.database, on_ended=spans.telling(tracer))
    redactor = Redactor(settings.secrets)
    models = CurrentModels(settings, database, redactor=redactor)
    return Services(
        settings=settings,
        database=database,
        heartbeat=Heartbeat(settings.database, lease=lease, every_s=settings.rca_heartbeat_s),
        model=model,
        models=models,
        callers=Callers(FakeRedis(), settings, learn=redactor.learn),
        router=Router(settings, source=models.get),
        redactor=redactor,
        policy=load_policy(settings.rca_policy_file, settings.rca_rules_dir),
        send=CollectingQueue(),
        destinations=find_destinations(settings),
        roles=load_roles(settings.rca_roles_dir),
        tracer=tracer,
    )


def close_services(services: Services) -> None:
    services.heartbeat.stop()
    services.database.close()


def queue_of(services: Services) -> CollectingQueue:
    assert isinstance(services.send, CollectingQueue)
    return services.send


def run_step(services: Services, wake_up: WakeUp) -> None:
    """Run one delivery, as a task would."""
    tasks: dict[Step, Callable[..., None]] = {
        Step.TURN: pipeline.take_turn,
        Step.JUDGE: pipeline.judge_commands,
        Step.ACT: pipeline.act,
        Step.VERIFY: pipeline.verify,
        Step.PUBLISH: pipeline.publish,
    }
    tasks[wake_up.step](services, *wake_up.arguments)


def drain(services: Services, *, at_most: int = 100) -> int:
    """Run deliveries until the queue is empty. Returns how many there were."""
    done = 0
    while wake_ups := queue_of(services).take():
        for wake_up in wake_ups:
            run_step(services, wake_up)
            done += 1
            assert done <= at_most, "the queue does not come to an end"
    return done
