"""Many callers at once, over real sockets, on both databases: each event once, each page whole."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest
from sqlalchemy import func, select

from tests.builders import close_services
from tests.web_client import running_server, web_services
from worker.services import Services
from worker.storage.tables import AlertRow, IncidentRow, InvestigationRow

CALLERS = 8


@pytest.fixture
def services(database_url: str) -> Iterator[Services]:
    found = web_services(database_url)
    yield found
    close_services(found)


@pytest.fixture
def url(services: Services) -> Iterator[str]:
    with running_server(services) as found:
        yield found


def counts(services: Services) -> tuple[int, ...]:
    with services.database.transaction() as session:
        tables = (AlertRow, IncidentRow, InvestigationRow)
        return tuple(session.scalar(select(func.count()).select_from(t)) or 0 for t in tables)


def send_all(url: str, events: list[dict[str, str]], headers: dict[str, str] | None = None) -> list[httpx.Response]:
    with httpx.Client(base_url=url, timeout=60) as client, ThreadPoolExecutor(CALLERS) as pool:
        return list(pool.map(lambda e: client.post("/v1/incidents", json=e, headers=headers), events))


def test_one_key_sent_by_many_at_once_is_one_incident(url: str, services: Services) -> None:
    answers = send_all(url, [{"title": "checkout is slow", "idempotency_key": "k1"}] * CALLERS)

    assert sorted(a.status_code for a in answers) == [200] * (CALLERS - 1) + [202]
    assert len({a.json()["investigation_id"] for a in answers}) == 1
    assert counts(services) == (1, 1, 1)


def test_one_key_in_the_header_is_as_good(url: str, services: Services) -> None:
    answers = send_all(url, [{"title": "checkout is slow"}] * CALLERS, headers={"Idempotency-Key": "h1"})

    assert sorted(a.status_code for a in answers) == [200] * (CALLERS - 1) + [202]
    assert counts(services) == (1, 1, 1)


def test_one_alert_told_by_many_at_once_folds_into_one_incident(url: str, services: Services) -> None:
    answers = send_all(url, [{"title": "checkout is slow", "idempotency_key": f"k{n}"} for n in range(CALLERS)])

    assert [a.status_code for a in answers] == [202] * CALLERS
    assert sorted(a.json()["folded"] for a in answers) == [False] + [True] * (CALLERS - 1)
    assert counts(services) == (CALLERS, 1, 1)


def test_every_accepted_event_is_on_disk_when_it_is_answered(url: str, services: Services) -> None:
    answers = send_all(url, [{"title": f"alert of {'x' * n}"} for n in range(1, 25)])

    assert {a.status_code for a in answers} == {202}
    with services.database.transaction() as session:
        stored = set(session.scalars(select(InvestigationRow.id)))
    assert {a.json()["investigation_id"] for a in answers} == stored


@pytest.mark.parametrize("limit", [1, 3, 7, 200])
def test_pages_of_any_size_show_everything_once(url: str, limit: int) -> None:
    made = {a.json()["investigation_id"] for a in send_all(url, [{"title": "x" * n} for n in range(1, 8)])}

    seen: list[str] = []
    query: dict[str, str | int] = {"limit": limit}
    while True:
        page = httpx.get(f"{url}/v1/investigations", params=query).json()
        seen += [item["id"] for item in page["investigations"]]
        if page["next"] is None:
            break
        query["before"] = page["next"]

    assert seen == sorted(made, reverse=True)


def test_what_arrives_while_one_reads_moves_no_page(url: str) -> None:
    send_all(url, [{"title": "x" * n} for n in range(1, 5)])
    first = httpx.get(f"{url}/v1/investigations?limit=2").json()
    send_all(url, [{"title": "y" * n} for n in range(1, 3)])

    second = httpx.get(f"{url}/v1/investigations", params={"limit": 2, "before": first["next"]}).json()

    ids = [item["id"] for page in (first, second) for item in page["investigations"]]
    assert len(ids) == len(set(ids)) == 4
    assert second["next"] is None


def test_no_character_of_an_address_or_a_query_breaks_the_database(url: str) -> None:
    for odd in ("%00", "%ff", "%ed%a0%80", "%27", "'", "%25", "_", "%5c"):
        for path in (
            f"/v1/investigations/{odd}",
            f"/v1/investigations?service={odd}&before=inv_1",
            f"/investigations?service={odd}",
        ):
            assert httpx.get(url + path).status_code in {200, 404}, path
