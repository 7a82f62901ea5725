"""Pages for people: complete without a script, with nothing in them that acts."""

from datetime import timedelta
from html.parser import HTMLParser
from pathlib import Path

import pytest
from sqlalchemy import select
from stored import add_result, publish, small_report, take_in

from tests.builders import STARTED_AT
from tests.web_client import AppClient, client_of, sqlite_services, token_for
from worker.domain.states import InvestigationStatus
from worker.services import Services
from worker.storage import investigations
from worker.storage.tables import AgentRow

HOSTILE = "<script>alert(1)</script>\"'><img src=x onerror=alert(1)>{{ 7*7 }}"


class Page(HTMLParser):
    """What a browser would make of it."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.text = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs

    def handle_data(self, data: str) -> None:
        self.text += data

    def values(self, name: str) -> list[str]:
        return [value or "" for key, value in self.attributes if key == name]


def page_of(client: AppClient, path: str, **how: object) -> Page:
    answer = client.get(path, **how)
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert answer.headers["cache-control"] == "no-store"
    return Page(answer.text)


def test_the_root_leads_to_the_list(client: AppClient) -> None:
    answer = client.get("/")

    assert (answer.status_code, answer.headers["location"]) == (307, "/investigations")


def test_an_empty_list_says_what_to_do(client: AppClient) -> None:
    assert "No incident yet." in page_of(client, "/investigations").text


def test_the_list_leads_to_each_investigation(client: AppClient, services: Services) -> None:
    taken = take_in(services, "checkout is slow", service="gateway")

    page = page_of(client, "/investigations")

    assert f"/investigations/{taken.investigation_id}" in page.values("href")
    assert "checkout is slow" in page.text
    assert "gateway" in page.text
    assert "running" in page.text


def test_the_list_goes_on_and_keeps_what_was_chosen(client: AppClient, services: Services) -> None:
    for number in range(51):
        began = STARTED_AT - timedelta(hours=number)  # so far apart that they are not one incident
        take_in(services, "alert " + "x" * (number + 1), service="a & b", started_at=began)

    (older,) = [h for h in page_of(client, "/investigations?service=a+%26+b&status=").values("href") if "before=" in h]
    page = page_of(client, older)

    assert "service=a+%26+b" in older
    assert len([h for h in page.values("href") if h.startswith("/investigations/inv_")]) == 1
    assert "a & b" in page.values("value")


def test_a_running_one_renews_its_page_and_can_be_cancelled(client: AppClient, services: Services) -> None:
    taken = take_in(services)
    add_result(services, taken.investigation_id, whole="p99 rose")

    page = page_of(client, f"/investigations/{taken.investigation_id}")

    assert "refresh" in page.values("http-equiv")
    assert f"/investigations/{taken.investigation_id}/cancel" in page.values("action")
    assert f"/v1/investigations/{taken.investigation_id}/evidence/e1.1" in page.values("href")
    assert "1.5 s" in page.text


def test_one_that_waits_for_a_budget_says_which_and_until_when(tmp_path: Path) -> None:
    with sqlite_services(tmp_path, rca_day_tokens=0) as services, client_of(services) as client:
        taken = take_in(services)
        pages = [page_of(client, path) for path in ("/investigations", f"/investigations/{taken.investigation_id}")]

    for page in pages:
        assert "number 1 in the queue" in page.text
        assert "the fleet's budget of the day is reached: it waits until 00:00 UTC" in page.text


def test_pressing_cancel_and_retry_leads_back_to_a_page(client: AppClient, services: Services) -> None:
    taken = take_in(services)
    path = f"/investigations/{taken.investigation_id}"
    with services.database.transaction() as session:
        agent = session.scalars(select(AgentRow)).one()
        agent.claim_token = "held"  # a call is in flight

    cancelled = client.post(f"{path}/cancel", headers={"Sec-Fetch-Site": "same-origin", "Origin": "null"})
    assert (cancelled.status_code, cancelled.headers["location"]) == (303, f"{path}/progress")
    assert "Cancelled; the call in flight" in page_of(client, path).text

    with services.database.transaction() as session:
        investigations.finish(session, taken.investigation_id, InvestigationStatus.CANCELLED)
    assert f"{path}/retry" in page_of(client, path).values("action")
    retried = client.post(f"{path}/retry")
    assert retried.status_code == 303
    assert f"{path}/progress" in page_of(client, retried.headers["location"]).values("href")


def test_who_may_only_read_is_offered_no_button(client: AppClient, services: Services) -> None:
    taken = take_in(services)

    page = page_of(client, f"/investigations/{taken.investigation_id}", headers=token_for(services, "reports:read"))

    assert page.values("action") == []


def test_a_finished_one_is_its_report_and_its_progress_stays(client: AppClient, services: Services) -> None:
    taken = take_in(services)
    publish(services, small_report(taken, summary="The pool was cut."))

    report = page_of(client, f"/investigations/{taken.investigation_id}")
    progress = page_of(client, f"/investigations/{taken.investigation_id}/progress")

    assert "The pool was cut." in report.text
    assert f"/investigations/{taken.investigation_id}/progress" in report.values("href")
    assert "refresh" not in progress.values("http-equiv")
    assert f"/investigations/{taken.investigation_id}" in progress.values("href")


def test_every_link_of_the_pages_leads_somewhere(client: AppClient, services: Services) -> None:
    taken = take_in(services)
    add_result(services, taken.investigation_id, whole="whole", shown="part")
    publish(services, small_report(taken))

    for path in ("/investigations", f"/investigations/{taken.investigation_id}"):
        for page in (page_of(client, path), page_of(client, f"/investigations/{taken.investigation_id}/progress")):
            for href in page.values("href"):
                assert href.startswith(("#", "data:,")) or client.get(href).status_code == 200, href


def test_a_failure_shows_its_reason(client: AppClient, services: Services) -> None:
    taken = take_in(services)
    with services.database.transaction() as session:
        failed = InvestigationStatus.FAILED
        investigations.finish(session, taken.investigation_id, failed, failure_class="x", reason="no credit left")

    assert "no credit left" in page_of(client, f"/investigations/{taken.investigation_id}").text
    assert "no credit left" in page_of(client, "/investigations").text


@pytest.mark.parametrize("path", ["/investigations", "/investigations/{}", "/investigations/{}/progress"])
def test_hostile_words_of_an_alert_stay_words(client: AppClient, services: Services, path: str) -> None:
    segment = HOSTILE.replace("/", "").replace(":", "")
    taken = take_in(services, HOSTILE, service=HOSTILE, user_path=f"/{segment}")
    path = path.format(taken.investigation_id)

    page = page_of(client, path)

    assert HOSTILE in page.text
    assert not {"script", "img", "style"} & set(page.tags)
    assert not [name for name, _ in page.attributes if name == "style" or name.startswith("on")]


def test_a_hostile_query_stays_words(client: AppClient) -> None:
    page = page_of(client, "/investigations", params={"service": HOSTILE})

    assert HOSTILE in page.values("value")
    assert not {"script", "img"} & set(page.tags)


@pytest.mark.parametrize(("path", "status"), [("/investigations/inv_none", 404), ("/nowhere", 404)])
def test_a_browser_gets_its_errors_as_pages(client: AppClient, path: str, status: int) -> None:
    answer = client.get(path, headers={"Accept": "text/html,*/*"})

    assert answer.status_code == status
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert "/investigations" in Page(answer.text).values("href")


def test_a_status_that_means_nothing_is_400(client: AppClient) -> None:
    assert client.get("/investigations?status=%00").status_code == 400
