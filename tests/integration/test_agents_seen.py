"""Sub-agents as people see and end them: by API, page and command, on both databases."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from sqlalchemy import update

from tests.builders import drain, queue_of, run_step, submits_report
from tests.fakes import calls_tools
from tests.orchestra import (
    CHANGES,
    ENABLED,
    ERRORS,
    GENERAL,
    LOOKS,
    RUNTIME,
    Orchestra,
    finds,
    orchestrated_incident,
    sends,
    write_two_sources,
)
from tests.web_client import AppClient, client_of, token_for
from worker import pipeline
from worker.cli.main import main
from worker.domain.conversation import Usage
from worker.domain.incident import Severity
from worker.domain.states import AgentKind
from worker.errors import ModelRefusedError, ProviderAuthError
from worker.services import Services
from worker.storage import children
from worker.storage.tables import AgentRow

Open = Callable[..., Services]
LOOKS_AT_LOGS = calls_tools(("rank_log_patterns", {}))
CITED = [{"evidence_id": "a1e1.1"}]
HOSTILE = "<script>alert(1)</script>\"'><img src=x onerror=alert(1)>{{ 7*7 }}\x1b[2J"


@pytest.fixture(scope="module")
def recorded_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_two_sources(tmp_path_factory.mktemp("recorded"))


@pytest.fixture
def open_orchestrated(open_services: Open, recorded_root: Path) -> Open:
    def build(model: Orchestra, **fields: Any) -> Services:
        return open_services(model, rca_recorded_root=recorded_root, **{**ENABLED, **fields})

    return build


@pytest.fixture
def rca(database_url: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., Result]:
    monkeypatch.setenv("DATABASE_URL", database_url)
    monkeypatch.setenv("RCA_HOME", str(tmp_path))
    return lambda *arguments: CliRunner().invoke(main, arguments)


@pytest.fixture
def services(open_orchestrated: Open) -> Services:
    """One sub-agent that found something, one that failed, and one that has not begun."""
    return open_orchestrated(
        Orchestra(
            {
                "lead": [sends(ERRORS, RUNTIME, CHANGES), submits_report()],
                ERRORS: [LOOKS_AT_LOGS, finds("Lock waits.", strength="strong", evidence=CITED)],
                RUNTIME: [ProviderAuthError("no access")],
                CHANGES: [finds("The pool was cut.")],
            }
        )
    )


@pytest.fixture
def investigation(services: Services) -> str:
    """An investigation in the middle of its wave."""
    return begin(services, resting=CHANGES)


@pytest.fixture
def client(services: Services) -> Iterator[AppClient]:
    with client_of(services) as found:
        yield found


def begin(services: Services, *, resting: str, **fields: Any) -> str:
    """Open an investigation and do all that does not need this role; its message is put aside."""
    accepted = pipeline.accept(services, orchestrated_incident(**fields), via="test")
    while wake_ups := [w for w in queue_of(services).take() if not w.who.endswith(resting)]:
        for wake_up in wake_ups:
            run_step(services, wake_up)
    return str(accepted.investigation_id)


def finish(services: Services) -> None:
    """Let the lead go on once no sub-agent is at work, as the sweeper would, to the report."""
    with services.database.transaction() as session:
        queue_of(services)(children.rejoin_all(session))
    drain(services)


def agents_of(client: AppClient, investigation: str) -> dict[str, dict[str, Any]]:
    return {a["role"]: a for a in client.get(f"/v1/investigations/{investigation}").json()["agents"]}


def claim(services: Services, agent_no: int) -> None:
    """Let a call of it be in flight."""
    with services.database.transaction() as session:
        row = AgentRow
        held = {"claim_token": "held", "status": "asking"}
        session.execute(update(row).where(row.agent_no == agent_no).values(**held))


def test_the_api_tells_the_tree_and_what_each_agent_took_and_found(client: AppClient, investigation: str) -> None:
    found = agents_of(client, investigation)

    lead = found["lead"]
    assert (lead["kind"], lead["parent_id"], lead["wave_no"], lead["purpose"]) == ("lead", None, 1, None)
    assert lead["note"] == "triage chose 3 sub-agents: several signals"
    assert {a["parent_id"] for a in found.values() if a["kind"] == "sub"} == {lead["id"]}
    assert {role: (a["strength"], a["missing"]) for role, a in found.items()} == {
        "lead": (None, None),
        ERRORS: ("strong", None),
        RUNTIME: (None, "it failed (provider_auth)"),
        CHANGES: (None, None),
    }
    assert {role: (a["turns"], a["tokens"]) for role, a in found.items()} == {
        "lead": (1, 110), ERRORS: (2, 220), RUNTIME: (0, 0), CHANGES: (0, 0),
    }  # fmt: skip
    assert found[ERRORS]["cost_usd"] == pytest.approx(2 * 0.000056)
    assert (found[CHANGES]["purpose"], found[CHANGES]["status"]) == (f"what {CHANGES} sees", "ready")


def test_what_is_not_known_of_a_call_is_null_and_never_nothing(open_orchestrated: Open) -> None:
    silent = finds().model_copy(update={"usage": Usage()})
    model = Orchestra({"lead": [sends(ERRORS), submits_report()], ERRORS: [LOOKS, silent]})
    services = open_orchestrated(model)
    investigation = begin(services, resting="nobody")

    with client_of(services) as client:
        found = agents_of(client, investigation)

    assert (found[ERRORS]["tokens"], found[ERRORS]["cost_usd"]) == (None, None)
    assert found["lead"]["cost_usd"] > 0


def test_a_late_finding_is_no_finding_to_rely_on(client: AppClient, services: Services, investigation: str) -> None:
    claim(services, 3)
    with services.database.transaction() as session:
        lead = session.query(AgentRow).filter_by(kind=AgentKind.LEAD).one()
        lead.wave_no = 2
        late = session.query(AgentRow).filter_by(agent_no=3).one()
        late.claim_token, late.status = None, "ready"
        late_id = late.id

    pipeline.take_turn(services, late_id, 1)

    found = agents_of(client, investigation)[CHANGES]
    assert (found["strength"], found["missing"]) == (
        None,
        "it was still at work when the time of its wave ran out",
    )


def test_a_sub_agent_that_waits_is_cancelled_at_once_by_the_api(
    client: AppClient, services: Services, investigation: str
) -> None:
    answer = client.post(f"/v1/investigations/{investigation}/agents/3/cancel")

    assert answer.status_code == 202
    assert answer.json() == {"investigation_id": investigation, "agent_no": 3, "status": "cancelled"}
    finish(services)
    assert client.get(f"/v1/investigations/{investigation}").json()["status"] == "completed"
    assert agents_of(client, investigation)[CHANGES]["missing"] == "it was cancelled"


def test_one_whose_call_is_in_flight_is_said_to_be_ending(
    client: AppClient, services: Services, investigation: str
) -> None:
    claim(services, 3)

    answer = client.post(f"/v1/investigations/{investigation}/agents/3/cancel")

    assert (answer.status_code, answer.json()["status"]) == (202, "asking")
    assert agents_of(client, investigation)[CHANGES]["cancel_requested_at"] is not None
    page = client.get(f"/investigations/{investigation}").text
    assert "is being cancelled" in page
    assert "/agents/3/cancel" not in page


@pytest.mark.parametrize(
    ("agent_no", "status", "said"),
    [
        ("1", 400, "sub-agent 1 of {} is done already"),
        ("2", 400, "sub-agent 2 of {} is failed already"),
        ("4", 404, "investigation {} has no sub-agent 4"),
        ("0", 404, "no such id"),
        ("x", 404, "no such id"),
        ("9" * 30, 404, "no such id"),
    ],
)
def test_what_cannot_be_cancelled_is_refused_with_the_reason(
    agent_no: str, status: int, said: str, *, client: AppClient, investigation: str
) -> None:
    answer = client.post(f"/v1/investigations/{investigation}/agents/{agent_no}/cancel")

    assert answer.status_code == status
    assert said.format(investigation) in answer.json()["detail"]["message"]


def test_a_token_of_another_path_cancels_nobody(services: Services, client: AppClient, investigation: str) -> None:
    foreign = token_for(services, "investigations:write", user_path="/team/b")
    own = token_for(services, "reports:read")

    answer = client.post(f"/v1/investigations/{investigation}/agents/3/cancel", headers=foreign)

    assert answer.status_code == 404
    listed = client.get(f"/v1/investigations/{investigation}", headers=own).json()["agents"]
    assert [a["cancel_requested_at"] for a in listed] == [None] * 4


def test_the_page_shows_the_tree_and_a_button_beside_who_is_at_work(
    client: AppClient, services: Services, investigation: str
) -> None:
    page = client.get(f"/investigations/{investigation}").text

    assert "3 sub-agents, 1 at work" in page
    assert "strong finding" in page
    assert "no finding: it failed (provider_auth)" in page
    assert page.count('action="/investigations/') == 2
    pressed = client.post(f"/investigations/{investigation}/agents/3/cancel", headers={"Sec-Fetch-Site": "same-origin"})
    assert (pressed.status_code, pressed.headers["location"]) == (303, f"/investigations/{investigation}/progress")
    assert "no finding: it was cancelled" in client.get(f"/investigations/{investigation}").text


def test_another_site_cannot_press_the_button_and_a_reader_is_not_offered_it(
    client: AppClient, services: Services, investigation: str
) -> None:
    path = f"/investigations/{investigation}/agents/3/cancel"

    refused = client.post(path, headers={"Sec-Fetch-Site": "cross-site"})
    reader = token_for(services, "reports:read")

    assert (refused.status_code, refused.json()["detail"]["error"]) == (403, "cross_site")
    assert path not in client.get(f"/investigations/{investigation}", headers=reader).text
    assert client.post(path, headers=reader).status_code == 403


def test_a_leads_hostile_words_stay_words_on_the_page(open_orchestrated: Open) -> None:
    hostile = [{"role": ERRORS, "purpose": HOSTILE}]
    services = open_orchestrated(Orchestra({"lead": [sends(sub_agents=hostile, reason=HOSTILE)], ERRORS: [finds()]}))
    investigation = begin(services, resting=ERRORS)

    with client_of(services) as client:
        page = client.get(f"/investigations/{investigation}").text

    assert "<script" not in page
    assert "<img" not in page
    assert page.count("{{ 7*7 }}") == 2
    assert "\x1b" not in page


def test_a_command_cancels_one_sub_agent(rca: Callable[..., Result], services: Services, investigation: str) -> None:
    cancelled = rca("investigations", "cancel", investigation, "--agent", "3")
    again = rca("investigations", "cancel", investigation, "--agent", "3")
    nobody = rca("investigations", "cancel", investigation, "--agent", "9")

    assert (cancelled.exit_code, again.exit_code, nobody.exit_code) == (0, 2, 2)
    assert cancelled.stdout.startswith(f"sub-agent 3 of {investigation} is cancelled")
    assert "is cancelled already" in again.stderr
    assert "has no sub-agent 9" in nobody.stderr
    finish(services)
    assert "completed" in rca("investigations", "show", investigation).stdout


def test_commands_tell_the_tree(rca: Callable[..., Result], services: Services, investigation: str) -> None:
    rca("investigations", "cancel", investigation, "--agent", "3")
    finish(services)

    shown, followed = rca("investigations", "show", "latest").stdout, rca("follow", "latest").stdout
    as_json = json.loads(rca("investigations", "show", "latest", "--json").stdout)

    for said in (
        "agent 0: lead, done, 2 turns, 2 calls, 220 tokens, ",
        f"  agent 1: sub, {ERRORS}, wave 1, strong finding, 2 turns, 2 calls, 220 tokens, $0.0001, ",
        f"  agent 2: sub, {RUNTIME}, wave 1, no finding: it failed (provider_auth), 0 turns, ",
        f"  agent 3: sub, {CHANGES}, wave 1, no finding: it was cancelled, 0 turns, 0 calls, 0 tokens, ",
        f"    what {CHANGES} sees",
    ):
        assert said in shown
        assert said in followed
    assert f"    agent 1 {ERRORS}, turn 2: submit_finding\n" in followed
    assert [a["strength"] for a in as_json["agents"]] == [None, "strong", None, None]


def test_the_verify_pass_is_in_the_json_as_what_it_is(rca: Callable[..., Result], open_orchestrated: Open) -> None:
    cause = {"entity": "db", "category": "latency", "statement": "It waits.", "evidence": CITED}
    model = Orchestra(
        {
            "lead": [sends(RUNTIME), submits_report(verdict="likely", root_causes=[cause])],
            RUNTIME: [LOOKS, finds()],
            "verify": [ModelRefusedError("no")],
        }
    )
    begin(open_orchestrated(model, rca_verify=True), resting="nobody")

    shown = json.loads(rca("investigations", "show", "latest", "--json").stdout)
    told = rca("follow", "latest").stdout

    assert shown["agents"][0]["verification"]["problem"] == "the model did not answer (model_refused)"
    assert "the verifier did not answer: model_refused" in told
    assert "Not verified by openai/gpt-4.1: the model did not answer (model_refused)" in told


@pytest.mark.parametrize(
    ("severity", "variable"), [(Severity.HIGH, "RCA_ORCHESTRATOR_MODEL"), (Severity.LOW, "RCA_SUBAGENT_MODEL")]
)
def test_what_to_do_about_a_failure_names_the_variable_that_counts(
    rca: Callable[..., Result], open_orchestrated: Open, severity: Severity, variable: str
) -> None:
    refused = ModelRefusedError("no")
    model = Orchestra({"lead": [sends(GENERAL), refused], GENERAL: [finds()], "single": [refused]})
    services = open_orchestrated(model)
    event = orchestrated_incident().model_copy(update={"severity": severity})
    pipeline.accept(services, event, via="test")
    drain(services)

    told = rca("follow", "latest").stdout

    assert f"name another one in {variable}, then retry" in told


def test_the_message_of_a_lead_that_goes_on_alone_says_so(open_orchestrated: Open) -> None:
    services = open_orchestrated(Orchestra({"single": [submits_report()]}))
    event = orchestrated_incident().model_copy(update={"severity": Severity.LOW})
    pipeline.accept(services, event, via="test")
    shown = []

    while wake_ups := queue_of(services).take():
        for wake_up in wake_ups:
            shown.append(wake_up.shown_as)
            run_step(services, wake_up)

    assert shown == ["rca.turn:lead", "rca.turn:single", "rca.publish:single"]
