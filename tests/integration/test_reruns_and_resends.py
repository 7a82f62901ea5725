"""Run again and send again, as people do it: by command, over HTTP, on the page."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from tests.builders import drain, incident, queue_of, submits_report
from tests.fakes import ScriptedModel
from tests.receiver import Receiver, Say
from tests.web_client import client_of, token_for
from worker import delivering, pipeline
from worker.cli.main import main
from worker.services import Services

Open = Callable[..., Services]


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver([Say(410), Say(200)]) as found:
        yield found


@pytest.fixture
def services(open_services: Open, receiver: Receiver) -> Services:
    """Return services with one report whose delivery was refused."""
    built = open_services(ScriptedModel([submits_report()]), rca_delivery_webhook_url=receiver.url)
    pipeline.accept(built, incident(user_path="/team/a"), via="test")
    drain(built)
    send(built)
    return built


@pytest.fixture
def run(database_url: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., Result]:
    monkeypatch.setenv("DATABASE_URL", database_url)
    monkeypatch.setenv("RCA_HOME", str(tmp_path))
    return lambda *arguments: CliRunner().invoke(main, arguments)


def send(services: Services) -> None:
    delivering.send_due(services)
    told, queue_of(services).deliveries = queue_of(services).deliveries, []
    for delivery_id in told:
        delivering.deliver(services, delivery_id)


def test_the_commands_list_and_send_again(services: Services, run: Callable[..., Result]) -> None:
    (failed,) = json.loads(run("deliveries", "list", "--status", "failed", "--json").stdout)
    shown = run("investigations", "show", "latest").stdout
    said = run("deliveries", "resend", failed["id"]).stdout
    send(services)

    assert failed["failure"] == "the destination answered 410"
    assert f"delivery: {failed['id']}" in shown
    assert "failed after 1 attempt: the destination answered 410" in shown
    assert said == f"{failed['id']} goes to webhook again\n"
    assert "delivered" in run("deliveries", "list").stdout
    assert run("deliveries", "list", "--status", "failed").stdout == "no delivery matches\n"
    assert run("deliveries", "resend", "dlv_none").exit_code == 2


def test_the_api_lists_and_sends_again_below_the_tokens_path(services: Services) -> None:
    own = token_for(services, "reports:read", "investigations:write", user_path="/team/a")
    others = token_for(services, "reports:read", "investigations:write", user_path="/team/b")
    with client_of(services) as client:
        (failed,) = client.get("/v1/deliveries?status=failed", headers=own).json()["deliveries"]
        resend = f"/v1/deliveries/{failed['id']}/resend"
        unseen = client.get("/v1/deliveries", headers=others).json()["deliveries"]
        refused = client.post(resend, headers=others)
        reader = client.post(resend, headers=token_for(services, "reports:read", user_path="/team/a"))
        taken = client.post(resend, headers=own)
        send(services)
        shown = client.get(f"/v1/investigations/{failed['investigation_id']}", headers=own).json()

    assert (unseen, refused.status_code, reader.status_code, taken.status_code) == ([], 404, 403, 202)
    assert [d["status"] for d in shown["deliveries"]] == ["delivered"]


def test_the_api_and_the_command_run_again(services: Services, run: Callable[..., Result]) -> None:
    with client_of(services) as client:
        (first,) = client.get("/v1/investigations").json()["investigations"]
        second = client.post(f"/v1/investigations/{first['id']}/rerun").json()["investigation_id"]
        twice = client.post(f"/v1/investigations/{first['id']}/rerun")
        drain(services)
        third = run("investigations", "rerun", second).stdout.strip()
        attempts = client.get(f"/v1/investigations/{first['id']}").json()["attempts"]

    assert twice.status_code == 400
    assert [a["id"] for a in attempts] == [first["id"], second, third]
    assert f"attempt 1: {first['id']}" in run("investigations", "show", third).stdout


def test_the_page_has_the_buttons_and_links_the_attempts(services: Services) -> None:
    with client_of(services) as client:
        (first,) = client.get("/v1/investigations").json()["investigations"]
        page = f"/investigations/{first['id']}"
        (delivery,) = client.get("/v1/deliveries").json()["deliveries"]
        before = client.get(f"{page}/progress").text
        resent = client.post(f"{page}/deliveries/{delivery['id']}/resend")
        again = client.post(f"{page}/rerun")
        after = client.get(f"{page}/progress").text

    assert f'action="{page}/rerun"' in before
    assert f'action="{page}/deliveries/{delivery["id"]}/resend"' in before
    assert (resent.status_code, again.status_code) == (303, 303)
    assert f'href="{again.headers["location"]}"' in after
