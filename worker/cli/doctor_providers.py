"""What `rca doctor` says about each configured provider, as far as can be known without calling a model."""

from collections.abc import Callable, Iterator
from contextlib import closing

from worker.cli.llm import call_once, describe_account
from worker.cli.managed import find_router
from worker.domain.conversation import Route
from worker.errors import ConfigError, WorkerError
from worker.llm.accounts import Account
from worker.llm.backends import PROBE_S
from worker.llm.providers import OLLAMA, PROVIDERS, VLLM, Provider
from worker.llm.routing import Role, Router
from worker.llm.transport import Transport
from worker.llm.wires.reading import fields_of, objects, parse_json
from worker.ops.health import Check
from worker.settings import Settings

Fetch = Callable[[str], bytes | None]
"""Return what an address answers; None where it does not answer well, or not soon."""

_OK = 200
_FROM_A_CONTAINER = "from a container this machine is host.docker.internal, not localhost"


def fetch(url: str) -> bytes | None:
    with closing(Transport()) as transport:
        try:
            answered = transport.get(url, headers={}, timeout_s=PROBE_S)
        except WorkerError:
            return None
        return answered.body if answered.status == _OK else None


def look_at_providers(settings: Settings, *, get: Fetch = fetch) -> Iterator[Check]:
    """Yield what is known of each provider that is configured; servers of one's own are asked whether they are up."""
    try:
        router = find_router(settings)
    except ConfigError:
        return  # said where models are looked at
    used = {(route.provider, route.model) for route in _routes(router, settings)}
    for provider in PROVIDERS.values():
        models = sorted(model for name, model in used if name == provider.name)
        account = provider.find_account(settings, bool(models))
        if account is None:
            continue
        if provider in {OLLAMA, VLLM}:
            yield from _look_at_server(provider, account, models=models, get=get)
        else:
            yield Check.ok(provider.name, f"{describe_account(account)}; `rca llm test {provider.name}` tries it")


def call_providers(settings: Settings) -> Iterator[Check]:
    """Call the default model of each configured provider once, with a few tokens, and yield what came of it."""
    try:
        router = find_router(settings)
    except ConfigError:
        return  # said where models are looked at
    for provider in PROVIDERS.values():
        if provider.is_configured(settings):
            yield _call(provider, settings, router)


def _call(provider: Provider, settings: Settings, router: Router) -> Check:
    try:
        return Check.ok(provider.name, call_once(settings, router.default_of(provider)))
    except WorkerError as error:
        return Check.fail(provider.name, str(error))


def _routes(router: Router, settings: Settings) -> Iterator[Route]:
    team = (Role.ORCHESTRATOR, Role.SUBAGENT) if settings.orchestrator_enabled else ()
    for role in (Role.RCA, Role.MAIN, Role.JUDGE, *team):
        yield router.route(role)


def _look_at_server(provider: Provider, account: Account, *, models: list[str], get: Fetch) -> Iterator[Check]:
    """Say whether a server of one's own answers; a silent one is a failure where a role's model is there."""
    root = account.address.text.removesuffix("/v1")
    url = f"{root}/api/tags" if provider is OLLAMA else f"{root}/health"
    body = get(url)
    if body is None:
        fix = f"start it, or correct {provider.needs}; {_FROM_A_CONTAINER}"
        said = Check.fail if models else Check.warn
        yield said(provider.name, f"{url} does not answer", fix=fix)
        return
    yield Check.ok(provider.name, f"{url} answers")
    if provider is OLLAMA:
        yield from _look_at_pulled(body, models)


def _look_at_pulled(body: bytes, models: list[str]) -> Iterator[Check]:
    pulled = read_tags(body)
    for model in models:
        if model not in pulled and f"{model}:latest" not in pulled:
            yield Check.fail(OLLAMA.name, f"{model} is not pulled", fix=f"`ollama pull {model}`")


def read_tags(body: bytes) -> frozenset[str]:
    """Read the names of the models that Ollama lists (https://docs.ollama.com/api/tags); none from anything else."""
    try:
        listed = parse_json(body)
    except ValueError:
        return frozenset()
    return frozenset(str(model.get("name")) for model in objects(fields_of(listed).get("models")))
