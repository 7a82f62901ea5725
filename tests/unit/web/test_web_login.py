"""Browsers sign in once: where the page leads, what the cookie is good for, and what ends it."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
from sqlalchemy import select, update
from stored import publish, small_report, take_in

from tests.builders import close_services
from tests.databases import sqlite_url
from tests.web_client import FAR, LOCAL, AppClient, client_of, sqlite_services, token_for, web_services
from worker.services import Services
from worker.storage import audit, tokens
from worker.storage.session_tables import SessionRow
from worker.storage.tables import TokenRow
from worker.web.navigation import HOME, local_path

OWN = "a-token-from-the-environment"
BROWSER = {"Accept": "text/html,application/xhtml+xml", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"}
OURS = {"Sec-Fetch-Site": "same-origin"}
PAGE = "/investigations"


@pytest.fixture
def services(tmp_path: Path) -> Iterator[Services]:
    with sqlite_services(tmp_path, rca_api_token=OWN) as found:
        yield found


@pytest.fixture
def browser(services: Services) -> Iterator[AppClient]:
    with client_of(services, peer=FAR) as found:
        yield found


@contextmanager
def same_database(folder: Path, **settings: Any) -> Iterator[Services]:
    """Return services on the database that is there, as after a start with other settings."""
    services = web_services(sqlite_url(folder), **settings)
    yield services
    close_services(services)


def sign_in(browser: AppClient, token: str = OWN, **fields: str) -> httpx.Response:
    return browser.post("/login", data={"token": token, **fields}, headers=BROWSER | OURS)


def session_rows(services: Services) -> list[SessionRow]:
    with services.database.transaction() as session:
        return list(session.scalars(select(SessionRow)))


def acts(services: Services) -> list[tuple[str, str, str]]:
    with services.database.transaction() as session:
        return [(row.actor, row.action, row.outcome) for row in reversed(audit.page(session, limit=50))]


def test_a_page_without_identity_leads_to_the_login_page_and_back(browser: AppClient) -> None:
    answer = browser.get("/investigations?status=failed&service=a%20b", headers=BROWSER)

    assert answer.status_code == 303
    address = urlsplit(answer.headers["location"])
    assert (address.scheme, address.netloc, address.path) == ("", "", "/login")
    wanted = parse_qs(address.query)["next"][0]
    assert wanted == "/investigations?status=failed&service=a%20b"
    assert sign_in(browser, next=wanted).headers["location"] == wanted


@pytest.mark.parametrize("path", ["/v1/investigations", "/api/v1/system/llm/providers", "/admin/api/v1/aliases"])
def test_an_api_answers_401_and_leads_nowhere(browser: AppClient, path: str) -> None:
    assert browser.get(path, headers=BROWSER).status_code == 401


@pytest.mark.parametrize(
    "headers", [{"Accept": "*/*"}, {**BROWSER, "Sec-Fetch-Mode": "no-cors"}, {**BROWSER, "Authorization": "Bearer x"}]
)
def test_what_no_person_opens_is_told_401(browser: AppClient, headers: dict[str, str]) -> None:
    assert browser.get(PAGE, headers=headers).status_code == 401


def test_what_is_sent_by_a_form_is_not_led_away(browser: AppClient) -> None:
    assert browser.post("/investigations/inv_1/cancel", headers=BROWSER | OURS).status_code == 401


def test_the_page_asks_for_one_token_without_any_script(browser: AppClient) -> None:
    answer = browser.get("/login?next=/investigations/inv_1", headers=BROWSER)

    assert answer.status_code == 200
    assert '<input type="password" name="token" autocomplete="off"' in answer.text
    assert 'name="next" value="/investigations/inv_1"' in answer.text
    assert "<script" not in answer.text
    assert "Sign in with" not in answer.text


def test_the_cookie_is_for_this_server_alone_and_for_no_script(browser: AppClient, services: Services) -> None:
    answer = sign_in(browser)

    cookie = answer.headers["set-cookie"]
    assert answer.status_code == 303
    assert cookie.startswith("rca_session=")
    assert {"HttpOnly", "Path=/", "SameSite=lax", "Max-Age=43200"} <= set(cookie.split("; "))
    assert "Secure" not in cookie
    assert "Domain" not in cookie
    assert browser.get(PAGE, headers=BROWSER).status_code == 200


def test_over_tls_the_cookie_is_secure_and_of_this_host(tmp_path: Path) -> None:
    url = "https://rca.example.com"
    settings = {"rca_api_token": OWN, "rca_public_url": url, "rca_session_hours": 1}
    with sqlite_services(tmp_path, **settings) as services, client_of(services, peer=FAR, base_url=url) as browser:
        cookie = sign_in(browser).headers["set-cookie"]

        assert cookie.startswith("__Host-rca_session=")
        assert {"Secure", "Path=/", "HttpOnly", "Max-Age=3600"} <= set(cookie.split("; "))
        assert browser.get(PAGE, headers=BROWSER).status_code == 200


def test_the_database_holds_neither_the_cookie_nor_the_secret(browser: AppClient, services: Services) -> None:
    value = sign_in(browser).cookies["rca_session"]

    (row,) = session_rows(services)
    stored = f"{row.hash} {row.fingerprint} {row.name}"
    assert value not in stored
    assert OWN not in stored
    assert (row.begun_by, row.token_id) == ("RCA_API_TOKEN", None)


def test_a_wrong_token_shows_the_page_again_and_begins_nothing(browser: AppClient, services: Services) -> None:
    answer = sign_in(browser, "rca_wrong", next="/investigations/inv_1")

    assert answer.status_code == 401
    assert "unknown, expired or revoked" in answer.text
    assert 'value="/investigations/inv_1"' in answer.text
    assert "rca_wrong" not in answer.text
    assert session_rows(services) == []


@pytest.mark.parametrize("given", ["/investigations", "/investigations/inv_1?x=1#e", "/a%2F%2Fb", "/\u00e9"])
def test_a_path_of_this_server_is_led_back_to(given: str) -> None:
    assert local_path(given) == given


@pytest.mark.parametrize(
    "given",
    [
        "//evil.example",
        "///evil.example",
        "/\\evil.example",
        "\\\\evil.example",
        "https:evil.example",
        "https://evil.example",
        "javascript:alert(1)",
        "/\t/evil.example",
        "/\n/evil.example",
        " //evil.example",
        "/a\\..\\evil",
        "/a\r\nSet-Cookie: x=y",
        "evil.example",
        "@evil.example",
        "/login?next=/login",
        "/logout",
        "/" + "a" * 3000,
        "",
        None,
    ],
)
def test_anything_else_leads_to_the_list(given: str | None) -> None:
    assert local_path(given) == HOME


def test_the_form_leads_nowhere_else_either(browser: AppClient) -> None:
    assert sign_in(browser, next="//evil.example").headers["location"] == HOME


def test_another_site_signs_nobody_in(browser: AppClient, services: Services) -> None:
    for headers in ({"Sec-Fetch-Site": "cross-site"}, {"Origin": "https://evil.example"}, {"Origin": "null"}):
        assert browser.post("/login", data={"token": OWN}, headers=headers).status_code == 403
    assert session_rows(services) == []


def test_a_session_reads_the_api_too(browser: AppClient) -> None:
    sign_in(browser)

    assert browser.get("/v1/investigations").status_code == 200


@pytest.mark.parametrize("headers", [OURS, {"Origin": LOCAL}, OURS | {"Origin": "null"}])
def test_a_change_by_cookie_comes_from_our_own_page(browser: AppClient, headers: dict[str, str]) -> None:
    sign_in(browser)

    assert browser.post("/v1/incidents", json={"title": "a"}, headers=headers).status_code == 202


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Sec-Fetch-Site": "none"},
        {"Sec-Fetch-Site": "same-site"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Origin": "null"},
        {"Origin": "https://evil.example"},
        {"Origin": "http://127.0.0.1:3000"},
        {"Referer": f"{LOCAL}/investigations"},
    ],
)
def test_a_change_by_cookie_without_proof_of_its_origin_is_refused(browser: AppClient, headers: dict[str, str]) -> None:
    sign_in(browser)

    answer = browser.post("/v1/incidents", json={"title": "a"}, headers=headers)

    assert answer.status_code == 403
    assert answer.json()["detail"]["error"] == "cross_site"


def test_a_link_from_elsewhere_opens_a_page_for_who_is_signed_in(browser: AppClient) -> None:
    sign_in(browser)

    assert browser.get(PAGE, headers=BROWSER | {"Sec-Fetch-Site": "cross-site"}).status_code == 200
    assert browser.get("/v1/investigations", headers={"Sec-Fetch-Site": "cross-site"}).status_code == 403


def test_a_session_has_the_scopes_and_the_path_of_its_token(browser: AppClient, services: Services) -> None:
    token = token_for(services, "reports:read", user_path="/team")["Authorization"].removeprefix("Bearer ")
    sign_in(browser, token)

    assert browser.get(PAGE, headers=BROWSER).status_code == 200
    assert browser.get("/metrics").status_code == 403
    assert browser.post("/v1/incidents", json={"title": "a"}, headers=OURS).status_code == 403


@pytest.mark.parametrize("end", ["revoked", "expired"])
def test_a_session_ends_with_its_token(browser: AppClient, services: Services, end: str) -> None:
    token = token_for(services, "reports:read")["Authorization"].removeprefix("Bearer ")
    sign_in(browser, token)
    with services.database.transaction() as session:
        row = tokens.all_rows(session)[0]
        if end == "revoked":
            tokens.revoke(session, "test", row.id)
        else:
            session.execute(update(TokenRow).values(expires_at=row.created_at - timedelta(seconds=1)))

    assert browser.get("/v1/investigations").status_code == 401
    assert session_rows(services) == []


@pytest.mark.parametrize("name", ["rca_api_token", "aurora_master_key"])
@pytest.mark.parametrize("now", ["another-secret", None])
def test_a_session_ends_when_the_secret_of_its_variable_changes(tmp_path: Path, name: str, now: str | None) -> None:
    with sqlite_services(tmp_path, **{name: OWN}) as services, client_of(services, peer=FAR) as browser:
        cookie = sign_in(browser).cookies["rca_session"]
        assert browser.get("/v1/investigations").status_code == 200
    with same_database(tmp_path, **{name: now}) as services, client_of(services, peer=FAR) as browser:
        assert browser.get("/v1/investigations", headers={"Cookie": f"rca_session={cookie}"}).status_code == 401


def test_a_session_is_over_after_its_hours(browser: AppClient, services: Services) -> None:
    sign_in(browser)
    with services.database.transaction() as session:
        (row,) = session.scalars(select(SessionRow))
        assert row.expires_at - row.created_at == timedelta(hours=12)
        row.expires_at = row.created_at - timedelta(seconds=1)

    assert browser.get(PAGE, headers=BROWSER).status_code == 303


@pytest.mark.parametrize("cookie", ["", "x", "a" * 43, "\u0000", '"quoted"'])
def test_a_cookie_that_is_nobodys_is_no_identity(browser: AppClient, cookie: str) -> None:
    assert browser.get("/v1/investigations", headers={"Cookie": f"rca_session={cookie}"}).status_code == 401


def test_the_pages_say_who_is_signed_in_and_let_them_out(browser: AppClient, services: Services) -> None:
    taken = take_in(services)
    publish(services, small_report(taken))
    sign_in(browser)

    for path in (
        PAGE,
        f"/investigations/{taken.investigation_id}/progress",
        f"/investigations/{taken.investigation_id}",
    ):
        text = browser.get(path, headers=BROWSER).text
        assert "Signed in as RCA_API_TOKEN" in text
        assert 'method="post" action="/logout"' in text
    by_header = browser.get(PAGE, headers={"Authorization": f"Bearer {OWN}"})
    assert "/logout" in browser.get(PAGE).text
    assert "/logout" not in by_header.text


def test_signing_out_ends_the_session_and_takes_the_cookie(browser: AppClient, services: Services) -> None:
    value = sign_in(browser).cookies["rca_session"]

    answer = browser.post("/logout", headers=OURS)

    assert (answer.status_code, answer.headers["location"]) == (303, "/login")
    assert "Max-Age=0" in answer.headers["set-cookie"]
    assert session_rows(services) == []
    assert browser.get("/v1/investigations", headers={"Cookie": f"rca_session={value}"}).status_code == 401


def test_another_site_signs_nobody_out(browser: AppClient, services: Services) -> None:
    sign_in(browser)

    for headers in ({}, {"Sec-Fetch-Site": "cross-site"}, {"Origin": "null"}):
        assert browser.post("/logout", headers=headers).status_code == 403
    assert len(session_rows(services)) == 1


def test_signing_out_without_a_session_leads_to_the_login_page(browser: AppClient) -> None:
    assert browser.post("/logout").status_code == 303


def test_logins_and_logouts_are_in_the_audit_chain(browser: AppClient, services: Services) -> None:
    sign_in(browser)
    browser.post("/logout", headers=OURS)

    assert acts(services) == [("RCA_API_TOKEN", "login", "done"), ("RCA_API_TOKEN", "logout", "done")]
    with services.database.transaction() as session:
        assert audit.find_fault(session) is None


def test_each_login_has_an_id_of_its_own(browser: AppClient) -> None:
    assert sign_in(browser).cookies["rca_session"] != sign_in(browser).cookies["rca_session"]


def test_the_local_operator_needs_no_login(tmp_path: Path) -> None:
    with sqlite_services(tmp_path) as services, client_of(services) as browser:
        answer = browser.get(PAGE, headers=BROWSER)

    assert answer.status_code == 200
    assert "Signed in" not in answer.text
