"""A process that stood still past its lease, on waking: it pays for nothing that another may have taken over."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest

from tests.builders import incident, queue_of, submits_report
from tests.fakes import ScriptedModel, calls_tools
from worker import acting, asking, budgeting, pipeline
from worker.domain.conversation import ModelRequest, UserMessage
from worker.domain.states import Purpose, Step, ToolCallStatus
from worker.domain.tooling import ToolOutput
from worker.domain.transcript import Claim
from worker.errors import LeaseLostError
from worker.services import Services
from worker.storage import agents, transcripts

Open = Callable[..., Services]
LONG_S = 60.0


@dataclass
class CountingTools:
    """Stands where the toolbox stands and counts what is run."""

    ran: list[str] = field(default_factory=list)

    def run(self, name: str, arguments: dict[str, Any], context: Any) -> ToolOutput:
        self.ran.append(name)
        return ToolOutput(text="done")


def claim_first_step(services: Services) -> Claim:
    pipeline.accept(services, incident(), via="test")
    return claim_next(services)


def claim_next(services: Services) -> Claim:
    wake_up = queue_of(services).take()[0]
    return claim(services, wake_up.agent_id, wake_up.step, wake_up.turn_no)


def claim(services: Services, agent_id: str, step: Step, turn_no: int) -> Claim:
    with services.database.transaction() as session:
        taken = agents.claim(session, agent_id, step, turn_no=turn_no, lease=services.lease)
    assert taken is not None
    return taken


def take_over(services: Services, held: Claim) -> None:
    """Do what a sweeper and another worker do once the lease has run out."""
    with services.database.transaction() as session:
        agents.release_all(session, [held.token])
    claim(services, held.agent.id, held.step, held.agent.turn_no)


def slept(services: Services, held: Claim) -> Any:
    """Hold the claim as a process does that has stood still since it took it."""
    now = time.monotonic()
    return services.heartbeat.holding(held.token, since=now - LONG_S, deadline=now + LONG_S)


def ask(services: Services, held: Claim) -> None:
    request = ModelRequest(messages=(UserMessage(text="what is wrong?"),))
    expected = budgeting.expect(services, held, Purpose.RCA, route=held.agent.route, request=request)
    asking.ask(services, held, expected, request)


def test_a_step_that_was_taken_over_asks_no_model(open_services: Open) -> None:
    model = ScriptedModel([submits_report()])
    services = open_services(model)
    held = claim_first_step(services)
    take_over(services, held)

    with slept(services, held), pytest.raises(LeaseLostError):
        ask(services, held)

    assert model.requests == []


def test_a_step_that_is_still_ours_asks_and_its_lease_is_renewed(open_services: Open) -> None:
    model = ScriptedModel([submits_report()])
    services = open_services(model)
    held = claim_first_step(services)

    with slept(services, held):
        ask(services, held)
        with services.database.transaction() as session:
            agents.release_all(session, [held.token])
        services.heartbeat.confirm(held.token)  # renewed a moment ago: no need to ask the database again

    assert len(model.requests) == 1


def test_a_step_that_was_taken_over_runs_no_tool(open_services: Open) -> None:
    command = {"command": "uptime", "purpose": "load"}
    services, tools = open_services(ScriptedModel([calls_tools(("run_command", command))])), CountingTools()
    pipeline.accept(services, incident(), via="test")
    first = queue_of(services).take()[0]
    pipeline.take_turn(services, first.agent_id, first.turn_no)
    held = claim_next(services)
    take_over(services, held)
    with services.database.transaction() as session:
        transcript = transcripts.load(session, held.agent.id)
    call = transcript.turns[-1].calls[0]

    with slept(services, held), pytest.raises(LeaseLostError):
        acting.run_call(services, held, toolbox=tools, transcript=transcript, call=call)  # type: ignore[arg-type]  # a double

    assert (call.status, tools.ran) == (ToolCallStatus.ALLOWED, [])
