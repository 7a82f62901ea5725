"""Traces of whole investigations: every agent and step in its place, whoever ended it, and nothing that was said."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from fakeredis import FakeRedis
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.semconv._incubating.attributes import gen_ai_attributes
from opentelemetry.trace import StatusCode
from sqlalchemy import update

from tests.builders import STARTED_AT, drain, incident, queue_of, submits_report
from tests.fakes import ScriptedModel, calls_tools
from tests.orchestra import (
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
from tests.receiver import Receiver
from tests.traces import CollectingTracer, named, parent_of, require_whole, steps_of
from worker import pipeline
from worker.cli.main import main
from worker.domain.conversation import ModelAnswer
from worker.errors import ProviderAuthError, ProviderUnavailableError
from worker.ops.otlp import span_id, trace_id
from worker.services import Services
from worker.storage import agents
from worker.storage.tables import AgentRow, UsageRow
from worker.sweeper import Sweeper

Open = Callable[..., Services]
Trace = Callable[[Any], Services]
SECRET = "quokka"
"""In everything that is said: no span may hold it."""
LONG_AGO = datetime(2000, 1, 1, tzinfo=UTC)
KNOWN = {value for name, value in vars(gen_ai_attributes).items() if name.startswith("GEN_AI_")}


@pytest.fixture
def tracer() -> CollectingTracer:
    return CollectingTracer()


@pytest.fixture(scope="module")
def recorded_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_two_sources(tmp_path_factory.mktemp("recorded"))


@pytest.fixture
def orchestrated(open_services: Open, recorded_root: Path, tracer: CollectingTracer) -> Trace:
    return lambda model: open_services(model, tracer=tracer, rca_recorded_root=recorded_root, **ENABLED)


@pytest.fixture
def single(open_services: Open, tracer: CollectingTracer) -> Open:
    return lambda script, **fields: open_services(ScriptedModel(script), tracer=tracer, **fields)


def open_one(services: Services, **fields: Any) -> str:
    event = orchestrated_incident(f"{SECRET} is slow", description=f"why, {SECRET}?", **fields)
    return str(pipeline.accept(services, event, via="test").investigation_id)


def agents_of(services: Services) -> list[AgentRow]:
    with services.database.transaction() as session:
        return sorted(session.query(AgentRow).all(), key=lambda a: a.created_at)


def set_agent(services: Services, agent_id: str, **values: object) -> None:
    with services.database.transaction() as session:
        session.execute(update(AgentRow).where(AgentRow.id == agent_id).values(**values))


def count_tokens(services: Services, tokens: int) -> None:
    """Let the calls so far count so much in the budgets of the day."""
    with services.database.transaction() as session:
        session.execute(update(UsageRow).values(counted_tokens=tokens))


def sweep(services: Services) -> None:
    assert Sweeper(services, FakeRedis()).sweep()


def texts_of(spans: tuple[ReadableSpan, ...]) -> str:
    return "\n".join(span.to_json() for span in spans)


def told(answer: ModelAnswer) -> ModelAnswer:
    return answer.model_copy(update={"message": answer.message.model_copy(update={"text": f"I think: {SECRET}"})})


def whole_orchestra() -> Orchestra:
    look = calls_tools(("rank_metric_changes", {"entities": ["db", SECRET]}))
    return Orchestra(
        {
            "lead": [sends(ERRORS, RUNTIME, reason=SECRET), told(submits_report(summary=f"The {SECRET}."))],
            ERRORS: [ProviderAuthError(f"no access for {SECRET}")],
            RUNTIME: [told(LOOKS), look, finds(f"{SECRET} rose.", evidence=["a2e1.1"])],
        }
    )


def test_an_orchestrated_investigation_is_one_trace_of_all_its_agents(
    orchestrated: Trace, tracer: CollectingTracer
) -> None:
    services = orchestrated(whole_orchestra())
    investigation = open_one(services)
    drain(services)

    spans = tracer.spans()

    require_whole(services, spans)
    assert {s.context.trace_id for s in spans} == {trace_id(investigation)}
    (root,) = [s for s in spans if s.parent is None]
    lead, errors, runtime = agents_of(services)
    assert root.name == "invoke_workflow investigation"
    assert {s.name: parent_of(s) for s in named(spans, "invoke_agent")} == {
        "invoke_agent lead": span_id(investigation),
        f"invoke_agent {ERRORS}": span_id(lead.id),
        f"invoke_agent {RUNTIME}": span_id(lead.id),
    }
    assert [s.attributes["gen_ai.agent.name"] for s in spans if s.attributes.get("error.type") == "provider_auth"] == [
        ERRORS, ERRORS, ERRORS,
    ]  # fmt: skip
    assert steps_of(spans, errors.id) == ["turn"]
    assert steps_of(spans, runtime.id) == ["turn", "act", "turn", "act", "turn"]


def test_no_span_holds_what_anybody_said(orchestrated: Trace, tracer: CollectingTracer) -> None:
    services = orchestrated(whole_orchestra())
    open_one(services)
    drain(services)

    told_by_spans = texts_of(tracer.spans())

    assert "rank_metric_changes" in told_by_spans
    assert SECRET not in told_by_spans
    assert "lock wait" not in told_by_spans


def test_a_command_is_a_tool_call_without_its_words_and_its_judge_is_a_model_call(
    open_services: Open, tracer: CollectingTracer, tmp_path: Path
) -> None:
    command = f"echo {SECRET} >> {tmp_path / 'seen'}"
    asked = calls_tools(("run_command", {"command": command, "purpose": SECRET}))
    allows = calls_tools(
        ("decide_commands", {"decisions": [{"id": "e1.1", "verdict": "allow", "reason": f"{SECRET} is fine"}]})
    )
    model = ScriptedModel([asked, submits_report()], judge=lambda _: allows)
    services = open_services(model, tracer=tracer, **{**ENABLED, "orchestrator_enabled": False})
    pipeline.accept(services, incident(SECRET), via="test")
    drain(services)

    spans = tracer.spans()

    require_whole(services, spans)
    assert SECRET not in texts_of(spans)
    assert steps_of(spans, agents_of(services)[0].id) == ["turn", "judge", "act", "turn", "publish"]
    (judge,) = [s for s in named(spans, "chat") if s.attributes["rca.purpose"] == "judge"]
    assert parent_of(judge) == named(spans, "judge")[0].context.span_id
    (tool,) = named(spans, "execute_tool")
    assert (tool.name, tool.attributes["gen_ai.tool.call.id"]) == ("execute_tool run_command", "e1.1")
    assert parent_of(tool) == named(spans, "act")[0].context.span_id


def test_a_model_call_says_who_was_asked_and_what_it_took(single: Open, tracer: CollectingTracer) -> None:
    plain = {**ENABLED, "orchestrator_enabled": False, "rca_model": "openai/gpt-4.1-mini"}
    services = single([submits_report().model_copy(update={"model": "gpt-4.1-mini-2025"})], **plain)
    pipeline.accept(services, incident(), via="test")
    drain(services)

    (call,) = named(tracer.spans(), "chat")

    attributes = dict(call.attributes)
    assert call.name == "chat gpt-4.1-mini"
    assert (
        attributes.items()
        >= {
            "gen_ai.operation.name": "chat",
            "gen_ai.provider.name": "openai",
            "gen_ai.request.model": "gpt-4.1-mini",
            "gen_ai.response.model": "gpt-4.1-mini-2025",
            "gen_ai.response.finish_reasons": ("tool_use",),
            "gen_ai.usage.input_tokens": 100,
            "gen_ai.usage.output_tokens": 10,
            "gen_ai.agent.name": "single",
        }.items()
    )


def test_every_attribute_is_ours_or_one_that_opentelemetry_names(orchestrated: Trace, tracer: CollectingTracer) -> None:
    services = orchestrated(whole_orchestra())
    open_one(services)
    drain(services)

    names = {name for span in tracer.spans() for name in span.attributes}

    assert {name for name in names if not name.startswith("rca.")} <= KNOWN | {"error.type"}


def test_a_retry_is_a_trace_of_its_own_linked_to_the_one_before(orchestrated: Trace, tracer: CollectingTracer) -> None:
    lead: list[Any] = [sends(RUNTIME), ProviderAuthError("the key was taken away")]
    services = orchestrated(Orchestra({"lead": lead, RUNTIME: [LOOKS, finds()]}))
    failed = open_one(services)
    drain(services)

    lead[1] = submits_report()
    resumed = pipeline.retry(services, failed)
    drain(services)

    spans = tracer.spans()
    require_whole(services, spans)
    first, second = named(spans, "invoke_workflow")
    assert (first.status.status_code, first.attributes["error.type"]) == (StatusCode.ERROR, "provider_auth")
    assert (first.links, second.status.status_code) == ((), StatusCode.UNSET)
    assert [(link.context.trace_id, link.context.span_id) for link in second.links] == [
        (trace_id(failed), span_id(failed))
    ]
    again = [s.name for s in spans if s.context.trace_id == trace_id(resumed)]
    assert again.count(f"invoke_agent {RUNTIME}") == 1
    assert again.count("turn") == 1


def test_each_try_at_a_step_is_a_span_of_its_own(single: Open, tracer: CollectingTracer) -> None:
    lines: list[Any] = [ProviderUnavailableError("down")]
    services = single(lines)
    pipeline.accept(services, incident(), via="test")
    drain(services)
    services.model.script[0] = submits_report()
    set_agent(services, agents_of(services)[0].id, not_before=LONG_AGO)
    sweep(services)
    drain(services)

    spans = tracer.spans()

    require_whole(services, spans)
    assert [s.attributes["rca.step.outcome"] for s in named(spans, "turn")] == ["provider_unavailable", "stored"]
    assert [s.attributes.get("error.type") for s in named(spans, "chat")] == ["provider_unavailable", None]


def test_a_result_that_another_agent_got_is_a_tool_call_that_names_it(
    orchestrated: Trace, tracer: CollectingTracer
) -> None:
    model = Orchestra(
        {"lead": [sends(GENERAL, RUNTIME), submits_report()], GENERAL: [LOOKS, finds()], RUNTIME: [LOOKS, finds()]}
    )
    services = orchestrated(model)
    open_one(services)
    drain(services)

    calls = named(tracer.spans(), "execute_tool")

    (shared,) = [s for s in calls if "rca.tool.repeats" in s.attributes]
    (run,) = [s for s in calls if s is not shared]
    assert shared.attributes["rca.tool.repeats"] == run.attributes["gen_ai.tool.call.id"]


# Ends that no step commits


def fan_out(orchestrated: Trace) -> tuple[Services, list[AgentRow]]:
    """Return an investigation whose lead waits for two sub-agents that nobody has begun."""
    services = orchestrated(
        Orchestra({"lead": [sends(ERRORS, RUNTIME), submits_report()], ERRORS: [finds()], RUNTIME: [finds()]})
    )
    open_one(services)
    pipeline.take_turn(services, agents_of(services)[0].id, 1)
    queue_of(services).take()
    return services, agents_of(services)


def test_a_cancelled_investigation_ends_its_trace_and_its_agents_spans(
    orchestrated: Trace, tracer: CollectingTracer
) -> None:
    services, rows = fan_out(orchestrated)

    pipeline.cancel(services, rows[0].investigation_id)

    spans = tracer.spans()
    require_whole(services, spans)
    assert {s.attributes["rca.status"] for s in named(spans, "invoke")} == {"cancelled"}
    assert len(named(spans, "invoke_agent")) == 3


def test_a_sub_agent_that_is_cancelled_between_claim_and_commit_has_one_span(
    orchestrated: Trace, tracer: CollectingTracer
) -> None:
    services, (lead, first, second) = fan_out(orchestrated)
    model = services.model
    model.before(ERRORS, lambda: pipeline.cancel_agent(services, lead.investigation_id, agent_no=1))

    pipeline.take_turn(services, first.id, 1)
    pipeline.take_turn(services, second.id, 1)
    drain(services)

    spans = tracer.spans()
    require_whole(services, spans)
    assert [s.attributes["rca.status"] for s in named(spans, f"invoke_agent {ERRORS}")] == ["cancelled"]


def test_what_the_sweeper_ends_has_its_span(orchestrated: Trace, tracer: CollectingTracer) -> None:
    services, (_, late, lost) = fan_out(orchestrated)
    set_agent(services, late.id, deadline_at=LONG_AGO)
    with services.database.transaction() as session:
        assert agents.claim(session, lost.id, pipeline.Step.TURN, turn_no=1, lease=timedelta(seconds=9))
    set_agent(services, lost.id, lease_until=LONG_AGO, losses=agents.LOSSES_TO_FAIL - 1)

    sweep(services)
    drain(services)

    spans = tracer.spans()
    require_whole(services, spans)
    errors = {s.name: s.attributes.get("error.type") for s in named(spans, "invoke_agent")}
    assert errors[f"invoke_agent {ERRORS}"] == "time_ran_out"
    assert errors[f"invoke_agent {RUNTIME}"] == "worker_lost"


def test_an_investigation_ended_by_its_incidents_end_has_its_span(single: Open, tracer: CollectingTracer) -> None:
    services = single([submits_report()], rca_on_resolve="cancel")
    pipeline.accept(services, incident(), via="test")

    pipeline.accept(services, incident(ended_at=STARTED_AT + timedelta(minutes=5), resolved=True), via="test")

    spans = tracer.spans()
    require_whole(services, spans)
    assert sorted(s.name for s in spans) == ["invoke_agent single", "invoke_workflow investigation"]


def test_one_that_never_started_is_a_root_over_the_time_it_waited(single: Open, tracer: CollectingTracer) -> None:
    services = single([submits_report()], rca_max_running=1)
    pipeline.accept(services, incident("first"), via="test")
    waiting = pipeline.accept(services, incident("second", service="other"), via="test")

    pipeline.cancel(services, waiting.investigation_id)

    (root,) = tracer.spans()
    assert root.context.trace_id == trace_id(waiting.investigation_id)
    assert root.end_time >= root.start_time


def test_one_whose_model_leads_nowhere_is_a_root_with_that_error(single: Open, tracer: CollectingTracer) -> None:
    services = single([])
    pipeline.accept(services, incident(model="nowhere/model"), via="test")

    (root,) = tracer.spans()

    require_whole(services, [root])
    assert root.attributes["error.type"] == "route"


def test_the_agent_of_an_admission_that_was_undone_has_its_span(single: Open, tracer: CollectingTracer) -> None:
    services = single([submits_report()], rca_day_tokens=100_000)
    pipeline.accept(services, incident("first"), via="test")
    drain(services)
    count_tokens(services, 94_000)
    pipeline.accept(services, incident("second", service="other"), via="test")
    drain(services)
    count_tokens(services, 0)
    pipeline.admit_waiting(services)
    drain(services)

    spans = tracer.spans()

    require_whole(services, spans)
    assert [s.attributes["rca.status"] for s in named(spans, "invoke_agent")] == ["done", "cancelled", "done"]


def test_an_end_by_the_command_line_reaches_the_receiver_before_the_command_returns(
    open_services: Open, database_url: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    services = open_services(ScriptedModel([]))
    investigation = pipeline.accept(services, incident(), via="test").investigation_id
    monkeypatch.setenv("DATABASE_URL", database_url)
    monkeypatch.setenv("RCA_HOME", str(tmp_path))

    with Receiver() as receiver:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", receiver.url.removesuffix("/hook"))
        result = CliRunner().invoke(main, ["investigations", "cancel", investigation])
        (post,) = receiver.posts

    assert result.exit_code == 0
    (resource,) = ExportTraceServiceRequest.FromString(post.body).resource_spans
    assert [s.name for s in resource.scope_spans[0].spans] == ["invoke_agent single", "invoke_workflow investigation"]
