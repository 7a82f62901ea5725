"""Two processes and one Redis: a change is known to the other within a second, and without Redis within six (5.8)."""

import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from redis import Redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from tests.builders import build_services, close_services
from tests.fakes import ScriptedModel
from tests.servers import RedisServer
from worker import managing
from worker.current_models import CurrentModels, Signal
from worker.domain.model_state import AccessRule, Alias
from worker.errors import RouteError
from worker.llm.routing import Role, Router
from worker.services import Services

pytestmark = pytest.mark.services
GIVEN = {"openai_api_key": "k", "anthropic_api_key": "k", "llm_provider_mode": "direct"}
HAIKU = "anthropic/claude-haiku-4.5"


@pytest.fixture
def redis(redis_server: RedisServer) -> Iterator[Redis]:
    with Redis.from_url(redis_server.url, socket_timeout=0.5) as client:
        client.flushall()
        yield client


@pytest.fixture
def join(database_url: str) -> Iterator[Callable[[Redis], Services]]:
    """Return what makes the services of one more process that tells and hears through this Redis."""
    made: list[Services] = []

    def build(redis: Redis) -> Services:
        services = build_services(database_url, ScriptedModel([]), **GIVEN)
        models = CurrentModels(services.settings, services.database, signal=Signal(redis))
        object.__setattr__(services, "models", models)
        object.__setattr__(services, "router", Router(services.settings, source=models.get))
        made.append(services)
        return services

    yield build
    for services in made:
        close_services(services)


def within(look: Callable[[], Any], seconds: float) -> bool:
    ends = time.monotonic() + seconds
    while time.monotonic() < ends:
        if look():
            return True
        time.sleep(0.02)
    return False


def leads_to(services: Services, name: str) -> str | None:
    try:
        return services.router.route(Role.RCA, named=name).label
    except RouteError:
        return None


def test_5_8_a_change_is_known_to_the_other_process_within_a_second(
    join: Callable[[Redis], Services], redis: Redis
) -> None:
    first, second = join(redis), join(redis)
    managing.put_alias(first, "me", Alias(name="fast", target=HAIKU))

    assert within(lambda: leads_to(second, "fast") == "anthropic/claude-haiku-4-5", 1.0)
    managing.delete_alias(second, "me", "fast")
    assert within(lambda: leads_to(first, "fast") is None, 1.0)
    managing.put_rule(first, "me", AccessRule(selector="openai/", enabled=False))
    route = second.router.route(Role.RCA, named="openai/gpt-4o")
    assert within(lambda: not second.router.may_use(route, user_path="/"), 1.0)


def test_5_8_without_redis_it_is_known_within_six_seconds(
    join: Callable[[Redis], Services], redis_server: RedisServer
) -> None:
    with Redis(host="127.0.0.1", port=1, socket_connect_timeout=0.2, retry=Retry(NoBackoff(), 0)) as nobody:
        first, second = join(nobody), join(nobody)
        assert leads_to(second, "fast") is None
        managing.put_alias(first, "me", Alias(name="fast", target=HAIKU))

        assert within(lambda: leads_to(second, "fast") is not None, 6.0)


def test_5_8_a_redis_that_forgot_is_told_again(join: Callable[[Redis], Services], redis: Redis) -> None:
    first, second = join(redis), join(redis)
    managing.put_alias(first, "me", Alias(name="fast", target=HAIKU))
    redis.flushall()

    assert within(lambda: leads_to(second, "fast") is not None, 6.0)
    assert within(lambda: redis.get("rca:llm:generation") == b"1", 6.0)


def test_5_8_what_is_told_late_takes_nothing_back(redis: Redis) -> None:
    for number in (6, 5):
        Signal(redis).tell(number)

    assert Signal(redis).hear() == 6


def test_5_8_a_change_whose_author_died_before_it_was_told_is_known_within_six_seconds(
    join: Callable[[Redis], Services], redis: Redis
) -> None:
    with Redis(host="127.0.0.1", port=1, socket_connect_timeout=0.2, retry=Retry(NoBackoff(), 0)) as nobody:
        first, second = join(redis), join(redis)
        managing.put_alias(first, "me", Alias(name="slow", target=HAIKU))
        assert within(lambda: leads_to(second, "slow") is not None, 1.0)
        managing.put_alias(join(nobody), "me", Alias(name="fast", target=HAIKU))

        assert within(lambda: leads_to(second, "fast") is not None, 6.0)
        assert redis.get("rca:llm:generation") == b"2"


def test_5_8_whoever_asks_all_the_time_looks_only_a_few_times(join: Callable[[Redis], Services], redis: Redis) -> None:
    services = join(redis)
    managing.put_alias(services, "me", Alias(name="fast", target=HAIKU))
    before = redis.info("commandstats").get("cmdstat_get", {}).get("calls", 0)

    ends = time.monotonic() + 1.0
    while time.monotonic() < ends:
        leads_to(services, "fast")

    assert redis.info("commandstats")["cmdstat_get"]["calls"] - before <= 6
