"""Providers, their keys and the active one, over HTTP: `/api/v1/system/llm`."""

from typing import Annotated

from fastapi import APIRouter, Path

from worker import managing
from worker.errors import WorkerError
from worker.llm.hello import HELLO
from worker.llm.providers import PROVIDERS, Provider
from worker.llm.routes import local_providers
from worker.llm.standing import ADDRESS_FIELDS
from worker.services import Services
from worker.storage.provider_keys import last4_of
from worker.web.answers import GUARDED, failures
from worker.web.identity import Here, Manager, Reader
from worker.web.model_answers import (
    ConfigAnswer,
    ConfigBody,
    KeyAnswer,
    KeyBody,
    ProviderAnswer,
    ProvidersAnswer,
    ReachedAnswer,
)

router = APIRouter(prefix="/api/v1/system/llm")

TEST_S = 10.0
_FIELDS = ("model", "orchestrator_model", "base_url")
_REQUIRED = frozenset({"azure", "openai-compatible"})
_KEYLESS = frozenset({"ollama", "vllm", "vertex", "bedrock", "openai-compatible"})

ProviderPath = Annotated[str, Path(pattern=r"^[A-Za-z0-9-]{1,40}$")]


@router.get("/providers", responses=failures(*GUARDED))
def get_providers(services: Here, _identity: Reader) -> ProvidersAnswer:
    """List the providers, which of them is active, and which have a key, from where."""
    standing = services.models.latest()
    return ProvidersAnswer(
        active_backend=standing.state.active,
        generation=standing.generation,
        providers=tuple(_describe(services, provider) for provider in PROVIDERS.values()),
    )


def _describe(services: Services, provider: Provider) -> ProviderAnswer:
    standing = services.models.latest()
    settings, key = standing.settings, _describe_key(services, provider)
    has_address = provider.name in ADDRESS_FIELDS or provider.name == "bedrock"
    return ProviderAnswer(
        provider=provider.name,
        configured=provider.is_configured(settings),
        active=standing.state.active == provider.name,
        model=getattr(settings, provider.model_variable.lower()),
        orchestrator_model=getattr(settings, provider.orchestrator_variable.lower()),
        requires_key=provider.name not in _KEYLESS,
        key_present=key.key_present,
        key_last4=key.key_last4,
        source=key.source,
        base_url="required" if provider.name in _REQUIRED else "optional" if has_address else "none",
        data_leaves_host=provider.leaves_host and provider.name not in local_providers(settings),
    )


def _describe_key(services: Services, provider: Provider) -> KeyAnswer:
    value = managing.current_key(services, provider)
    stored = services.models.latest().sources.get(provider.name)
    return KeyAnswer(
        provider=provider.name,
        key_present=value is not None,
        key_last4=last4_of(value.get_secret_value()) if value else None,
        source=stored or ("env" if value else None),
    )


@router.put("/config", responses=failures(400, *GUARDED))
def put_config(services: Here, identity: Manager, body: ConfigBody) -> ConfigAnswer:
    """Make a provider the active one, for all workers, until it is changed again: this counts before variables."""
    given = {field: getattr(body, field) for field in _FIELDS if field in body.model_fields_set}
    backend, warning = managing.put_backend(services, identity.name, body.provider, **given)
    return ConfigAnswer(**backend.model_dump(), warning=warning)


@router.put("/providers/{provider}/key", responses=failures(400, *GUARDED))
def put_key(services: Here, identity: Manager, provider: ProviderPath, body: KeyBody) -> KeyAnswer:
    """Store a provider's key, sealed; it counts before a variable's from the next call on."""
    managing.put_key(services, identity.name, provider, body.api_key)
    return _describe_key(services, managing.known_provider(provider))


@router.delete("/providers/{provider}/key", responses=failures(400, *GUARDED))
def delete_key(services: Here, identity: Manager, provider: ProviderPath) -> KeyAnswer:
    """Take a stored key away; a variable's counts then. Without one there is nothing to take, and nothing changes."""
    managing.delete_key(services, identity.name, provider)
    return _describe_key(services, managing.known_provider(provider))


@router.post("/providers/{provider}/test", responses=failures(400, *GUARDED))
def call_provider(services: Here, _identity: Manager, provider: ProviderPath) -> ReachedAnswer:
    """Call the provider's default model once with a few tokens; nobody else is asked in its place."""
    name = managing.known_provider(provider)
    try:
        route = services.router.default_of(name)
    except WorkerError as error:
        return ReachedAnswer(provider=name.name, model="", reachable=False, error=error.reason, message=str(error))
    try:
        answer = services.model.ask(HELLO, route=route, timeout_s=TEST_S)
    except WorkerError as error:
        message = services.redactor.scrub(str(error))
        return ReachedAnswer(
            provider=name.name, model=route.model, reachable=False, error=error.reason, message=message
        )
    return ReachedAnswer(provider=name.name, model=route.model, reachable=True, latency_ms=answer.latency_ms)
