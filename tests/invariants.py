"""What holds of the rows at every moment, whatever has happened to whoever wrote them."""

from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from worker.domain.states import (
    ASIDE,
    STEPS,
    AgentKind,
    AgentStatus,
    InvestigationStatus,
    Purpose,
    ToolCallStatus,
    step_of,
)
from worker.investigation.planning import MAX_SUB_AGENTS, MAX_WAVES
from worker.settings import Settings
from worker.storage import children, usage
from worker.storage.tables import (
    AgentRow,
    AlertRow,
    Base,
    DeliveryRow,
    FindingRow,
    IncidentRow,
    InvestigationRow,
    OutboxRow,
    ReportRow,
    SharedCallRow,
    ToolCallRow,
    TurnRow,
    UsageRow,
)


@dataclass(frozen=True)
class Rows:
    """Everything there is, read in one transaction."""

    incidents: list[IncidentRow]
    alerts: list[AlertRow]
    investigations: list[InvestigationRow]
    agents: list[AgentRow]
    outbox: list[OutboxRow]
    turns: list[TurnRow]
    calls: list[ToolCallRow]
    usage: list[UsageRow]
    reports: list[ReportRow]
    deliveries: list[DeliveryRow]
    findings: list[FindingRow]
    shared: list[SharedCallRow]
    counted: dict[str, tuple[int, float]]
    """What budgets take each investigation to have used."""

    @property
    def live(self) -> list[InvestigationRow]:
        return [row for row in self.investigations if not InvestigationStatus(row.status).is_final]

    @property
    def subs(self) -> list[AgentRow]:
        return [row for row in self.agents if row.kind == AgentKind.SUB]


def read_rows(session: Session) -> Rows:
    tables = (
        IncidentRow, AlertRow, InvestigationRow, AgentRow, OutboxRow, TurnRow, ToolCallRow, UsageRow, ReportRow,
        DeliveryRow, FindingRow, SharedCallRow,
    )  # fmt: skip
    found: list[Any] = [list(session.scalars(select(t).order_by(*t.__table__.primary_key))) for t in tables]
    return Rows(*found, counted={key: (tokens, usd) for key, tokens, usd in session.execute(_COUNTED)})


_COUNTED = select(UsageRow.investigation_id, *usage.counted_sums()).where(usage.counts())
_COUNTED = _COUNTED.group_by(UsageRow.investigation_id)


def check_agents(rows: Rows) -> None:
    """A step has one holder or one message that is owed, never both, never neither; who waits for others has none."""
    tokens = [row.claim_token for row in rows.agents if row.claim_token]
    assert len(tokens) == len(set(tokens)), "two agents are held with one token"
    owed = defaultdict(list)
    for message in rows.outbox:
        owed[message.agent_id].append((message.step, message.turn_no))
    for agent in rows.agents:
        _check_agent(agent, owed.pop(agent.id, []))
    assert not owed, "messages are owed to agents that are gone"


def _check_agent(agent: AgentRow, owed: list[tuple[str, int]]) -> None:
    status = AgentStatus(agent.status)
    step = step_of(status)
    is_claimed = agent.claim_token is not None
    assert is_claimed == (agent.lease_until is not None), f"{agent.id}: a token and a lease come and go together"
    if status.is_final:
        assert (is_claimed, agent.finished_at is None, owed) == (False, False, []), f"{agent.id} is not at rest"
        return
    if status is AgentStatus.WAITING_CHILDREN:
        assert (agent.kind, is_claimed, owed) == (AgentKind.LEAD, False, []), f"{agent.id} does not only wait"
        return
    assert step is not None
    assert status == (STEPS[step].running if is_claimed else STEPS[step].waiting), f"{agent.id} is {status}"
    expected = [] if is_claimed else [(step.value, agent.turn_no)]
    assert owed == expected, f"{agent.id} is {status}, held: {is_claimed}, owed: {owed}"


def check_investigations(rows: Rows, settings: Settings) -> None:
    """Of an incident one at a time is looked into; what runs has one live root agent; no limit is passed."""
    assert max(Counter(row.incident_id for row in rows.live).values(), default=0) <= 1, "an incident has two at once"
    roots = [row for row in rows.agents if row.parent_id is None]
    living = Counter(row.investigation_id for row in roots if not AgentStatus(row.status).is_final)
    for row in rows.investigations:
        expected = int(row.status == InvestigationStatus.RUNNING)
        assert living[row.id] == expected, f"{row.id} is {row.status} with {living[row.id]} live root agents"
        assert (row.finished_at is not None) == InvestigationStatus(row.status).is_final
    running = Counter(row.user_path for row in rows.investigations if row.status == InvestigationStatus.RUNNING)
    assert running.total() <= settings.rca_max_running
    if settings.rca_max_running_per_path:
        assert max(running.values(), default=0) <= settings.rca_max_running_per_path


def check_alerts(rows: Rows) -> None:
    """Every alert belongs to an incident and an investigation of it; none is counted twice or not at all.

    A message that only tells of an end has no number. An incident that nobody looks into is such an end and no more.
    """
    incident_of = {row.id: row.incident_id for row in rows.investigations}
    firing, numbers = Counter[str](), defaultdict(list)
    for alert in rows.alerts:
        if alert.alert_no is not None:
            assert incident_of.get(alert.investigation_id) == alert.incident_id, f"{alert.id} is nobody's"
            numbers[alert.incident_id].append(alert.alert_no)
            firing[alert.incident_id] += alert.resolved_at is None
    for incident in rows.incidents:
        if incident.id in incident_of.values():
            assert sorted(numbers[incident.id]) == list(range(1, incident.alert_count + 1))
        else:
            assert not numbers[incident.id], f"nobody looks into {incident.id}"
        assert (incident.status == "open") == bool(firing[incident.id]), f"{incident.id} is {incident.status}"


def check_reports(rows: Rows) -> None:
    """What is completed has one report, which tells of every sub-agent and is owed once to each destination."""
    completed = {row.id for row in rows.investigations if row.status == InvestigationStatus.COMPLETED}
    assert {row.investigation_id for row in rows.reports} == completed
    for report in rows.reports:
        sent = sorted(row.agent_no for row in rows.subs if row.investigation_id == report.investigation_id)
        told = report.body["sub_agents"]
        assert [one["agent_no"] for one in told] == sent, f"{report.investigation_id} does not tell of all sub-agents"
        assert all(one["summary"] or one["missing"] for one in told)
    assert sorted(row.investigation_id for row in rows.deliveries) == sorted(completed)


def check_sub_agents(rows: Rows) -> None:
    """Sub-agents are few and numbered; those at work have a lead that is, those that ended before it one finding."""
    numbers = Counter((row.investigation_id, row.agent_no) for row in rows.agents)
    assert max(numbers.values(), default=0) <= 1, f"a number was given twice: {numbers.most_common(1)}"
    leads, found = {row.id: row for row in rows.agents}, {row.agent_id for row in rows.findings}
    waves = Counter((row.parent_id, row.wave_no) for row in rows.subs)
    assert max(waves.values(), default=0) <= MAX_SUB_AGENTS
    for sub in rows.subs:
        lead = leads[str(sub.parent_id)]
        assert 1 <= (sub.wave_no or 0) <= (lead.wave_no or 0) <= MAX_WAVES, f"{sub.id} is of wave {sub.wave_no}"
        if sub.finished_at is None:
            assert sub.id not in found, f"{sub.id} has a finding and is {sub.status}"
            assert lead.finished_at is None or sub.cancel_requested_at, f"{sub.id} works on for a {lead.status} lead"
        elif sub.id not in found:
            ends = [at for at in (lead.finished_at, lead.cancel_requested_at) if at]
            assert ends, f"{sub.id} is {sub.status} without a finding"
            assert sub.finished_at >= min(ends), f"{sub.id} was {sub.status} without a finding"
    assert found <= {row.id for row in rows.subs}


def check_shared(rows: Rows) -> None:
    """What stands for other calls is a call, of the same investigation."""
    owners = {row.id: row.investigation_id for row in rows.agents}
    calls = {(owners[row.agent_id], row.agent_id, row.turn_no, row.seq) for row in rows.calls}
    assert {(row.investigation_id, row.agent_id, row.turn_no, row.seq) for row in rows.shared} <= calls


def find_waiting(session: Session) -> set[str]:
    """Return the leads that wait for their sub-agents."""
    return set(session.scalars(select(AgentRow.id).where(AgentRow.status == AgentStatus.WAITING_CHILDREN)))


def check_swept(session: Session, waited: set[str], *, since: datetime) -> None:
    """Of the leads that waited before a sweep only those wait on that have an awaited sub-agent at work.

    `since` is a time before the sweep.
    """
    row = AgentRow
    awaited = select(row.parent_id).where(row.finished_at.is_(None), row.deadline_at > since - children.LATE)
    in_vain = (waited & find_waiting(session)) - set(session.scalars(awaited))
    assert not in_vain, f"{in_vain} wait for nobody"


def check_turns(rows: Rows) -> None:
    """The turns of an agent are 1, 2, 3 …, its tool calls belong to them, and it stands at the last or the next."""
    turns = defaultdict(list)
    for turn in rows.turns:
        turns[turn.agent_id].append(turn.turn_no)
    for agent in rows.agents:
        taken = turns[agent.id]
        assert taken == list(range(1, len(taken) + 1)), f"{agent.id} took the turns {taken}"
        assert agent.turn_no in {len(taken), len(taken) + 1}, f"{agent.id} is at {agent.turn_no} after {len(taken)}"
    assert all(call.turn_no in turns[call.agent_id] for call in rows.calls)


def check_usage(rows: Rows) -> None:
    """A finished call is paid once, and a reservation counts only while its step is held."""
    held = {(row.id, row.claim_token) for row in rows.agents}
    paid = Counter((r.agent_id, r.turn_no, r.purpose) for r in rows.usage if r.outcome == usage.OK)
    assert max(paid.values(), default=0) <= 1, f"paid more than once: {paid.most_common(1)}"
    taken = {(row.agent_id, row.turn_no, row.purpose) for row in rows.turns}
    assert {key for key in paid if Purpose(key[2]) not in ASIDE} <= taken, "what was paid for is not stored"
    sums: defaultdict[str, list[float]] = defaultdict(lambda: [0, 0.0])
    for row in rows.usage:
        if row.outcome == usage.RESERVED and (row.agent_id, row.claim_token) not in held:
            continue
        sums[row.investigation_id][0] += row.counted_tokens or 0
        sums[row.investigation_id][1] += row.counted_cost_usd or 0.0
    for investigation_id in {*sums, *rows.counted}:
        (tokens, cost_usd), expected = rows.counted.get(investigation_id, (0, 0.0)), sums[investigation_id]
        assert tokens == expected[0], f"{investigation_id} counts {tokens} tokens, not {expected[0]:g}"
        assert abs(cost_usd - expected[1]) < 1e-9


@dataclass
class Written:
    """What was final when it was last looked at: it must stay as it was."""

    _known: dict[tuple[Any, ...], str] = field(default_factory=dict)

    def check(self, rows: Rows) -> None:
        final = [row for row in rows.investigations if InvestigationStatus(row.status).is_final]
        calls = [row for row in rows.calls if ToolCallStatus(row.status).is_final]
        paid = [row for row in rows.usage if row.outcome != usage.RESERVED]
        now = dict(_contents((*final, *calls, *rows.turns, *rows.reports, *paid, *rows.findings)))
        now |= dict(_gone_on_with(rows))
        for key, content in self._known.items():
            assert now.get(key) == content, f"{key} was {content}, is {now.get(key)}"
        self._known = now


_SHIFTED = {
    "investigations": {"created_at", "admitted_at", "deadline_at"},
    "tool_calls": {"finished_at"},
    "llm_usage": {"created_at"},
}
"""Times that a test moves to let time pass."""


def _gone_on_with(rows: Rows) -> Iterable[tuple[tuple[Any, ...], str]]:
    """Yield the findings that each lead has gone on with after each of its waves."""
    in_time = {row.agent_id for row in rows.findings if not row.is_late}
    for lead in rows.agents:
        is_waiting = lead.status == AgentStatus.WAITING_CHILDREN
        for wave_no in range(1, (lead.wave_no or 0) + (not is_waiting)):
            wave = [row.id for row in rows.subs if (row.parent_id, row.wave_no) == (lead.id, wave_no)]
            yield ("gone on", lead.id, wave_no), str(sorted(in_time & set(wave)))


def _contents(rows: Iterable[Base]) -> Iterable[tuple[tuple[Any, ...], str]]:
    for row in rows:
        table = row.__table__
        key = (table.name, *(getattr(row, c.name) for c in table.primary_key))  # type: ignore[attr-defined]  # a Table
        shifted = _SHIFTED.get(table.name, set())  # type: ignore[attr-defined]  # a Table
        yield key, repr({c.name: getattr(row, c.name) for c in table.columns if c.name not in shifted})


def check_all(rows: Rows, settings: Settings) -> None:
    check_agents(rows)
    check_investigations(rows, settings)
    check_alerts(rows)
    check_reports(rows)
    check_sub_agents(rows)
    check_shared(rows)
    check_turns(rows)
    check_usage(rows)
