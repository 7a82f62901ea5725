"""Runs one allowed tool call and stores its result, redacted and no longer than a model should read."""

import time
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime

from sqlalchemy.orm import Session

from worker import spans
from worker.domain.states import AgentKind, ToolCallStatus
from worker.domain.tooling import Tool, ToolContext, ToolOutput
from worker.domain.transcript import Claim, ToolCall, Transcript
from worker.errors import NotFoundError, StorageUnavailableError, ToolError, ToolInputError
from worker.investigation.emptiness import is_empty
from worker.ops import metrics
from worker.reporting.inert import show_all
from worker.services import Services
from worker.steps import PATIENCE_S
from worker.storage import agents, artifacts, evidence, investigations, sharing, transcripts
from worker.tools.command import RunCommand
from worker.tools.database import query_sql
from worker.tools.output import shorten
from worker.tools.sandbox import find_cage
from worker.tools.toolbox import Toolbox, build_toolbox
from worker.tools.window import incident_window

INLINE_CHARS = 2000
"""A longer output is kept as an artifact too, so that the transcript may let go of it."""
CANCEL_POLL_S = 1.0
SHARED_POLL_S, SHARED_POLL_MOST_S = 0.02, 0.5
"""Most calls take milliseconds; one that takes seconds is not asked after fifty times each."""


def toolbox_for(services: Services, transcript: Transcript) -> Toolbox:
    """Return the tools this incident offers. Raises `MissingInputError` if it names data that is not there."""
    settings = services.settings
    policy = services.policy.for_path(transcript.event.user_path)
    extra: list[Tool] = [query_sql(settings.rca_sql_url)] if settings.rca_sql_url else []
    if settings.rca_commands:
        cage = find_cage(settings.rca_sandbox)
        extra.append(RunCommand(policy, kubeconfig=settings.rca_kubeconfig, cage=cage))
    return build_toolbox(transcript.event, settings=settings, extra=extra)


def run_call(services: Services, claim: Claim, *, toolbox: Toolbox, transcript: Transcript, call: ToolCall) -> None:
    """Run the call and commit what came of it, success or failure; what another agent has asked runs only once.

    Raises `StepCancelledError` or `LeaseLostError` before it starts.
    """
    context = _context(services, claim, transcript)
    if claim.agent.kind is AgentKind.SUB and _take_over_result(services, claim, call, context):
        return
    with services.database.transaction() as session:
        agents.require_wanted(session, claim)
    started = time.monotonic()
    services.heartbeat.confirm(claim.token)
    try:
        output = toolbox.run(call.tool, call.arguments or {}, context)
        done = replace(call, status=ToolCallStatus.SUCCEEDED)
    except ToolError as error:
        output = ToolOutput(text=str(error))
        done = replace(call, status=ToolCallStatus.FAILED, reason=error.reason)
    elapsed_s = time.monotonic() - started
    metrics.TOOL_CALLS.labels(tool=call.tool, status=done.status).inc()
    metrics.TOOL_CALL_SECONDS.labels(tool=call.tool).observe(elapsed_s)
    services.tracer.emit(spans.of_tool_call(claim, done, since=started))
    _store(services, claim, replace(done, duration_ms=round(elapsed_s * 1000)), output)


def _take_over_result(services: Services, claim: Claim, call: ToolCall, context: ToolContext) -> bool:
    """Wait while another agent of the investigation runs the same call, and take its result; False: it is ours to run.

    Once the call's own time is up it runs all the same: better twice than not at all.
    """
    started = time.monotonic()
    wait_s = SHARED_POLL_S
    while time.monotonic() < context.deadline:
        with services.database.transaction() as session:
            agents.require_wanted(session, claim)
            standing = sharing.take(session, claim, call)
            shared = _shared(call, standing.result) if standing.result is not None else None
            if shared is not None:
                transcripts.put_call(session, claim, shared)
        if shared is not None:
            services.tracer.emit(spans.of_tool_call(claim, shared, since=started))
            metrics.SHARED_CALLS.labels(tool=call.tool).inc()
        if standing.turn is not sharing.Turn.THEIRS:
            return shared is not None
        time.sleep(wait_s)
        wait_s = min(wait_s * 2, SHARED_POLL_MOST_S)
    return False


def _shared(call: ToolCall, result: ToolCall) -> ToolCall:
    """Give the call the result of the other, under whose id it is cited."""
    repeats = result.repeats or result.evidence_id
    named = replace(result, seq=call.seq, evidence_id=call.evidence_id, request_id=call.request_id)
    return replace(named, repeats=repeats, duration_ms=0)


def _store(services: Services, claim: Claim, call: ToolCall, output: ToolOutput) -> None:
    whole = services.redactor.scrub(show_all(output.text))
    series = tuple(output.series)
    row_count = 0 if is_empty(whole) else output.row_count
    shown = replace(call, window=output.window, entities=output.entities, series=series, row_count=row_count)
    limit = services.settings.rca_tool_output_chars

    def work(session: Session) -> None:
        agents.hold(session, claim)
        artifact_id = None
        if len(whole) > INLINE_CHARS:
            owner = claim.agent.investigation_id
            artifact_id = artifacts.add(session, owner, evidence_id=call.evidence_id, text=whole)
        text = shorten(whole, limit, artifact_id=artifact_id) or whole
        transcripts.put_call(session, claim, replace(shown, text=text, artifact_id=artifact_id))

    services.database.insist(work, for_s=PATIENCE_S)


def _context(services: Services, claim: Claim, transcript: Transcript) -> ToolContext:
    left_s = (claim.agent.deadline_at - datetime.now(UTC)).total_seconds()
    brief = claim.agent.brief
    own = brief.assignment.window if brief else None
    return ToolContext(
        window=own or incident_window(transcript.event, services.settings),
        deadline=time.monotonic() + min(services.settings.rca_tool_timeout_s, max(left_s, 0)),
        is_cancelled=_CancelFlag(services, claim),
        read_artifact=lambda artifact_id: _read_artifact(services, claim, artifact_id),
    )


def _read_artifact(services: Services, claim: Claim, artifact_id: str) -> str:
    try:
        with services.database.transaction() as session:
            own = investigations.lineage(session, claim.agent.investigation_id)
            return evidence.read(session, own, artifact_id)
    except NotFoundError as error:
        raise ToolInputError(str(error)) from error


class _CancelFlag:
    """Asks the database at most once a second whether the step should stop."""

    def __init__(self, services: Services, claim: Claim) -> None:
        self._services = services
        self._claim = claim
        self._asked_at = time.monotonic()
        self._is_cancelled = False

    def __call__(self) -> bool:
        now = time.monotonic()
        if not self._is_cancelled and now - self._asked_at >= CANCEL_POLL_S:
            self._asked_at = now
            with (
                suppress(StorageUnavailableError),  # no reason to end a call that works: it is asked again in a moment
                self._services.database.transaction() as session,
            ):
                self._is_cancelled = agents.is_cancelled(session, self._claim)
        return self._is_cancelled
