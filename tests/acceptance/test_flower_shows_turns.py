"""Flower, the control plane: behind its password, it shows whose turn each task is."""

import base64
import json
import re
from collections.abc import Iterator
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.request import Request, urlopen

import pytest

from tests.acceptance.system import System, reports, runs, wait_for
from tests.servers import free_port

AUTH = "operator:a-long-password"
UNREACHABLE = 0


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
    names = iter(("carts", "orders", "mail", "search", "stock", "billing", "users", "wishes"))

    def shown() -> list[dict[str, Any]]:
        """Open investigations until one is seen: Flower begins to listen at a moment of its own choice."""
        marker = f"seen in flower: {next(names)}"
        system.provider.play(marker, [runs("uptime"), reports()])
        investigation = system.open(marker)
        system.wait_until_completed(investigation)
        agent = system.agent(investigation).id
        return [t for t in get(port, "/api/tasks").values() if t["name"] == "rca.turn" and agent in t["args"]]

    turns = wait_for(shown, within_s=30, otherwise=lambda: str(get(port, "/api/tasks")))

    assert all(re.fullmatch(r"[\[(]'agt_[0-9a-f]+', [12][\])]", t["args"]) for t in turns), turns
    assert {t["kwargs"] for t in turns} == {"{}"}
    assert {t["state"] for t in turns} <= {"SENT", "RECEIVED", "STARTED", "SUCCESS"}


@pytest.mark.parametrize("auth", [None, "operator:guess"])
@pytest.mark.parametrize("path", ["/", "/api/tasks", "/api/workers", "/tasks", "/broker"])
def test_flower_tells_nothing_without_its_password(port: int, path: str, auth: str | None) -> None:
    assert status(port, path, auth=auth) == 401
