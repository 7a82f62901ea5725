"""Reports that the tests of this folder render: a whole one, and one whose every text is hostile."""

import math
from datetime import UTC, datetime, timedelta
from typing import Any

from worker.domain.incident import TimeWindow
from worker.domain.report import (
    Category,
    Check,
    CheckFailure,
    Citation,
    Confidence,
    Denial,
    Evidence,
    Factor,
    Gap,
    Refutation,
    Report,
    RootCause,
    RuledOut,
    Series,
    SubAgent,
    Suggestion,
    TimelineEntry,
    UsageLine,
    Verification,
)
from worker.domain.states import ReportVerdict

BEGAN = datetime(2026, 3, 4, 2, 41, tzinfo=UTC)
WINDOW = TimeWindow(start=BEGAN - timedelta(hours=1), end=BEGAN + timedelta(minutes=30))


def series(name: str, *, rise: float, unit: str = "ms", points: int = 90) -> Series:
    """A line that waves, then rises when the incident begins."""
    minutes = range(points)
    values = [40 + 6 * math.sin(m / 5) + (rise if m >= 60 else 0) for m in minutes]
    times = [(WINDOW.start + timedelta(minutes=m)).isoformat() for m in minutes]
    return Series(name=name, unit=unit, points=tuple(zip(times, values, strict=True)))


def whole_report(**changes: Any) -> Report:
    fields: dict[str, Any] = {
        "verdict": ReportVerdict.CONFIRMED,
        "confidence": Confidence.HIGH,
        "summary": (
            "Order lookups slowed down from 02:41 UTC because the pool of database connections in the orders service"
            " was cut from 40 to 4 by a configuration change three minutes before. Requests queued for a connection"
            " and timed out in the gateway."
        ),
        "root_causes": (
            RootCause(
                entity="orders",
                category=Category.RESOURCE_POOL,
                category_detail="database connections",
                statement="The pool of database connections was cut from 40 to 4 and was exhausted within a minute.",
                causal_chain=(
                    "Configuration change 9f3c2ab sets pool.max to 4.",
                    "All 4 connections of orders are busy; requests wait for one.",
                    "The gateway gives up after 2 s and answers 504.",
                ),
                change_id="9f3c2ab",
                evidence=(
                    Citation(evidence_id="e1.1", quote="pool.max: 40 -> 4"),
                    Citation(evidence_id="e2.1", quote="p99 rose from 45 to 945 ms"),
                    Citation(evidence_id="e2.2"),
                ),
            ),
        ),
        "contributing_factors": (
            Factor(
                statement="No alert watches how long requests wait for a connection.",
                evidence=(Citation(evidence_id="e2.2"),),
            ),
        ),
        "timeline": (
            TimelineEntry(at=BEGAN - timedelta(minutes=3), text="Change 9f3c2ab is rolled out.", evidence_id="e1.1"),
            TimelineEntry(at=BEGAN, text="p99 of orders leaves its usual range.", evidence_id="e2.1"),
            TimelineEntry(at=BEGAN + timedelta(minutes=2), text="The gateway's alert fires."),
        ),
        "impact": "About 3 % of all requests at the gateway failed for half an hour.",
        "ruled_out": (
            RuledOut(
                hypothesis="The database itself is slow.",
                reason="Its own query times did not change.",
                evidence=(Citation(evidence_id="e2.2"),),
            ),
        ),
        "gaps": (
            Gap(wanted="Traces of the slow requests", reason="failed: the trace store did not answer in 10 s"),
            Gap(wanted="Who approved the change", reason="the change log holds no reviews"),
        ),
        "suggestions": (
            Suggestion(
                action="Set pool.max back to 40.",
                command="kubectl -n shop rollout undo deployment/orders",
                risk="low",
                undo="kubectl -n shop rollout undo deployment/orders --to-revision=18",
            ),
        ),
        "investigation_id": "inv_0193ab",
        "incident_id": "inc_0193aa",
        "title": "Gateway answers 504 for order lookups",
        "service": "gateway",
        "severity": "critical",
        "started_at": BEGAN,
        "created_at": BEGAN + timedelta(minutes=9),
        "evidence": (
            Evidence(
                id="e1.1",
                tool="list_changes",
                arguments={"entity": "orders", "limit": 20},
                status="succeeded",
                window=TimeWindow(start=BEGAN - timedelta(days=1), end=BEGAN),
                entities=("orders",),
                excerpt="02:38 orders config 9f3c2ab\n  pool.max: 40 -> 4",
            ),
            Evidence(
                id="e2.1",
                tool="query_metrics",
                arguments={"query": "latency_p99", "entities": ["orders", "billing"]},
                status="succeeded",
                window=WINDOW,
                entities=("orders", "billing"),
                excerpt='{"summary": "p99 rose from 45 to 945 ms", "row_count": 180}',
                artifact_id="art_77",
                series=(series("orders", rise=900), series("billing", rise=0)),
            ),
            Evidence(
                id="e2.2",
                tool="search_logs",
                arguments={"text": "connection"},
                status="succeeded",
                window=WINDOW,
                entities=("orders",),
                excerpt="02:41:09 orders WARN waiting for a connection, 4 of 4 busy",
            ),
            Evidence(
                id="e2.3",
                tool="find_traces",
                arguments={"entity": "orders"},
                status="failed",
                excerpt="the trace store did not answer in 10 s",
            ),
        ),
        "denied": (
            Denial(
                tool="run_command",
                command="kubectl delete pod orders-0",
                layer="signatures of harm",
                reason="deletes a workload",
            ),
        ),
        "notes": ("Triage chose a single agent.",),
        "usage": (
            UsageLine(
                purpose="rca",
                model="anthropic/claude-sonnet-4-5",
                calls=6,
                input_tokens=48210,
                cached_input_tokens=39120,
                output_tokens=3120,
                cost_usd=0.0931,
            ),
            UsageLine(
                purpose="judge",
                model="local/qwen3",
                calls=1,
                input_tokens=None,
                cached_input_tokens=None,
                output_tokens=None,
                cost_usd=None,
            ),
        ),
        "models": {"rca": "anthropic/claude-sonnet-4-5", "judge": "local/qwen3"},
        "prompt_versions": {"single.md.j2": "3"},
        "config_generation": 4,
        "turns": 6,
        "duration_s": 184.2,
    }
    return Report(**(fields | changes))


def lowered_report() -> Report:
    return whole_report(
        verdict=ReportVerdict.LIKELY,
        confidence=Confidence.MEDIUM,
        submitted_verdict=ReportVerdict.CONFIRMED,
        check_failures=(
            CheckFailure(claim="Root cause 1 (orders)", problem="cites e9.9, which is no result of this investigation"),
        ),
    )


def verified_report() -> Report:
    """A report whose first claimed cause was refuted, whose second stands, and whose third was not answered for."""
    orders = whole_report().root_causes[0]
    return whole_report(
        verdict=ReportVerdict.LIKELY,
        confidence=Confidence.MEDIUM,
        submitted_verdict=ReportVerdict.CONFIRMED,
        root_causes=(orders, orders.model_copy(update={"entity": "billing"})),
        check_failures=(
            CheckFailure(claim="Root cause 1 (gateway)", problem="refuted in the verify pass: orders rose earlier"),
        ),
        verification=Verification(
            model="anthropic/claude-sonnet-4-5",
            checks=(
                Check(
                    cause=1,
                    entity="gateway",
                    outcome=Refutation.REFUTED,
                    reason="orders rose three minutes earlier.",
                    evidence=(Citation(evidence_id="e2.1"),),
                ),
                Check(cause=2, entity="orders", outcome=Refutation.HOLDS, reason="Nothing speaks against it."),
            ),
        ),
    )


def orchestrated_report() -> Report:
    """A report to which one sub-agent contributed, and a cancelled one did not."""
    found = SubAgent(
        agent_no=1,
        role="error_signal_investigator",
        model="local/qwen3",
        wave_no=1,
        status="done",
        turns=3,
        purpose="Which patterns in the logs are new?",
        strength="strong",
        summary="Waits for a connection began at 02:41.",
    )
    cancelled = found.model_copy(
        update={
            "agent_no": 2,
            "role": "recent_change_investigator",
            "status": "cancelled",
            "turns": 1,
            "purpose": "What was rolled out?",
            "strength": "inconclusive",
            "summary": "No finding was handed in, because it was cancelled. Results gathered until then: 0.",
            "missing": "it was cancelled",
        }
    )
    models = {"lead": "anthropic/claude-sonnet-4-5", found.role: "local/qwen3", cancelled.role: "local/qwen3"}
    return whole_report(sub_agents=(found, cancelled), models=models)


def unverified_report(problem: str, *, model: str = "local/qwen3") -> Report:
    return whole_report(verification=Verification(model=model, problem=problem))


def hostile_report(text: str) -> Report:
    """A report in which the same text stands wherever a model, a tool or an alert may write."""
    cited = (Citation(evidence_id="e1.1", quote=text[:1000]), Citation(evidence_id=text))
    return whole_report(
        title=text,
        service=text,
        severity=text,
        summary=text,
        impact=text,
        partial=text,
        root_causes=(
            RootCause(
                entity=text[:300],
                category=Category.OTHER,
                category_detail=text[:300],
                statement=text,
                causal_chain=(text, text),
                change_id=text,
                evidence=cited,
            ),
        ),
        contributing_factors=(Factor(statement=text, evidence=cited),),
        timeline=(TimelineEntry(at=BEGAN, text=text, evidence_id=text),),
        ruled_out=(RuledOut(hypothesis=text, reason=text, evidence=cited),),
        gaps=(Gap(wanted=text, reason=text),),
        suggestions=(Suggestion(action=text, command=text[:2000], undo=text[:2000]),),
        check_failures=(CheckFailure(claim=text, problem=text),),
        verification=Verification(
            model=text,
            checks=(Check(cause=1, entity=text, outcome=Refutation.WEAKENED, reason=text, evidence=cited),),
            problem=text,
        ),
        evidence=(
            Evidence(
                id="e1.1",
                tool=text,
                arguments={text: text, "nested": [text, {text: 1}]},
                status=text,
                window=WINDOW,
                excerpt=text,
                artifact_id=text,
                series=(series(text, rise=10, unit=text),),
            ),
        ),
        denied=(Denial(tool=text, command=text, layer=text, reason=text),),
        sub_agents=tuple(
            SubAgent(
                agent_no=1,
                role=text,
                model=text,
                wave_no=1,
                status=text,
                turns=1,
                purpose=text,
                strength=text,
                summary=text,
                missing=missing,
            )
            for missing in (None, text)
        ),
        notes=(text,),
        usage=(
            UsageLine(
                purpose=text,
                model=text,
                calls=1,
                input_tokens=1,
                cached_input_tokens=1,
                output_tokens=1,
                cost_usd=None,
            ),
        ),
        models={text: text},
        prompt_versions={text: text},
        investigation_id=text,
        incident_id=text,
    )
