"""Who may ask: tokens by bearer or password; without any token only whoever is at this machine."""

import asyncio
import base64
from pathlib import Path

import httpx
import pytest

from tests.web_client import FAR, LOCAL, NEAR, AppClient, client_of, sqlite_services, token_for
from worker.ops.loopback import is_loopback
from worker.services import Services
from worker.storage import tokens
from worker.storage.tokens import Identity
from worker.web.credentials import Claim, Credentials
from worker.web.identity import identities_of

LIST = "/v1/investigations"
OWN = "a-token-from-the-environment"


def basic(user: str, password: str) -> dict[str, str]:
    return {"Authorization": "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()}


def ask(services: Services, path: str = LIST, *, peer: tuple[str, int] = NEAR, **headers: str) -> httpx.Response:
    with client_of(services, peer=peer) as client:
        return client.get(path, headers={name.replace("_", "-"): value for name, value in headers.items()})


def test_without_any_token_this_machine_is_let_in(client: AppClient) -> None:
    assert client.get(LIST).status_code == 200


@pytest.mark.parametrize("host", ["localhost:8642", "127.0.0.1:8642", "[::1]:8642", "LOCALHOST"])
def test_it_has_to_be_asked_under_a_loopback_name(services: Services, host: str) -> None:
    assert ask(services, host=host).status_code == 200


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:8642", "127.0.0.1.evil.example", "192.0.2.1", "[bad", ""]
)
def test_a_rebound_name_of_another_site_is_refused(services: Services, host: str) -> None:
    answer = ask(services, host=host)

    assert answer.status_code == 403
    assert answer.json()["detail"]["error"] == "foreign_host"


def test_another_machine_is_not_the_local_operator(services: Services) -> None:
    assert ask(services, peer=FAR).status_code == 401


@pytest.mark.parametrize("header", ["X-Forwarded-For", "Forwarded", "X-Real-IP", "Via", "X-Forwarded-Host"])
def test_a_proxy_on_this_machine_does_not_pass_for_the_operator(services: Services, header: str) -> None:
    assert ask(services, **{header: "192.0.2.7"}).status_code == 401


@pytest.mark.parametrize(
    "settings", [{"rca_http_host": "0.0.0.0"}, {"rca_public_url": "https://rca.example.com"}, {"rca_api_token": OWN}]
)
def test_what_others_may_reach_wants_a_token_of_everybody(tmp_path: Path, settings: dict[str, str]) -> None:
    with sqlite_services(tmp_path, **settings) as services:
        assert ask(services).status_code == 401


def test_once_there_was_a_token_everybody_needs_one(services: Services) -> None:
    header = token_for(services, "reports:read")
    with services.database.transaction() as session:
        tokens.revoke(session, "test", tokens.all_rows(session)[0].id)

    assert ask(services).status_code == 401
    assert ask(services, **header).status_code == 401


def test_nobody_is_remembered(client: AppClient, services: Services) -> None:
    assert client.get(LIST).status_code == 200
    header = token_for(services, "reports:read")
    assert client.get(LIST).status_code == 401
    assert client.get(LIST, headers=header).status_code == 200
    with services.database.transaction() as session:
        tokens.revoke(session, "test", tokens.all_rows(session)[0].id)

    assert client.get(LIST, headers=header).status_code == 401


def test_each_of_one_moment_is_who_brings_the_token(services: Services) -> None:
    one, other = (token_for(services, "reports:read", user_path=path) for path in ("/a", "/b"))
    secrets = [header["Authorization"].removeprefix("Bearer ") for header in (one, other, one)]

    async def work() -> list[Identity | None]:
        identities = identities_of(Credentials(services))
        return await asyncio.gather(*map(identities.ask, [*map(Claim, [*secrets, "unknown"]), Claim()]))

    with asyncio.Runner() as runner:
        found = runner.run(work())

    assert [identity and identity.user_path for identity in found] == ["/a", "/b", "/a", None, None]


def test_the_token_of_the_environment_may_do_everything(tmp_path: Path) -> None:
    with sqlite_services(tmp_path, rca_api_token=OWN) as services:
        assert ask(services, peer=FAR, Authorization=f"Bearer {OWN}").status_code == 200
        assert ask(services, peer=FAR, Authorization=f"bearer  {OWN} ").status_code == 200
        assert ask(services, peer=FAR, **basic("anyone", OWN)).status_code == 200


@pytest.mark.parametrize(
    "authorization",
    [
        "Bearer wrong",
        "Bearer ",
        "Bearer",
        f"Bearer {OWN}x",
        f"Token {OWN}",
        OWN,
        "Basic !!!",
        "Basic /////w==",
        "Basic",
        basic(OWN, "")["Authorization"],
        "Bearer \u00e9",
    ],
)
def test_anything_else_is_refused(tmp_path: Path, authorization: str) -> None:
    with sqlite_services(tmp_path, rca_api_token=OWN) as services, client_of(services) as client:
        answer = client.get(LIST, headers=[(b"Authorization", authorization.encode("latin-1"))])

    assert answer.status_code == 401
    assert OWN not in answer.text


def test_a_made_token_works_as_a_password_too(services: Services) -> None:
    secret = token_for(services, "reports:read")["Authorization"].removeprefix("Bearer ")

    assert ask(services, peer=FAR, **basic("me", secret)).status_code == 200


def test_programs_are_asked_for_a_bearer_and_browsers_for_a_password(services: Services) -> None:
    token_for(services, "reports:read")

    assert ask(services).headers["www-authenticate"].startswith("Bearer")
    assert ask(services, "/investigations").headers["www-authenticate"].startswith("Basic")


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://127.0.0.1:3000"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "iframe"},
        {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors", "Sec-Fetch-Dest": "image"},
    ],
)
def test_another_sites_page_is_refused(client: AppClient, headers: dict[str, str]) -> None:
    for method, path in (("GET", LIST), ("POST", "/v1/incidents"), ("POST", "/investigations/inv_1/cancel")):
        answer = client.request(method, path, headers=headers)

        assert answer.status_code == 403
        assert answer.json()["detail"]["error"] == "cross_site"


def test_a_token_does_not_excuse_another_sites_page(tmp_path: Path) -> None:
    with sqlite_services(tmp_path, rca_api_token=OWN) as services, client_of(services) as client:
        answer = client.post("/v1/incidents", json={"title": "a"}, headers=basic("", OWN) | {"Origin": "https://e.x"})

    assert answer.status_code == 403


@pytest.mark.parametrize("headers", [{"Origin": LOCAL}, {"Sec-Fetch-Site": "same-origin", "Origin": "null"}, {}])
def test_our_own_pages_and_programs_are_not_another_site(client: AppClient, headers: dict[str, str]) -> None:
    assert client.post("/v1/incidents", json={"title": "a"}, headers=headers).status_code == 202


def test_a_link_from_elsewhere_opens_a_page_but_posts_nothing(client: AppClient) -> None:
    followed = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"}

    assert client.get("/investigations", headers=followed).status_code == 200
    assert client.post("/v1/incidents", json={"title": "a"}, headers=followed).status_code == 403


def test_the_public_address_is_our_own_origin(tmp_path: Path) -> None:
    settings = {"rca_public_url": "https://rca.example.com/", "rca_api_token": OWN}
    with sqlite_services(tmp_path, **settings) as services, client_of(services) as client:
        headers = {"Authorization": f"Bearer {OWN}", "Origin": "https://rca.example.com"}
        assert client.post("/v1/incidents", json={"title": "a"}, headers=headers).status_code == 202


@pytest.mark.parametrize("host", ["localhost", "127.9.9.9", "::1"])
def test_loopback_is_this_machine(host: str) -> None:
    assert is_loopback(host)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "rca.internal", "10.0.0.1", "localhost.evil.example", "", None])
def test_nothing_else_is_loopback(host: str | None) -> None:
    assert not is_loopback(host)
