"""Models managed in a real browser: written, reviewed, applied, tested, deleted; another site's page does nothing."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from tests.browser import Page, running_browser
from tests.model_server import ModelServer, Reply, in_order
from tests.web_client import running_server, sqlite_services
from worker.bootstrap import Models
from worker.domain.model_state import Alias
from worker.investigation.offline.analyst import OfflineAnalyst
from worker.llm.client import ProviderClient
from worker.services import Services
from worker.storage import audit

pytestmark = pytest.mark.browser

HAIKU, SONNET = "anthropic/claude-haiku-4.5", "anthropic/claude-sonnet-4.5"
KEY = "sk-a-key-typed-by-hand"


@pytest.fixture
def services(tmp_path: Path) -> Iterator[Services]:
    given = {"aurora_secret_key": "a-seed", "anthropic_api_key": "key-of-the-environment"}
    with sqlite_services(tmp_path, **given) as found:
        yield found


@pytest.fixture
def browser(tmp_path: Path) -> Iterator[Page]:
    with running_browser(tmp_path) as page:
        yield page


def write(page: Page, **values: str) -> None:
    for name, value in values.items():
        page.evaluate(f"document.querySelector('[name={name}]').value = {value!r}")


def press(page: Page, words: str) -> str:
    """Press the button or follow the link that says or is labelled so; return the next page's text."""
    named = f"[e.textContent, e.ariaLabel].includes({words!r})"
    page.follow(f"[...document.querySelectorAll('main a, main button')].find(e => {named}).click()")
    return text_of(page)


def text_of(page: Page) -> str:
    return str(page.evaluate("document.body.innerText"))


def test_an_alias_is_added_changed_and_deleted(services: Services, browser: Page) -> None:
    with running_server(services) as url:
        browser.open(f"{url}/investigations")
        press(browser, "Models")
        press(browser, "Aliases")
        press(browser, "Add an alias")
        write(browser, name="fast", target=HAIKU)
        assert "Add the alias fast?" in press(browser, "Review")
        assert services.models.get().state.aliases == ()
        assert "fast" in press(browser, "Apply to all workers")
        assert services.models.get().state.aliases == (Alias(name="fast", target=HAIKU),)

        press(browser, "Change fast")
        write(browser, target=SONNET)
        review = press(browser, "Review")
        assert HAIKU in review
        assert SONNET in review
        press(browser, "Back")
        press(browser, "Review")
        press(browser, "Apply to all workers")
        assert services.models.get().state.aliases[0].target == SONNET

        assert "Delete the alias fast?" in press(browser, "Delete fast")
        assert "No alias yet." in press(browser, "Delete for all workers")
        said = press(browser, "Audit")
        assert "alias.delete" in said
        assert "Every row is as it was written." in press(browser, "Verify the chain")
    assert (browser.refused, browser.dialogs) == ([], [])


def test_a_key_is_typed_in_tested_with_a_real_call_and_deleted(tmp_path: Path, browser: Page) -> None:
    with ExitStack() as stack:
        provider = stack.enter_context(ModelServer(in_order([Reply(text="ok")])))
        services = stack.enter_context(calling(tmp_path, provider))
        url = stack.enter_context(running_server(services))
        browser.open(f"{url}/models/providers")
        press(browser, "Store a key of openai")
        write(browser, api_key=KEY)
        said = press(browser, "Store it for all workers")
        assert "stored sealed, ends in hand" in said
        assert KEY not in browser.evaluate("document.documentElement.outerHTML")

        assert "gpt-4.1-mini answered in" in press(browser, "Test openai")
        assert "Delete the key of openai?" in press(browser, "Delete the key of openai")
        assert "stored sealed" not in press(browser, "Delete for all workers")
    assert [exchange.headers["authorization"] for exchange in provider.exchanges] == [f"Bearer {KEY}"]
    assert browser.refused == []


def test_the_page_of_another_site_changes_nothing(services: Services, browser: Page) -> None:
    with running_server(services) as url:
        fields = "".join(f"<input name={n} value={v}>" for n, v in (("provider", "openai"), ("api_key", KEY)))
        form = f"<form method=post action={url}/models/keys/edit>{fields}</form>"
        browser.open(f"data:text/html,{form}")  # a site of its own
        browser.follow("document.forms[0].submit()")
        said = text_of(browser)

    assert "another site's page may not ask this" in said
    assert services.models.latest().sources == {}
    with services.database.transaction() as session:
        assert audit.page(session, limit=1) == []


@contextmanager
def calling(folder: Path, provider: ModelServer) -> Iterator[Services]:
    """Yield services that make real calls, to this provider."""
    given = {"aurora_secret_key": "a-seed", "openai_base_url": provider.openai_url}
    with sqlite_services(folder, **given) as services:
        client = ProviderClient(services.settings, source=services.models.latest)
        object.__setattr__(services, "model", Models(offline=OfflineAnalyst(), providers=client))
        yield services
        client.close()
