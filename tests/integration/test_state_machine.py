"""Whatever befalls workers, queue, provider and budgets in whatever order: nothing is lost, done twice, or stuck."""

from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import partial
from math import ceil
from pathlib import Path
from typing import Any

import pytest
from fakeredis import FakeRedis
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test
from sqlalchemy import delete, text
from sqlalchemy.event import listen
from structlog.testing import capture_logs
from structlog.typing import EventDict

from tests.builders import build_services, close_services, incident, queue_of
from tests.invariants import Rows, Written, check_all, check_swept, find_waiting, read_rows
from tests.orchestra import CASE, ENABLED, write_two_sources
from tests.watched import SHORT, SHORTER, Play, WatchedModel, play_alone, play_together
from tests.workers import NEVER, Process
from worker import delivering, pipeline
from worker.domain.incident import IncidentEvent
from worker.domain.states import AgentStatus, DeliveryStatus
from worker.errors import DeliveryPostponedError, UserError
from worker.intake.events import Offer
from worker.reporting.destinations.port import Parcel
from worker.services import Services
from worker.storage import children, usage
from worker.storage.database import database_now
from worker.storage.tables import AgentRow, Base
from worker.sweeper import Sweeper

Intervention = Callable[[Services, str], str | None]
SETTINGS: dict[str, Any] = {
    "llm_openai_compatible_base_url": "http://127.0.0.1:9/v1",
    "llm_openai_compatible_model": "house-model",
    "rca_max_running": 3,
    "rca_max_running_per_path": 2,
    "rca_max_seconds": 36_000,
}
PATIENT = {"rca_max_tokens": 1_000_000, "rca_day_tokens": None, "rca_max_turns": 30}
"""Budgets that nothing here reaches."""
ROUNDS_TO_REST, ROUND_S = 40, 301
LEASE_S = 5
"""A little more than a lease."""
AGED = {
    "agents": ("created_at", "lease_until", "not_before", "deadline_at", "outage_since"),
    "tool_calls": ("finished_at",),
    "outbox": ("publish_at",),
    "leases": ("until",),
    "incidents": ("last_seen_at",),
    "investigations": ("created_at", "admitted_at", "deadline_at"),
    "llm_usage": ("created_at",),
    "deliveries": ("created_at", "next_attempt_at", "lease_until"),
}


@dataclass(frozen=True)
class Cast:
    """Who plays, under which settings, and what the alerts are labelled with."""

    play: Play
    settings: dict[str, Any] = field(default_factory=dict)
    labels: dict[str, str] = field(default_factory=dict)


class MoodyDestination:
    """Takes reports while it is well."""

    def __init__(self) -> None:
        self.is_well = True

    def send(self, parcel: Parcel, *, timeout_s: float) -> None:
        if not self.is_well:
            raise DeliveryPostponedError("it is away")


class House:
    """An installation of two worker processes on one database; nothing in it happens by itself."""

    def __init__(self, url: str, cast: Cast, logs: list[EventDict]) -> None:
        self.model, self.destination, self.redis = WatchedModel(cast.play), MoodyDestination(), FakeRedis()
        self.labels, self.logs = cast.labels, logs
        self._built = [build_services(url, self.model, **SETTINGS, **cast.settings) for _ in range(2)]
        self.model.services = self._built[0]
        if url.startswith("sqlite"):
            for services in self._built:
                for database in (services.database, services.heartbeat._database):
                    listen(database.engine, "connect", _be_quick)
        self.settle(**PATIENT)

    def settle(self, **fields: Any) -> None:
        """Put an operator's new settings into force, as a restart of both processes would."""
        queue = queue_of(self._built[0])
        shared = {"send": queue, "destinations": {"house": self.destination}}
        changed = [replace(s, settings=s.settings.model_copy(update=fields), **shared) for s in self._built]
        self.services = changed
        self.queue = queue

    def empty(self) -> None:
        with self.services[0].database.transaction() as session:
            for table in reversed(Base.metadata.sorted_tables):
                session.execute(delete(table))
        self.redis.flushall()
        self.queue.take()
        self.queue.deliveries.clear()
        self.model.mood, self.destination.is_well = "well", True
        self.model.faults.clear()
        self.logs.clear()

    def find_crashes(self) -> list[str]:
        """Return the defects that steps came upon, but for the one that is played."""
        errors = [entry["error"] for entry in self.logs if entry["event"] == "step_crashed"]
        return [error for error in errors if error != "ZeroDivisionError"]

    def let_time_pass(self, seconds: int) -> None:
        """Make every row so much older."""
        with self.services[0].database.transaction() as session:
            is_postgres = session.get_bind().dialect.name == "postgresql"
            aged = "{0} = {0} - interval '{1} seconds'"
            if not is_postgres:
                aged = "{0} = strftime('%Y-%m-%d %H:%M:%f', {0}, '-{1} seconds') || '000'"
            for table, columns in AGED.items():
                values = ", ".join(aged.format(column, seconds) for column in columns)
                session.execute(text(f"UPDATE {table} SET {values}"))  # noqa: S608 - names of ours

    def close(self) -> None:
        for services in self._built:
            close_services(services)


def _be_quick(connection: Any, _record: Any) -> None:
    connection.execute("PRAGMA synchronous=OFF")  # no power cut is played here


EVENTS = st.builds(
    incident,
    title=st.sampled_from(["checkout is slow", SHORT, SHORTER]),
    service=st.sampled_from([None, "checkout", "payment"]),
    severity=st.sampled_from(["critical", "medium", "info"]),
    user_path=st.sampled_from(["/a", "/b", "/a/x"]),
    resolved=st.sampled_from([False, False, False, True]),
    idempotency_key=st.sampled_from([None, "k1", "k2", "k3"]),
)
WHICH = st.integers(0, 7)
"""One of several; there may be fewer."""
STOPS = st.sampled_from([2, 3, 3, 4, 4, 5])
"""The transaction before which a step stands still: the fourth of a turn and the third of a report are its commit."""
AGENT_NO = st.integers(1, 4)


class Disorder(RuleBasedStateMachine):
    """Anything may happen at any time; the rows never say so."""

    def __init__(self, house: House) -> None:
        super().__init__()
        house.empty()
        self.house = house
        self.written = Written()
        self.taken: dict[tuple[str, str], str] = {}
        self.investigations: list[str] = []
        self._restart()

    def _restart(self) -> None:
        self.processes = [Process(services) for services in self.house.services]

    def _process(self, which: int) -> Process:
        return self.processes[which % 2]

    def _note(self, investigation_id: str) -> None:
        if investigation_id not in self.investigations:
            self.investigations.append(investigation_id)

    @initialize(events=st.lists(EVENTS, min_size=2, max_size=4), messages=st.lists(WHICH, max_size=6))
    def it_begins(self, events: list[IncidentEvent], messages: list[int]) -> None:
        self.alerts_arrive(0, events)
        self.messages_are_delivered(0, messages)

    @rule(which=WHICH, events=st.lists(EVENTS, min_size=1, max_size=3))
    def alerts_arrive(self, which: int, events: list[IncidentEvent]) -> None:
        labelled = [event.model_copy(update={"labels": self.house.labels}) for event in events]
        offers = [Offer(event, "test") for event in labelled]
        accepted = pipeline.accept_many(self._process(which).services, offers)
        for event, one in zip(events, accepted, strict=True):
            if one.investigation_id:  # an end of which nobody knew the beginning has none
                self._note(one.investigation_id)
            if event.idempotency_key is not None:
                key = event.user_path, event.idempotency_key
                assert self.taken.setdefault(key, one.investigation_id) == one.investigation_id

    @rule(which=WHICH, messages=st.lists(WHICH, min_size=1, max_size=4))
    def messages_are_delivered(self, which: int, messages: list[int]) -> None:
        for message in messages:
            self._deliver(which, message)

    @rule(which=WHICH, messages=st.lists(WHICH, min_size=1, max_size=3))
    def messages_are_delivered_twice(self, which: int, messages: list[int]) -> None:
        for message in messages:
            self._deliver(which, message, is_kept=True)

    @rule(which=WHICH, message=WHICH, stops_before=STOPS)
    def a_step_stands_still(self, which: int, message: int, stops_before: int) -> None:
        self._deliver(which, message, stops_before=stops_before)

    def _deliver(self, which: int, message: int, *, is_kept: bool = False, stops_before: int = NEVER) -> str | None:
        """Deliver one of the messages; return whose step it is, if there was any."""
        sent = self.house.queue.sent
        if not sent:
            return None
        found = sent[message % len(sent)] if is_kept else sent.pop(message % len(sent))
        self._process(which).begin(found, stops_before=stops_before)
        return found.agent_id

    @rule(which=WHICH, message=WHICH, stops_before=STOPS, messages=st.lists(WHICH, max_size=2))
    def a_step_is_taken_over(self, which: int, message: int, stops_before: int, messages: list[int]) -> None:
        """Its process freezes for longer than a lease, the other one sweeps and works, and then it wakes."""
        process = self._process(which)
        self._deliver(which, message, stops_before=stops_before)
        was_frozen, process.is_frozen = process.is_frozen, True
        self.time_passes(LEASE_S, which + 1)
        process.is_frozen = was_frozen
        self.messages_are_delivered(which + 1, messages)
        process.go_on(-1)

    @rule(which=WHICH, message=WHICH, stops_before=STOPS, is_retried=st.booleans())
    def a_step_is_cancelled(self, which: int, message: int, stops_before: int, *, is_retried: bool) -> None:
        """A cancel comes while it is under way, and perhaps another attempt is wanted then."""
        agent = self._find_agent(self._deliver(which, message, stops_before=stops_before))
        if agent is None:
            return
        self._intervene(pipeline.cancel, agent.investigation_id)
        self._process(which).go_on(-1)
        if is_retried:
            self._intervene(pipeline.retry, agent.investigation_id)

    def _find_agent(self, agent_id: str | None) -> AgentRow | None:
        """Return the agent as it stands; None for no agent, and for one whose investigation was queued again."""
        with self.house.services[0].database.transaction() as session:
            return session.get(AgentRow, agent_id) if agent_id else None

    @rule(which=WHICH, message=WHICH, stops_before=STOPS)
    def a_worker_is_lost(self, which: int, message: int, stops_before: int) -> None:
        """It dies in the middle of a step, and somebody notices."""
        self._deliver(which, message, stops_before=stops_before)
        self._process(which).kill()
        self.time_passes(LEASE_S, which)

    @rule(which=WHICH, fate=st.sampled_from(["a step goes on", "it dies", "it is deployed", "it freezes", "it wakes"]))
    def something_befalls_a_process(self, which: int, fate: str) -> None:
        process = self._process(which)
        if fate == "a step goes on":
            process.go_on(0)
        elif fate == "it dies":
            process.kill()
        elif fate == "it is deployed":
            process.leave()
        else:
            process.is_frozen = fate == "it freezes"

    @rule(message=WHICH, is_all=st.booleans())
    def the_queue_forgets(self, message: int, *, is_all: bool) -> None:
        """One message is lost, or Redis loses its memory."""
        queue = self.house.queue
        if not is_all and queue.sent:
            queue.sent.pop(message % len(queue.sent))
        if is_all:
            self.house.redis.flushall()
            queue.take()
            queue.deliveries.clear()

    @rule(seconds=st.sampled_from([40, 70, 1000, 40_000]), which=WHICH)
    def much_time_passes(self, seconds: int, which: int) -> None:
        self.time_passes(seconds, which)

    @rule(seconds=st.sampled_from([1, LEASE_S, 12]), which=WHICH)
    def time_passes(self, seconds: int, which: int) -> None:
        """Some time on, a sweeper makes its round."""
        self.house.let_time_pass(seconds)
        for process in self.processes:
            process.let_time_pass(seconds)
        self.a_sweeper_makes_its_round(which)

    @rule(which=WHICH)
    def a_sweeper_makes_its_round(self, which: int) -> None:
        sweeper = Sweeper(self._process(which).services, self.house.redis)
        sweeper._holder = f"process {which % 2}"
        with self.house.services[0].database.transaction() as session:
            waited, since = find_waiting(session), database_now(session)
        if sweeper.sweep():
            with self.house.services[0].database.transaction() as session:
                check_swept(session, waited, since=since)

    @rule(mood=st.sampled_from(["well", "well", "away", "defective", "refusing"]))
    def the_provider_changes(self, mood: str) -> None:
        self.house.model.mood = mood

    @rule(
        rca_max_tokens=st.sampled_from([1_000_000, 12_000, 0]),
        rca_day_tokens=st.sampled_from([None, None, 30_000, 0]),
        rca_max_turns=st.sampled_from([30, 2, 0]),
        rca_on_resolve=st.sampled_from(["continue", "finish", "cancel"]),
    )
    def settings_change(self, **fields: Any) -> None:
        """Nothing is under way then: settings are read at a start."""
        for process in self.processes:
            process.leave()
        self.house.settle(**fields)
        self._restart()

    @rule(which=WHICH, what=st.sampled_from([pipeline.cancel, pipeline.retry, pipeline.rerun]))
    def somebody_intervenes(self, which: int, what: Intervention) -> None:
        if self.investigations:
            self._intervene(what, self.investigations[which % len(self.investigations)])

    def _intervene(self, what: Intervention, investigation_id: str) -> None:
        with suppress(UserError):
            self._note(what(self.house.services[0], investigation_id) or investigation_id)

    @rule(which=WHICH, delivery=WHICH, is_well=st.booleans())
    def a_report_is_sent(self, which: int, delivery: int, *, is_well: bool) -> None:
        self.house.destination.is_well = is_well
        owed = self.house.queue.deliveries
        if owed:
            delivering.deliver(self._process(which).services, owed.pop(delivery % len(owed)))

    @invariant()
    def the_rows_are_in_order(self) -> None:
        for services in self.house.services:
            services.recent_day.forget()
        rows = self._rows()
        check_all(rows, self.house.services[0].settings)
        self.written.check(rows)
        assert set(self.investigations) <= {row.id for row in rows.investigations}
        assert self.house.model.faults == []
        assert self.house.find_crashes() == []

    def _rows(self) -> Rows:
        with self.house.services[0].database.transaction() as session:
            return read_rows(session)

    def teardown(self) -> None:
        """Let all be well again: then everything comes to its end."""
        self.house.model.mood, self.house.destination.is_well = "well", True
        for process in self.processes:
            process.go_on_all()
        self.house.settle(**PATIENT)
        self._restart()
        for _ in range(ROUNDS_TO_REST):
            if self._is_at_rest():
                break
            self.time_passes(ROUND_S, 0)
            self._work_off()
        self.the_rows_are_in_order()
        assert self._is_at_rest(), f"these wait for ever: {[(row.id, row.status) for row in self._rows().live]}"

    def _work_off(self) -> None:
        queue = self.house.queue
        while queue.sent or queue.deliveries:
            for wake_up in queue.take():
                self.processes[0].begin(wake_up, stops_before=NEVER)
            while queue.deliveries:
                delivering.deliver(self.processes[0].services, queue.deliveries.pop())

    def _is_at_rest(self) -> bool:
        rows = self._rows()
        is_paid = all(row.outcome != usage.RESERVED for row in rows.usage)
        is_sent = all(DeliveryStatus(row.status).is_final for row in rows.deliveries)
        is_asleep = all(AgentStatus(row.status).is_final for row in rows.agents)
        return is_paid and is_sent and is_asleep and not (rows.live or rows.outbox)


class OrchestratedDisorder(Disorder):
    """The same where leads send sub-agents, each of which may be ended alone."""

    @rule(which=WHICH, agent_no=AGENT_NO)
    def a_sub_agent_is_cancelled(self, which: int, agent_no: int) -> None:
        if self.investigations:
            self._cancel_agent(self.investigations[which % len(self.investigations)], agent_no)

    @rule(which=WHICH, message=WHICH, stops_before=STOPS)
    def an_agent_is_cancelled(self, which: int, message: int, stops_before: int) -> None:
        """A cancel of it alone comes while its step is under way; a lead is not ended so."""
        agent = self._find_agent(self._deliver(which, message, stops_before=stops_before))
        if agent is not None:
            self._cancel_agent(agent.investigation_id, agent.agent_no)
            self._process(which).go_on(-1)

    @rule(which=WHICH, message=WHICH, stops_before=STOPS)
    def somebody_begins_again(self, which: int, message: int, stops_before: int) -> None:
        """An investigation is cancelled and tried again at once, though a step of it may still be under way."""
        agent = self._find_agent(self._deliver(which, message, stops_before=stops_before))
        if agent is not None:
            self._intervene(pipeline.cancel, agent.investigation_id)
            self._intervene(pipeline.retry, agent.investigation_id)

    @rule(which=WHICH, message=WHICH, stops_before=STOPS)
    def a_step_comes_too_late(self, which: int, message: int, stops_before: int) -> None:
        """The time of its agent is up while it is under way: whoever waited for it goes on, and then it ends."""
        agent = self._find_agent(self._deliver(which, message, stops_before=stops_before))
        if agent is not None and agent.finished_at is None:
            left = agent.deadline_at - datetime.now(UTC)
            self.time_passes(max(ceil((left + children.LATE).total_seconds()), 1), which + 1)
            self._deliver(which + 1, -1)
            self._process(which).go_on(-1)

    def _cancel_agent(self, investigation_id: str, agent_no: int) -> None:
        with suppress(UserError):
            pipeline.cancel_agent(self.house.services[0], investigation_id, agent_no=agent_no)


@pytest.fixture
def open_house(database_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[Cast], House]]:
    monkeypatch.setattr(pipeline, "MAX_PARALLEL_CALLS", 1)  # so that the same happens when an example is run again
    opened: list[House] = []
    with capture_logs() as logs:

        def build(cast: Cast) -> House:
            opened.append(House(database_url, cast, logs))
            return opened[-1]

        yield build
    for house in opened:
        house.close()


def _run(machine: Callable[[], RuleBasedStateMachine], *, examples: int) -> None:
    """Run examples that are the same at each run; `--hypothesis-seed` and a larger number look further."""
    bounds = settings(
        max_examples=examples,
        stateful_step_count=30,
        deadline=None,
        derandomize=True,
        database=None,
        phases=[Phase.generate],  # to make a failing one smaller takes longer than a test may
        print_blob=True,
        suppress_health_check=list(HealthCheck),
    )
    run_state_machine_as_test(machine, settings=bounds)  # type: ignore[arg-type]  # makes a machine


def test_nothing_is_lost_done_twice_or_stuck(open_house: Callable[[Cast], House], database_url: str) -> None:
    house = open_house(Cast(play_alone))
    _run(partial(Disorder, house), examples=45 if database_url.startswith("sqlite") else 12)


def test_no_sub_agent_is_lost_asked_twice_or_waited_for_in_vain(
    open_house: Callable[[Cast], House], database_url: str, tmp_path: Path
) -> None:
    together = {
        **ENABLED,
        "rca_recorded_root": write_two_sources(tmp_path),
        "rca_verify": None,
        "rca_tool_timeout_s": 1,
    }
    house = open_house(Cast(play_together, together, {"recorded_case": CASE}))
    _run(partial(OrchestratedDisorder, house), examples=30 if database_url.startswith("sqlite") else 9)
