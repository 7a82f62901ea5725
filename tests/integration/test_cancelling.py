"""A cancel: after its commit no model call and no tool call starts, whoever was in between."""

import threading
import time
from collections.abc import Callable
from dataclasses import replace
from itertools import count

from sqlalchemy import select

from tests.builders import drain, incident, queue_of, submits_report
from tests.fakes import ScriptedModel, calls_tools
from worker import pipeline
from worker.domain.states import AgentStatus, InvestigationStatus, Step
from worker.errors import StepCancelledError
from worker.ops.redaction import Redactor
from worker.services import Services
from worker.storage import agents, interventions, investigations
from worker.storage.tables import AgentRow
from worker.tools.execution import Launch, Limits, run_pipeline

Open = Callable[..., Services]


def agent(services: Services) -> AgentRow:
    with services.database.transaction() as session:
        return session.scalars(select(AgentRow)).one()


def test_a_cancel_between_claim_and_call_asks_no_model(open_services: Open) -> None:
    model = ScriptedModel([submits_report()])
    services = open_services(model)
    taken = pipeline.accept(services, incident(), via="test")
    with services.database.transaction() as session:
        claim = agents.claim(session, agent(services).id, Step.TURN, turn_no=1, lease=services.lease)
        assert claim is not None

    pipeline.cancel(services, taken.investigation_id)
    try:
        pipeline._turn(services, claim)
    except StepCancelledError:
        stopped = True

    assert stopped
    assert model.requests == []


def test_of_many_calls_of_a_turn_those_that_wait_for_a_place_do_not_start(open_services: Open) -> None:
    many = [("run_command", {"command": f"cat /proc/{n + 1}/stat /proc/uptime", "purpose": str(n)}) for n in range(40)]
    services = open_services(ScriptedModel([calls_tools(*many), submits_report()]))
    taken = pipeline.accept(services, incident(), via="test")
    (turn,) = queue_of(services).take()
    pipeline.take_turn(services, turn.agent_id, 1)
    outputs: list[str] = []
    ended_by_then: list[int] = []

    numbers, cancelled = count(1), threading.Event()

    class CancelsAtTheThird(Redactor):
        """Sees each output before it is stored; those after the third keep their places until the cancel is through."""

        def scrub(self, text: str) -> str:
            outputs.append(text)
            number = next(numbers)
            if number == 3:
                pipeline.cancel(services, taken.investigation_id)
                ended_by_then.append(len(outputs))
                cancelled.set()
            elif number > 3:
                assert cancelled.wait(30)
            return super().scrub(text)

    drain(replace(services, redactor=CancelsAtTheThird(())))

    with services.database.transaction() as session:
        calls = pipeline.transcripts.calls_of(session, agent(services).id)[1]
    assert agent(services).status == AgentStatus.CANCELLED
    assert sum(c.finished_at is not None for c in calls) <= ended_by_then[0] + pipeline.MAX_PARALLEL_CALLS < len(many)


def test_a_cancel_while_it_is_admitted_reaches_its_agent(open_services: Open) -> None:
    services = open_services(ScriptedModel([submits_report()]), rca_max_running=1)
    pipeline.accept(services, incident("first"), via="test")
    waiting = pipeline.accept(services, incident("second"), via="test").investigation_id
    first_id = agent(services).investigation_id
    pipeline.cancel(services, first_id)
    together = threading.Barrier(2)

    def admit() -> None:
        together.wait()
        pipeline.admit_waiting(services)

    admitting = threading.Thread(target=admit)
    admitting.start()
    together.wait()
    time.sleep(0.002)
    with services.database.transaction() as session:
        interventions.cancel(session, waiting)
    admitting.join()

    with services.database.transaction() as session:
        agents.settle_cancelled(session)
        live = session.scalars(select(AgentRow).where(AgentRow.finished_at.is_(None))).all()
        assert investigations.get(session, waiting).status == InvestigationStatus.CANCELLED
    assert live == []


def test_a_command_that_ignores_the_polite_signal_is_killed_with_its_children() -> None:
    asked = iter([False, False, True])
    stubborn = "trap '' TERM; (trap '' TERM; sleep 60) & sleep 60"
    started = time.monotonic()

    done = run_pipeline(
        [Launch(("sh", "-c", stubborn))], limits=Limits(timeout_s=50), is_cancelled=lambda: next(asked, True)
    )

    assert done.was_cancelled
    assert time.monotonic() - started < 10
