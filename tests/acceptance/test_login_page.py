"""A person in a real browser: led to the login page, signed in by a token or by an issuer, and out again."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.browser import Page, running_browser
from tests.builders import incident
from tests.oidc_server import OLD_WAYS, OidcServer, running_oidc_server
from tests.web_client import running_server, sqlite_services
from worker import pipeline
from worker.services import Services

pytestmark = [pytest.mark.browser, OLD_WAYS]

OWN = "a-token-from-the-environment"
ACCESS = json.dumps({"sre": {"scopes": ["reports:read", "investigations:write"]}})
HEADING = "document.querySelector('h1').innerText"
WHO = "document.querySelector('.who')?.innerText"
WHERE = "location.pathname + location.search"
SETTLE_S = 1


@pytest.fixture
def oidc() -> Iterator[OidcServer]:
    with running_oidc_server({"alice": ["sre"], "bob": ["sales"]}) as served:
        yield served


@pytest.fixture
def services(tmp_path: Path, oidc: OidcServer) -> Iterator[Services]:
    configured = {"rca_oidc_issuer": oidc.url, "rca_oidc_client_id": "rca", "rca_oidc_access": ACCESS}
    with sqlite_services(tmp_path, rca_api_token=OWN, rca_oidc_client_secret="s", **configured) as found:
        yield found


def enter(page: Page, token: str) -> None:
    page.evaluate(f"document.querySelector('[name=token]').value = {json.dumps(token)}")
    press(page, "main form button")


def press(page: Page, selector: str) -> None:
    page.evaluate(f"document.querySelector({json.dumps(selector)}).click()")
    page.settle(SETTLE_S)


def test_a_token_signs_in_once_and_the_buttons_work(services: Services, tmp_path: Path) -> None:
    taken = pipeline.accept(services, incident("checkout is slow"), via="test")

    with running_server(services) as url, running_browser(tmp_path) as page:
        page.open(f"{url}/investigations/{taken.investigation_id}?x=1")
        assert page.evaluate(HEADING) == "Sign in"
        enter(page, "not-the-token")
        assert "unknown, expired or revoked" in page.evaluate("document.body.innerText")
        enter(page, OWN)
        assert page.evaluate(WHERE) == f"/investigations/{taken.investigation_id}?x=1"
        assert page.evaluate(WHO) == "Signed in as RCA_API_TOKEN · sign out"
        assert page.evaluate("document.cookie") == ""  # no script of a page would see it

        press(page, ".verdict form button")
        assert page.evaluate("document.querySelector('.verdict .title').innerText") == "Cancelled"
        press(page, ".who button")
        assert (page.evaluate(HEADING), page.evaluate(WHO)) == ("Sign in", None)
        page.open(f"{url}/investigations")
        assert page.evaluate(HEADING) == "Sign in"
        assert page.refused == []


def test_an_issuer_signs_in_by_its_button(services: Services, oidc: OidcServer, tmp_path: Path) -> None:
    with running_server(services) as url, running_browser(tmp_path) as page:
        page.open(f"{url}/investigations?status=failed")
        press(page, "a.button")
        assert page.evaluate("location.origin") == oidc.url
        press(page, "button[name=sub][value=alice]")

        assert page.evaluate(WHERE) == "/investigations?status=failed"
        assert page.evaluate(WHO) == "Signed in as oidc:alice · sign out"
        assert page.refused == []


def test_who_may_see_nothing_is_told_so(services: Services, tmp_path: Path) -> None:
    with running_server(services) as url, running_browser(tmp_path) as page:
        page.open(f"{url}/login/oidc")
        press(page, "button[name=sub][value=bob]")

        assert page.evaluate(HEADING) == "Forbidden"
        assert "none of your groups" in page.evaluate("document.body.innerText")
        page.open(f"{url}/investigations")
        assert page.evaluate(HEADING) == "Sign in"


def test_another_sites_form_changes_nothing_for_who_is_signed_in(
    services: Services, oidc: OidcServer, tmp_path: Path
) -> None:
    taken = pipeline.accept(services, incident("checkout is slow"), via="test")

    with running_server(services) as url, running_browser(tmp_path) as page:
        page.open(f"{url}/login")
        enter(page, OWN)
        page.open(f"{oidc.url}/")  # another origin: it has another port
        address = f"{url}/investigations/{taken.investigation_id}/cancel"
        page.evaluate(
            "const f = document.createElement('form'); f.method = 'post'; f.action = "
            f"{json.dumps(address)}; document.body.append(f); f.submit()"
        )
        page.settle(SETTLE_S)
        assert page.evaluate(HEADING) == "Forbidden"

        page.open(f"{url}/investigations/{taken.investigation_id}")
        assert page.evaluate("document.querySelector('.verdict .title').innerText") == "Running"


def test_the_page_fits_a_phone_and_the_dark(services: Services, tmp_path: Path) -> None:
    with running_server(services) as url, running_browser(tmp_path) as page:
        page.call("Emulation.setDeviceMetricsOverride", width=320, height=640, deviceScaleFactor=1, mobile=True)
        dark = [{"name": "prefers-color-scheme", "value": "dark"}]
        page.call("Emulation.setEmulatedMedia", features=dark)
        page.open(f"{url}/login")

        width = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
        assert page.evaluate(width) == 0
        assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(20, 23, 26)"
        assert page.evaluate("document.querySelector('[name=token]').autocomplete") == "off"
        page.screenshot(tmp_path / "login.png")
        assert (tmp_path / "login.png").stat().st_size > 0
