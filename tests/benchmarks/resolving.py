"""What it takes to resolve a name, check access and take the pin, with 500 aliases and 500 rules: microseconds a call.

python -m tests.benchmarks.resolving
"""

import statistics
import time
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.builders import build_services, close_services
from tests.databases import migrated_sqlite
from tests.fakes import ScriptedModel
from worker.domain.model_state import AccessRule, Alias, ModelState
from worker.llm.routing import Role
from worker.services import Services
from worker.storage import generations
from worker.storage.audit import Act

COUNT = 500
CALLS = 5000
GIVEN = {"openai_api_key": "k", "anthropic_api_key": "k", "llm_provider_mode": "direct"}


def filled(folder: Path) -> Services:
    services = build_services(migrated_sqlite(folder), ScriptedModel([]), **GIVEN)
    aliases = tuple(Alias(name=f"alias-{i}", target="anthropic/claude-haiku-4.5") for i in range(COUNT))
    rules = tuple(AccessRule(selector=f"openai/model-{i}", user_paths=(f"/team/{i}",)) for i in range(COUNT))
    with services.database.transaction() as session:
        state = ModelState(aliases=aliases, rules=rules)
        generations.change(session, Act("benchmark", "fill", "all"), lambda _: state)
    services.models.refresh()
    return services


def one_call(services: Services, number: int) -> None:
    route = services.router.route(Role.RCA, named=f"alias-{number % COUNT}")
    services.router.require_access([route], user_path=f"/team/{number % COUNT}/svc")
    assert services.router.generation == 1


def main() -> None:
    with TemporaryDirectory() as folder:
        services = filled(Path(folder))
        took = []
        for number in range(CALLS):
            began = time.perf_counter()
            one_call(services, number)
            took.append((time.perf_counter() - began) * 1e6)
        close_services(services)
    cuts = statistics.quantiles(took, n=100)
    print(f"resolve, access and pin with {COUNT} aliases and {COUNT} rules, {CALLS} calls, microseconds:")
    print(f"  median {cuts[49]:.0f}, p99 {cuts[98]:.0f}, worst {max(took):.0f}")


if __name__ == "__main__":
    main()
