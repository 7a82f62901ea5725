"""One tool call of a step: what comes of it is stored, redacted, no longer than a model should read."""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import pytest

from tests.builders import queue_of
from tests.fakes import ScriptedModel, calls_tools
from tests.unit.spine.claims import claim_of, first_step, seconds_from_now
from worker import acting, pipeline
from worker.acting import CANCEL_POLL_S, INLINE_CHARS
from worker.domain.states import ToolCallStatus
from worker.domain.tooling import ToolContext, ToolOutput
from worker.domain.transcript import Claim, ToolCall, Transcript
from worker.errors import (
    StepCancelledError,
    StorageUnavailableError,
    ToolDeniedError,
    ToolFailedError,
    ToolInputError,
)
from worker.services import Services
from worker.storage import artifacts, transcripts
from worker.tools.toolbox import Toolbox

Open = Callable[..., Services]
Run = Callable[[ToolContext], ToolOutput]


@dataclass
class OneTool:
    """Stands where the toolbox stands: whatever is called, this runs."""

    runs: Run

    def run(self, name: str, arguments: dict[str, Any], context: ToolContext) -> ToolOutput:
        return self.runs(context)


class Scene:
    """An agent whose first turn asked for one command that may run, its act step claimed."""

    def __init__(self, open_services: Open, **settings: Any) -> None:
        wanted = calls_tools(("run_command", {"command": "uptime", "purpose": "load"}))
        self.services: Services = open_services(ScriptedModel([wanted]), **settings)
        first = first_step(self.services)
        pipeline.take_turn(self.services, first.agent_id, first.turn_no)
        self.claim: Claim = claim_of(self.services, queue_of(self.services).take()[0])
        self.transcript = self.load()

    def load(self) -> Transcript:
        with self.services.database.transaction() as session:
            return transcripts.load(session, self.claim.agent.id)

    def run(self, runs: Run, *, claim: Claim | None = None) -> ToolCall:
        """Run the call with this tool; return the call as it is stored."""
        toolbox: Any = OneTool(runs)
        call, used = self.transcript.calls[0], claim or self.claim
        acting.run_call(self.services, used, toolbox=toolbox, transcript=self.transcript, call=call)
        return self.load().calls[0]

    def artifact(self, artifact_id: str | None) -> str:
        with self.services.database.transaction() as session:
            return artifacts.read(session, (self.claim.agent.investigation_id,), str(artifact_id))


@pytest.fixture
def scene(open_services: Open) -> Scene:
    return Scene(open_services)


def says(text: str) -> Run:
    return lambda _: ToolOutput(text=text, entities=("web",))


def fails(error: Exception) -> Run:
    def run(_: ToolContext) -> ToolOutput:
        raise error

    return run


def test_a_short_output_is_stored_as_it_is(scene: Scene) -> None:
    call = scene.run(says("load is 0.1"))

    assert (call.status, call.text, call.artifact_id) == (ToolCallStatus.SUCCEEDED, "load is 0.1", None)
    assert call.entities == ("web",)
    assert call.finished_at is not None


@pytest.mark.parametrize("error", [ToolFailedError("exit 1"), ToolInputError("no such metric"), ToolDeniedError("no")])
def test_an_error_of_a_tool_is_told_to_the_model(scene: Scene, error: Exception) -> None:
    call = scene.run(fails(error))

    assert (call.status, call.text) == (ToolCallStatus.FAILED, str(error))
    assert call.reason == error.reason  # type: ignore[attr-defined]  # all are worker errors


def test_a_defect_of_a_tool_stores_nothing_and_is_raised(scene: Scene) -> None:
    with pytest.raises(ZeroDivisionError):
        scene.run(fails(ZeroDivisionError()))

    assert scene.load().calls[0].status is ToolCallStatus.ALLOWED


@pytest.mark.parametrize("run", [says("password=hunter2hunter2"), fails(ToolFailedError("password=hunter2hunter2"))])
def test_no_secret_of_an_output_is_stored(scene: Scene, run: Run) -> None:
    assert "hunter2" not in str(scene.run(run))


def test_no_secret_of_a_long_output_is_in_its_artifact(scene: Scene) -> None:
    call = scene.run(says("line\n" * 1000 + "password=hunter2hunter2"))

    assert "hunter2" not in scene.artifact(call.artifact_id)


def test_a_longer_output_is_kept_whole_beside_what_the_model_reads(scene: Scene) -> None:
    whole = "x" * (INLINE_CHARS + 1)

    call = scene.run(says(whole))

    assert (call.text, scene.artifact(call.artifact_id)) == (whole, whole)


def test_a_very_long_output_is_shortened_with_how_to_read_the_rest(open_services: Open) -> None:
    scene = Scene(open_services, rca_tool_output_chars=3000)
    whole = "".join(f"line {n}\n" for n in range(2000))

    call = scene.run(says(whole))

    assert len(str(call.text)) <= 3000
    assert str(call.artifact_id) in str(call.text)
    assert scene.artifact(call.artifact_id) == whole


def test_an_output_of_bytes_that_are_no_text_is_stored(scene: Scene) -> None:
    call = scene.run(says("\ud800\x00" * INLINE_CHARS))

    assert "\ud800" not in scene.artifact(call.artifact_id)


def test_a_call_has_its_own_time_and_no_more_than_is_left(scene: Scene) -> None:
    left: list[float] = []

    def run(context: ToolContext) -> ToolOutput:
        left.append(context.deadline - time.monotonic())
        return ToolOutput(text="")

    scene.run(run)
    scene.run(run, claim=replace(scene.claim, agent=replace(scene.claim.agent, deadline_at=seconds_from_now(5))))
    scene.run(run, claim=replace(scene.claim, agent=replace(scene.claim.agent, deadline_at=seconds_from_now(-5))))

    assert left == pytest.approx([scene.services.settings.rca_tool_timeout_s, 5, 0], abs=0.9)


def test_after_a_cancel_no_call_starts(scene: Scene) -> None:
    ran: list[str] = []
    pipeline.cancel(scene.services, scene.claim.agent.investigation_id)

    with pytest.raises(StepCancelledError):
        scene.run(lambda _: ToolOutput(text=ran.append("ran") or ""))

    assert ran == []


def test_a_running_call_learns_of_a_cancel_within_a_second(scene: Scene) -> None:
    answers: list[bool] = []
    flag = acting._CancelFlag(scene.services, scene.claim)
    answers.append(flag())
    pipeline.cancel(scene.services, scene.claim.agent.investigation_id)

    answers.append(flag())  # asked a moment ago: the database is left alone
    flag._asked_at -= CANCEL_POLL_S
    answers.append(flag())

    assert answers == [False, False, True]


def test_a_call_goes_on_while_nobody_can_say_whether_it_was_cancelled(scene: Scene) -> None:
    class Away:
        def transaction(self) -> Any:
            raise StorageUnavailableError("away")

    away: Any = Away()
    flag = acting._CancelFlag(replace(scene.services, database=away), scene.claim)
    flag._asked_at -= CANCEL_POLL_S

    assert flag() is False


def test_a_tool_may_read_an_artifact_of_its_investigation_and_no_other(scene: Scene) -> None:
    with scene.services.database.transaction() as session:
        own = artifacts.add(session, scene.claim.agent.investigation_id, evidence_id="e1.1", text="whole")
    read: list[str] = []

    def run(context: ToolContext) -> ToolOutput:
        assert context.read_artifact is not None
        read.append(context.read_artifact(own))
        return ToolOutput(text=context.read_artifact("art_of_another"))

    call = scene.run(run)

    assert read == ["whole"]
    assert (call.status, "art_of_another" in str(call.text)) == (ToolCallStatus.FAILED, True)


def test_calls_of_a_turn_run_at_the_same_time(open_services: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    wanted = [("run_command", {"command": f"uptime -{letter}", "purpose": "load"}) for letter in "ps"]
    services = open_services(ScriptedModel([calls_tools(*wanted)]))
    first = first_step(services)
    pipeline.take_turn(services, first.agent_id, first.turn_no)
    together = threading.Barrier(2, timeout=5)

    def run(*_: Any) -> ToolOutput:
        together.wait()  # passes only if both are running
        return ToolOutput(text="done")

    monkeypatch.setattr(Toolbox, "run", run)
    pipeline.act(services, first.agent_id, first.turn_no)

    with services.database.transaction() as session:
        calls = transcripts.load(session, first.agent_id).calls
    assert [call.text for call in calls] == ["done", "done"]
