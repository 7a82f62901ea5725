"""Two workers, two web processes: what is changed about models at one holds at all, and what runs goes on."""

import sys
import time
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from tests.acceptance.system import OPENAI_MODEL, Provider, System, reports, runs, wait_for
from tests.servers import free_port
from worker.domain.states import InvestigationStatus

Install = Callable[..., System]
MASTER = "master-key-of-the-admin-api"
KEYS = "/api/v1/system/llm/providers/openai/key"
WEB = (sys.executable, "-m", "worker.cli.main", "web")
UNSET = {"OPENAI_API_KEY": "", "RCA_MODEL": "", "GUARDRAILS_LLM_MODEL": ""}
FIRST_KEY, SECOND_KEY = "the-first-stored-key", "the-second-stored-key"


class Admin:
    """Two web processes, asked with the master key."""

    def __init__(self, system: System) -> None:
        ports = [free_port(), free_port()]
        begun = [system.start(f"web-{port}", WEB, RCA_HTTP_PORT=str(port)) for port in ports]
        self._roots = [f"http://127.0.0.1:{port}" for port in ports]
        for process, root in zip(begun, self._roots, strict=True):
            wait_for(lambda root=root: is_ready(root), within_s=60, otherwise=process.log)

    def ask(self, method: str, path: str, *, at: int = 0, **how: Any) -> httpx.Response:
        headers = {"Authorization": f"Bearer {MASTER}"}
        return httpx.request(method, f"{self._roots[at]}{path}", headers=headers, timeout=10, **how)


def is_ready(root: str) -> bool:
    try:
        return httpx.get(f"{root}/readyz", timeout=1).is_success
    except httpx.HTTPError:
        return False


@pytest.fixture
def system(install: Install) -> System:
    made = install(
        AURORA_MASTER_KEY=MASTER, AURORA_SECRET_KEY="a-seed", OPENAI_API_KEY="", RCA_MODEL="", GUARDRAILS_LLM_MODEL=""
    )
    for _ in range(2):
        made.begin_worker(slots=4)
    for worker in made.processes[:2]:
        worker.wait_for_line("worker_started")
    return made


def names(admin: Admin, *, at: int) -> list[str]:
    return [model["id"] for model in admin.ask("GET", "/v1/models", at=at).json()["data"]]


def seconds_until(look: Callable[[], bool]) -> float:
    began = time.monotonic()
    wait_for(look, within_s=10, otherwise=lambda: "it stayed as it was")
    return time.monotonic() - began


def sent_keys(provider: Provider, marker: str) -> list[str]:
    return [exchange.headers["authorization"].removeprefix("Bearer ") for exchange in provider.exchanges(marker)]


def test_5_8_what_is_changed_at_one_process_holds_at_all_within_a_second(system: System) -> None:
    admin = Admin(system)
    assert admin.ask("PUT", KEYS, json={"api_key": FIRST_KEY}).status_code == 200
    admin.ask("PUT", "/admin/api/v1/aliases/regular", json={"target": OPENAI_MODEL})
    assert seconds_until(lambda: "regular" in names(admin, at=1)) < 1.0

    marker = "by an alias"
    system.provider.play(marker, [reports()])
    answer = admin.ask("POST", "/v1/incidents", at=1, json={"title": marker, "model": "regular"})
    system.wait_until_completed(answer.json()["investigation_id"])
    assert sent_keys(system.provider, marker) == [FIRST_KEY]

    admin.ask("PUT", "/admin/api/v1/model-overrides/openai%2F", json={"enabled": False})
    assert seconds_until(lambda: "regular" not in names(admin, at=1)) < 1.0
    refused = admin.ask("POST", "/v1/incidents", at=1, json={"title": "x", "model": "regular"})
    assert (refused.status_code, refused.json()["detail"]["error"]) == (403, "model_access_denied")
    assert system.rca("audit", "verify") == "the chain is whole"


def test_5_8_what_runs_uses_a_new_key_at_once_and_ends_with_its_reason_once_it_is_gone(system: System) -> None:
    admin, marker = Admin(system), "longer than its key"
    admin.ask("PUT", KEYS, json={"api_key": FIRST_KEY})
    slow = dict.fromkeys(range(1, 9), 1.0)
    system.provider.play(marker, [runs(f"uptime -{letter}") for letter in "abcdefgh"], slow_once=slow)
    answer = admin.ask("POST", "/v1/incidents", json={"title": marker, "model": OPENAI_MODEL})
    investigation = answer.json()["investigation_id"]
    wait_for(
        lambda: sent_keys(system.provider, marker), within_s=20, otherwise=lambda: system.processes[0].log()[-2000:]
    )

    admin.ask("PUT", KEYS, at=1, json={"api_key": SECOND_KEY})
    wait_for(lambda: SECOND_KEY in sent_keys(system.provider, marker), within_s=20, otherwise=lambda: "the old key")
    admin.ask("DELETE", KEYS)

    row = system.wait_for_status(investigation, InvestigationStatus.FAILED)
    assert row.failure_class == "provider_credential_missing"
    used = sent_keys(system.provider, marker)
    assert used == sorted(used)  # the first, then the second, and never the first again
    told = "\n".join(process.log() for process in system.processes)
    assert FIRST_KEY not in told
    assert SECOND_KEY not in told
