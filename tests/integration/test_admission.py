"""Admission: fair between user paths, by severity within one, never over a limit, and the queue's order is told."""

import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Barrier
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import select, update

from tests.builders import build_services, close_services, incident
from tests.fakes import ScriptedModel
from tests.servers import PostgresServer
from tests.web_client import sqlite_services
from worker import arriving, pipeline
from worker.domain.states import InvestigationStatus
from worker.intake.events import Offer
from worker.services import Services
from worker.storage import investigations, queue
from worker.storage.investigations import Filter
from worker.storage.queue import Room
from worker.storage.tables import InvestigationRow

Open = Callable[..., Services]
RUNNING, QUEUED = InvestigationStatus.RUNNING, InvestigationStatus.QUEUED
PATHS = ("/a", "/b", "/c", "/d")


class House:
    """An installation in which nothing runs by itself: arrivals, admissions and ends come when they are called for."""

    def __init__(self, services: Services) -> None:
        self.services = services
        self._count = 0

    def arrive(self, *alerts: tuple[str, str]) -> None:
        """Queue an investigation for each path and severity, without admitting any."""
        offers = []
        for path, severity in alerts:
            self._count += 1
            event = incident(f"alert {'x' * self._count}", user_path=path, severity=severity)
            offers.append(Offer(event, "test"))
        if offers:
            arriving.take(self.services, offers)

    def admit(self) -> InvestigationRow | None:
        """Admit one, if one may run, and return it."""
        before = {row.id for row in self.rows(RUNNING)}
        pipeline.admit_waiting(self.services, at_most=1)
        return next((row for row in self.rows(RUNNING) if row.id not in before), None)

    def end(self, investigation_id: str) -> None:
        with self.services.database.transaction() as session:
            investigations.finish(session, investigation_id, InvestigationStatus.COMPLETED)

    def rows(self, status: InvestigationStatus) -> list[InvestigationRow]:
        with self.services.database.transaction() as session:
            wanted = select(InvestigationRow).where(InvestigationRow.status == status)
            return list(session.scalars(wanted.order_by(InvestigationRow.id)))

    def positions(self) -> dict[int, str]:
        """Return the ids of those that wait by their place."""
        with self.services.database.transaction() as session:
            found = queue.find_positions(session, [row.id for row in self.rows(QUEUED)])
        return {place: investigation for investigation, place in found.items()}


@contextmanager
def house(**fields: Any) -> Iterator[House]:
    with TemporaryDirectory() as folder, sqlite_services(Path(folder), **fields) as services:
        yield House(services)


def run_of(house: House) -> Counter[str]:
    return Counter(row.user_path for row in house.rows(RUNNING))


ARRIVALS = st.tuples(st.just("arrive"), st.sampled_from(PATHS), st.sampled_from(["critical", "medium", "info"]))
ENDS = st.tuples(st.just("end"), st.integers(0, 9), st.none())
SLOW = {"deadline": None, "suppress_health_check": [HealthCheck.too_slow], "max_examples": 15}


@settings(**SLOW)  # type: ignore[arg-type]  # a mapping of keywords
@given(
    events=st.lists(st.one_of(ARRIVALS, ENDS), min_size=5, max_size=40),
    max_running=st.integers(1, 4),
    per_path=st.integers(0, 2),
)
def test_no_path_waits_behind_more_than_one_of_each_other(events: list[Any], max_running: int, per_path: int) -> None:
    with house(rca_max_running=max_running, rca_max_running_per_path=per_path) as here:
        passed_over: Counter[str] = Counter()
        for kind, what, severity in events:
            if kind == "arrive":
                here.arrive((what, severity))
            elif running := here.rows(RUNNING):
                here.end(running[what % len(running)].id)
            _admit_all(here, passed_over, max_running, per_path)


def _admit_all(here: House, passed_over: Counter[str], max_running: int, per_path: int) -> None:
    """Admit while there is room; check each choice against what was to be chosen from."""
    while True:
        running, waiting = run_of(here), {row.user_path for row in here.rows(QUEUED)}
        may = {path for path in waiting if not per_path or running[path] < per_path}
        chosen = here.admit()
        if chosen is None:
            assert sum(running.values()) >= max_running or not may
            return
        assert sum(running.values()) < max_running
        assert chosen.user_path in may
        assert running[chosen.user_path] == min(running[path] for path in may)
        _count_passed_over(passed_over, chosen.user_path, [path for path in may if running[path] == 0])


def _count_passed_over(passed_over: Counter[str], chosen: str, idle: list[str]) -> None:
    """A path with nothing running is passed over at most once by each other path."""
    passed_over.update(path for path in idle if path != chosen)
    passed_over[chosen] = 0
    assert all(count < len(PATHS) for count in passed_over.values()), passed_over


@settings(**SLOW)  # type: ignore[arg-type]  # a mapping of keywords
@given(
    before=st.lists(st.sampled_from(PATHS), max_size=4),
    arrivals=st.lists(st.tuples(st.sampled_from(PATHS), st.sampled_from(["critical", "low"])), max_size=12),
)
def test_the_places_told_are_the_order_of_admission(before: list[str], arrivals: list[tuple[str, str]]) -> None:
    with house(rca_max_running=100) as here:
        for path in before:
            here.arrive((path, "medium"))
            here.admit()
        here.arrive(*arrivals)
        told = here.positions()

        admitted = [row.id for _ in arrivals if (row := here.admit())]

        assert admitted == [told[place] for place in range(1, len(arrivals) + 1)]


def test_within_a_path_the_most_urgent_is_admitted_first_then_the_oldest() -> None:
    with house(rca_max_running=1) as here:
        for severity in ("low", "critical", "high", "critical"):
            here.arrive(("/a", severity))
            time.sleep(0.002)  # within a millisecond nobody is older
        by_age = [row.id for row in here.rows(QUEUED)]

        order = []
        while chosen := here.admit():
            order.append(by_age.index(chosen.id))
            here.end(chosen.id)

    assert order == [1, 3, 2, 0]


def test_a_flood_of_one_path_holds_back_no_other() -> None:
    with house(rca_max_running=2) as here:
        here.arrive(*[("/flood", "critical")] * 30)
        first = [here.admit(), here.admit()]
        here.arrive(("/quiet", "info"))
        here.end(first[0].id)  # type: ignore[union-attr]  # two may run

        chosen = here.admit()

    assert chosen is not None
    assert chosen.user_path == "/quiet"


def test_the_list_tells_the_place_of_those_that_wait_alone() -> None:
    with house(rca_max_running=1) as here:
        here.arrive(*[("/a", "high")] * 3)
        here.admit()

        with here.services.database.transaction() as session:
            listed = investigations.page(session, Filter())

    assert [(row.status, row.position) for row in reversed(listed)] == [("running", None), ("queued", 1), ("queued", 2)]


@pytest.mark.services
def test_admissions_raced_at_the_limits_never_exceed_them(postgres_server: PostgresServer) -> None:
    url = postgres_server.create_migrated()
    services = build_services(url, ScriptedModel([]), rca_max_running=5, rca_max_running_per_path=2)
    here = House(services)
    here.arrive(*((PATHS[number % 4], "high") for number in range(24)))

    for _ in range(5):
        together = Barrier(8)

        def race() -> None:
            together.wait()  # noqa: B023 - all have ended before the next is made
            pipeline.admit_waiting(services)

        with ThreadPoolExecutor(8) as pool:
            for raced in [pool.submit(race) for _ in range(8)]:
                raced.result()
        running = run_of(here)
        assert sum(running.values()) == 5
        assert max(running.values()) <= 2
        for row in here.rows(RUNNING)[:3]:
            here.end(row.id)
    close_services(services)


def test_ten_thousand_waiting_are_chosen_from_in_a_moment(open_services: Open) -> None:
    services = open_services(ScriptedModel([]), rca_max_running=1)
    here = House(services)
    here.arrive(("/a", "high"))
    _multiply(services, 10_000)

    with services.database.transaction() as session:
        heads = queue.find_heads(session, Room(max_running=1))
        place = queue.find_positions(session, heads[:1])

    assert len(heads) == 100
    assert place == {heads[0]: 1}


def _multiply(services: Services, number: int) -> None:
    """Queue so many copies of the one that waits, of a hundred paths."""
    with services.database.transaction() as session:
        one = session.scalars(select(InvestigationRow)).one()
        fields = {c.name: getattr(one, c.name) for c in InvestigationRow.__table__.columns}
        session.execute(update(InvestigationRow).values(user_path="/path/0"))
        copies = [fields | {"id": f"{one.id}{n:05}", "user_path": f"/path/{n % 100}"} for n in range(number)]
        session.execute(InvestigationRow.__table__.insert(), copies)  # type: ignore[attr-defined]  # it is a Table
