"""Flower, the control plane: behind its password, it shows whose turn each task is."""

import base64
import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.request import Request, urlopen

import pytest

from tests.acceptance.ensemble import (
    claims_a_cause,
    environment,
    finds,
    holds,
    looks,
    measures,
    sends,
    write_own_role,
)
from tests.acceptance.system import System, reports, runs, wait_for
from tests.orchestra import CASE, ERRORS, RUNTIME, write_two_sources
from tests.servers import free_port
from worker.domain.states import AgentStatus

Install = Callable[..., System]
AUTH = "operator:a-long-password"
UNREACHABLE = 0
NAMES = ("carts", "orders", "mail", "search", "stock", "billing", "users", "wishes")


def get(port: int, path: str, *, auth: str | None = AUTH) -> Any:
    headers = {"authorization": "Basic " + base64.b64encode(auth.encode()).decode()} if auth else {}
    with urlopen(Request(f"http://127.0.0.1:{port}{path}", headers=headers), timeout=5) as answer:
        return json.load(answer)


def status(port: int, path: str, *, auth: str | None = None) -> int:
    try:
        get(port, path, auth=auth)
    except HTTPError as refused:
        refused.close()
        return refused.code
    except URLError:
        return UNREACHABLE
    return 200


@pytest.fixture(scope="module")
def port(system: System) -> Iterator[int]:
    """Return the port of a Flower that runs beside the shared worker."""
    chosen = free_port()
    flower = system.start_flower(port=chosen, auth=AUTH)
    wait_for(lambda: status(chosen, "/") != UNREACHABLE, within_s=30, otherwise=flower.log)
    yield chosen
    flower.kill()


def test_flower_shows_turns_with_agent_and_number_to_whoever_knows_the_password(system: System, port: int) -> None:
    names = iter(NAMES)

    def shown() -> list[dict[str, Any]]:
        """Open investigations until one is seen: Flower begins to listen at a moment of its own choice."""
        marker = f"seen in flower: {next(names)}"
        system.provider.play(marker, [runs("uptime"), reports()])
        investigation = system.open(marker)
        system.wait_until_completed(investigation)
        agent = system.agent(investigation).id
        return [t for t in get(port, "/api/tasks").values() if t["name"] == "rca.turn:single" and agent in t["args"]]

    turns = wait_for(shown, within_s=30, otherwise=lambda: str(get(port, "/api/tasks")))

    assert all(re.fullmatch(r"[\[(]'agt_[0-9a-f]+', [12][\])]", t["args"]) for t in turns), turns
    assert {t["kwargs"] for t in turns} == {"{}"}
    assert {t["state"] for t in turns} <= {"SENT", "RECEIVED", "STARTED", "SUCCESS"}


def test_flower_shows_the_role_of_each_sub_agent_from_the_moment_its_message_is_sent(
    install: Install, tmp_path: Path
) -> None:
    recorded = write_two_sources(tmp_path / "recorded")
    system, marker = install(**environment(recorded, write_own_role(tmp_path))), "roles in flower"
    script = {"lead": [sends(ERRORS, RUNTIME), claims_a_cause()], "verify": [holds()]}
    system.provider.play_parts(marker, {**script, ERRORS: [looks(), finds()], RUNTIME: [measures(), finds()]})
    port, opened = free_port(), []
    flower = system.start_flower(port=port, auth=AUTH)
    wait_for(lambda: status(port, "/") != UNREACHABLE, within_s=30, otherwise=flower.log)
    system.start_worker(queues=("rca", "tools", "reports"))

    def shown() -> set[str]:
        return {task["name"] for task in get(port, "/api/tasks").values()}

    def waiting() -> bool:
        """Open investigations, whose sub-agents no worker takes, until one is seen."""
        opened.append(system.open(f"{marker} {NAMES[len(opened)]}", severity="high", labels={"recorded_case": CASE}))
        system.wait_for_agent(opened[-1], lambda a: a.status == AgentStatus.WAITING_CHILDREN)
        return shown() >= {"rca.turn:lead", f"rca.turn:sub:{ERRORS}", f"rca.turn:sub:{RUNTIME}"}

    wait_for(waiting, within_s=30, otherwise=lambda: str(shown()))
    system.start_worker(queues=("subagents",))
    system.wait_until_completed(opened[-1])

    later = {f"rca.act:sub:{ERRORS}", "rca.verify:lead", "rca.publish:lead"}
    wait_for(lambda: shown() >= later, within_s=30, otherwise=lambda: str(shown()))


@pytest.mark.parametrize("auth", [None, "operator:guess"])
@pytest.mark.parametrize("path", ["/", "/api/tasks", "/api/workers", "/tasks", "/broker"])
def test_flower_tells_nothing_without_its_password(port: int, path: str, auth: str | None) -> None:
    assert status(port, path, auth=auth) == 401
