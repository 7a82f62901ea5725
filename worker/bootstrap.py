"""The composition root: settings become services, once per process and after any fork."""

import threading
from contextlib import ExitStack
from datetime import timedelta
from functools import partial

import structlog
from redis import Redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from worker import spans
from worker.celery import LOCAL_REDIS, Sender, app
from worker.current_models import CurrentModels, Signal
from worker.domain.conversation import Confirm, ModelAnswer, ModelRequest, Route
from worker.guardrails.policy import load_policy
from worker.investigation.offline.analyst import OfflineAnalyst
from worker.investigation.roles import Roles, load_roles
from worker.llm.callers import Callers
from worker.llm.client import ProviderClient
from worker.llm.discovery import find_discovered
from worker.llm.fallback import FallbackModel
from worker.llm.routing import Router
from worker.llm.shared_gate import SharedGate
from worker.ops.redaction import LEARNED, Redactor
from worker.ops.salt import read_salt
from worker.ops.tracing import Tracer, open_tracer
from worker.reporting.destinations.configured import find_destinations
from worker.services import Model, Services
from worker.settings import Settings, load_settings
from worker.storage.database import Database
from worker.storage.heartbeat import Heartbeat
from worker.tools.sandbox import find_cage

log = structlog.get_logger()

REDIS_S = 0.5
"""What a look into Redis may take that a model call waits for."""


class Models:
    """Sends a call to whatever answers its route."""

    def __init__(self, *, offline: Model, providers: Model) -> None:
        self._offline = offline
        self._providers = providers

    def ask(
        self, request: ModelRequest, *, route: Route, timeout_s: float, confirm: Confirm | None = None
    ) -> ModelAnswer:
        model = self._offline if route.wire == "offline" else self._providers
        return model.ask(request, route=route, timeout_s=timeout_s, confirm=confirm)


def build_services(settings: Settings) -> Services:
    """Return the services of this process; the heartbeat starts with the worker.

    Raises ConfigError where the configuration, with what is stored, cannot work.
    """
    tracer = open_tracer(settings.otel_exporter_otlp_endpoint)
    database = Database(settings.database, pool="main", on_ended=spans.telling(tracer))
    with ExitStack() as undone:  # where the configuration cannot work
        undone.callback(database.close)
        services = _put_together(settings, database, tracer)
        undone.pop_all()
    return services


def _put_together(settings: Settings, database: Database, tracer: Tracer) -> Services:
    find_cage(settings.rca_sandbox)  # refuses the start where what was asked for cannot be had
    redactor = build_redactor(settings)
    redis = _open_redis(settings)
    models = CurrentModels(settings, database, signal=Signal(redis), redactor=redactor)
    callers = Callers(redis, settings, learn=partial(redactor.learn, is_passing=True))
    client = ProviderClient(settings, source=models.latest, gate=SharedGate(redis), callers=callers)
    return Services(
        settings=settings,
        database=database,
        heartbeat=Heartbeat(
            settings.database, lease=timedelta(seconds=settings.rca_lease_s), every_s=settings.rca_heartbeat_s
        ),
        model=FallbackModel(Models(offline=OfflineAnalyst(), providers=client)),
        models=models,
        callers=callers,
        router=_build_router(settings, models),
        redactor=redactor,
        policy=load_policy(settings.rca_policy_file, settings.rca_rules_dir),
        send=Sender(app),
        destinations=find_destinations(settings),
        roles=_read_roles(settings),
        tracer=tracer,
        discovered=find_discovered(settings, models.latest),
    )


def build_redactor(settings: Settings) -> Redactor:
    """Return what hides secrets; where the database is a file of this machine, so is what makes placeholders ours."""
    is_local = settings.database.startswith("sqlite")
    return Redactor(settings.secrets, salt=read_salt(settings.rca_home) if is_local else b"", learned=LEARNED)


def _open_redis(settings: Settings) -> Redis:
    """Return the connection that calls and generations look into; nothing waits for it long."""
    url = settings.redis_url or LOCAL_REDIS
    return Redis.from_url(url, socket_timeout=REDIS_S, socket_connect_timeout=REDIS_S, retry=Retry(NoBackoff(), 0))


def _build_router(settings: Settings, models: CurrentModels) -> Router:
    """Build the router, and say what it chose by itself and what it doubts."""
    router = Router(settings, source=models.get)
    for note in router.notes:
        log.info("model_chosen", note=note)
    for warning in router.warnings:
        log.warning("model_doubted", warning=warning)
    return router


def _read_roles(settings: Settings) -> Roles:
    roles = load_roles(settings.rca_roles_dir)
    for problem in roles.problems:
        log.warning("role_skipped", problem=problem)
    return roles


_mutex = threading.Lock()
_services: Services | None = None


def get_services() -> Services:
    """Return this process's services, building them at the first call."""
    global _services  # noqa: PLW0603  # one per process is the point
    with _mutex:
        if _services is None:
            _services = build_services(load_settings())
        return _services
