"""Reports in the shape asked for; results whole, as text that no browser runs."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from stored import add_result, publish, small_report, take_in

from tests.web_client import AppClient
from worker.domain.report import Report
from worker.services import Services
from worker.storage import investigations
from worker.storage.tables import InvestigationRow
from worker.web.reports import Shape, choose_shape


@pytest.mark.parametrize(
    ("accept", "shape"),
    [
        ("", Shape.JSON),
        ("*/*", Shape.JSON),
        ("application/json", Shape.JSON),
        ("text/markdown", Shape.MARKDOWN),
        ("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", Shape.HTML),
        ("application/json;q=0.1, text/markdown", Shape.MARKDOWN),
        ("TEXT/HTML; Q=0.4, text/markdown;q=0.5", Shape.MARKDOWN),
        ("text/html;q=0", Shape.JSON),
        ("text/html;q=much", Shape.JSON),
        ("image/png", Shape.JSON),
    ],
)
def test_accept_chooses_the_shape(accept: str, shape: Shape) -> None:
    assert choose_shape(accept) is shape


@given(st.text(max_size=200))
def test_no_accept_header_breaks_the_choice(accept: str) -> None:
    assert choose_shape(accept) in Shape


@pytest.mark.parametrize(
    ("shape", "media_type"), [("json", "application/json"), ("markdown", "text/markdown"), ("html", "text/html")]
)
def test_each_shape_is_labelled_as_what_it_is(
    client: AppClient, services: Services, shape: str, media_type: str
) -> None:
    taken = take_in(services)
    publish(services, small_report(taken, summary="Found it."))
    path = f"/v1/investigations/{taken.investigation_id}/report"

    asked, linked = client.get(path, headers={"Accept": media_type}), client.get(f"{path}?format={shape}")

    assert asked.headers["content-type"].startswith(media_type)
    assert asked.headers["vary"] == "Accept"
    assert asked.text == linked.text
    assert "Found it." in asked.text


def test_the_json_is_the_report(client: AppClient, services: Services) -> None:
    taken = take_in(services)
    report = small_report(taken)
    publish(services, report)

    answer = client.get(f"/v1/investigations/{taken.investigation_id}/report")

    assert Report.model_validate_json(answer.text) == report


def test_without_a_report_it_says_how_the_investigation_stands(client: AppClient, services: Services) -> None:
    answer = client.get(f"/v1/investigations/{take_in(services).investigation_id}/report")

    assert answer.status_code == 404
    assert "is running" in answer.json()["detail"]["message"]


def test_an_unknown_shape_is_400(client: AppClient, services: Services) -> None:
    taken = take_in(services)

    assert client.get(f"/v1/investigations/{taken.investigation_id}/report?format=pdf").status_code == 400


def test_a_result_is_given_whole_where_the_transcript_holds_a_part(client: AppClient, services: Services) -> None:
    taken = take_in(services)
    whole = "<script>alert(1)</script>\n" * 2000
    artifact_id = add_result(services, taken.investigation_id, whole=whole, shown="<script>…")
    base = f"/v1/investigations/{taken.investigation_id}"

    for path in (f"{base}/evidence/e1.1", f"{base}/artifacts/{artifact_id}"):
        answer = client.get(path)
        assert answer.text == whole
        assert answer.headers["content-type"] == "text/plain; charset=utf-8"
        assert answer.headers["x-content-type-options"] == "nosniff"


def test_a_short_result_is_given_from_the_transcript(client: AppClient, services: Services) -> None:
    taken = take_in(services)
    add_result(services, taken.investigation_id, whole="p99 rose")

    assert client.get(f"/v1/investigations/{taken.investigation_id}/evidence/e1.1").text == "p99 rose"


def test_a_retry_still_opens_what_the_attempt_before_stored(client: AppClient, services: Services) -> None:
    taken = take_in(services)
    artifact_id = add_result(services, taken.investigation_id, whole="whole", shown="part")
    with services.database.transaction() as session:
        again = investigations.reopen(session, session.get_one(InvestigationRow, taken.investigation_id))

    assert client.get(f"/v1/investigations/{again}/artifacts/{artifact_id}").text == "whole"


def test_a_result_of_another_investigation_is_not_there(client: AppClient, services: Services) -> None:
    taken, other = take_in(services), take_in(services, "another alert")
    artifact_id = add_result(services, taken.investigation_id, whole="whole", shown="part")
    base = f"/v1/investigations/{other.investigation_id}"

    for path in (f"{base}/evidence/e1.1", f"{base}/artifacts/{artifact_id}", f"{base}/evidence/e9.9"):
        assert client.get(path).status_code == 404
