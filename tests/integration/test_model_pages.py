"""Models managed by pages: each change is shown before it is made, and nothing is changed by a mere look (6.1, 6.4)."""

import re
from collections.abc import Iterator
from html import unescape
from typing import Any
from urllib.parse import urlencode

import pytest

from tests.builders import close_services
from tests.web_client import AppClient, client_of, token_for, web_services
from worker import managing
from worker.domain.model_state import AccessRule, Alias, ModelState, PriceOverride
from worker.services import Services
from worker.storage import audit
from worker.storage.model_tables import AuditRow

HAIKU, SONNET = "anthropic/claude-haiku-4.5", "anthropic/claude-sonnet-4.5"
FORM = {"Content-Type": "application/x-www-form-urlencoded", "Accept": "text/html"}
HOSTILE = "<script>alert(1)</script>\"'><img src=x onerror=alert(1)>"
SECRET = "a-key-that-no-page-may-show"
FAST = {"name": "fast", "target": HAIKU, "description": "for every day", "enabled": "yes"}


@pytest.fixture
def services(database_url: str) -> Iterator[Services]:
    found = web_services(database_url, aurora_secret_key="a-seed", anthropic_api_key="key-of-the-environment")
    yield found
    close_services(found)


@pytest.fixture
def client(services: Services) -> Iterator[AppClient]:
    """The local operator: no token is configured."""
    with client_of(services) as found:
        yield found


def page(client: AppClient, path: str) -> str:
    answer = client.get(path, headers=FORM)
    assert (answer.status_code, answer.headers["content-type"]) == (200, "text/html; charset=utf-8"), answer.text
    return answer.text


def press(client: AppClient, path: str, said: dict[str, str]) -> Any:
    return client.post(path, headers=FORM, content=urlencode(said))


def hidden(text: str) -> dict[str, str]:
    """Return what the page's form would send besides its button."""
    found = re.findall(r'<input type="hidden" name="([^"]+)" value="([^"]*)">', text)
    return {name: unescape(value) for name, value in found}


def reviewed(client: AppClient, kind: str, said: dict[str, str]) -> dict[str, str]:
    answer = press(client, f"/models/{kind}/edit", said | {"step": "review"})
    assert answer.status_code == 200, answer.text
    return hidden(answer.text) | {"step": "apply"}


def state(services: Services) -> ModelState:
    return services.models.get().state


def rows(services: Services) -> list[AuditRow]:
    with services.database.transaction() as session:
        return audit.page(session, limit=100)


def test_what_is_written_is_shown_first_and_made_when_that_is_confirmed(services: Services, client: AppClient) -> None:
    confirmed = reviewed(client, "aliases", FAST)
    assert (state(services).aliases, rows(services)) == ((), [])

    answer = press(client, "/models/aliases/edit", confirmed)

    assert (answer.status_code, answer.headers["location"]) == (303, "/models/aliases")
    assert state(services).aliases == (Alias(name="fast", target=HAIKU, description="for every day"),)
    assert [(row.actor, row.action, row.subject) for row in rows(services)] == [("local operator", "alias.put", "fast")]
    assert HAIKU in page(client, "/models/aliases")


def test_a_review_shows_what_stands_and_what_would(services: Services, client: AppClient) -> None:
    managing.put_alias(services, "me", Alias(name="fast", target=HAIKU))

    text = press(client, "/models/aliases/edit", FAST | {"target": SONNET}).text

    assert HAIKU in text
    assert SONNET in text
    assert "Change the alias" in text


def test_what_was_changed_by_another_in_between_is_shown_again(services: Services, client: AppClient) -> None:
    confirmed = reviewed(client, "aliases", FAST)
    managing.put_alias(services, "somebody", Alias(name="fast", target=SONNET))

    answer = press(client, "/models/aliases/edit", confirmed)

    assert answer.status_code == 200
    assert "Something else was changed since you looked" in answer.text
    assert state(services).aliases[0].target == SONNET
    assert press(client, "/models/aliases/edit", hidden(answer.text) | {"step": "apply"}).status_code == 303
    assert state(services).aliases[0].target == HAIKU


def test_back_leads_to_the_form_with_what_was_written(client: AppClient) -> None:
    text = press(client, "/models/aliases/edit", reviewed(client, "aliases", FAST) | {"step": "back"}).text

    assert f'value="{HAIKU}"' in text
    assert 'value="for every day"' in text


def test_what_cannot_be_is_refused_beside_what_was_written(services: Services, client: AppClient) -> None:
    answer = press(client, "/models/aliases/edit", reviewed(client, "aliases", FAST | {"target": "no-such-model"}))

    assert answer.status_code == 400
    assert "the alias fast would lead nowhere" in answer.text
    assert 'value="no-such-model"' in answer.text
    assert state(services).aliases == ()
    assert [row.outcome for row in rows(services)] == ["refused"]


def test_an_empty_form_has_its_switches_on_and_one_that_is_there_keeps_its_name(
    services: Services, client: AppClient
) -> None:
    assert " checked" in page(client, "/models/aliases/edit")
    managing.put_alias(services, "me", Alias(name="fast", target=HAIKU, enabled=False))

    text = page(client, "/models/aliases/edit?name=fast")

    assert " checked" not in text
    assert re.search(r'name="name" value="fast"[^>]* readonly', text)


def test_a_rule_takes_its_paths_line_by_line(services: Services, client: AppClient) -> None:
    said = {"selector": "anthropic/", "user_paths": "/team/alpha\r\n/team/beta\r\n", "enabled": "yes"}

    assert press(client, "/models/access/edit", reviewed(client, "access", said)).status_code == 303

    assert state(services).rules == (AccessRule(selector="anthropic/", user_paths=("/team/alpha", "/team/beta")),)
    assert "/team/beta" in page(client, "/models/access")
    assert "/team/alpha\n/team/beta" in unescape(page(client, "/models/access/edit?name=anthropic%2F"))


def test_a_rule_that_is_switched_off_says_nobody(services: Services, client: AppClient) -> None:
    press(client, "/models/access/edit", reviewed(client, "access", {"selector": HAIKU, "user_paths": ""}))

    assert state(services).rules == (AccessRule(selector=HAIKU, enabled=False),)
    assert "nobody" in page(client, "/models/access")
    assert "nobody" in page(client, "/models?q=haiku")


def test_a_price_keeps_the_tiers_that_the_api_set(services: Services, client: AppClient) -> None:
    tiers = [{"above_input_tokens": 200000, "input_per_mtok": 4, "output_per_mtok": 9}]
    managing.put_price(services, "me", PriceOverride(selector=HAIKU, pricing={"currency": "USD", "tiers": tiers}))

    said = {"selector": HAIKU, "currency": "USD", "input_per_mtok": "2.5", "output_per_mtok": ""}
    assert press(client, "/models/prices/edit", reviewed(client, "prices", said)).status_code == 303

    (price,) = state(services).prices
    assert (price.pricing["input_per_mtok"], "output_per_mtok" in price.pricing) == (2.5, False)
    assert price.pricing["tiers"][0]["above_input_tokens"] == 200000
    text = page(client, "/models/prices")
    assert "2.5" in text
    assert "1 tier, set through the API" in text


@pytest.mark.parametrize("amount", ["dear", "-1", "nan", "1e999"])
def test_a_price_that_is_none_names_its_field(client: AppClient, amount: str) -> None:
    said = {"selector": HAIKU, "currency": "USD", "input_per_mtok": amount}

    answer = press(client, "/models/prices/edit", reviewed(client, "prices", said))

    assert answer.status_code == 400
    assert "input_per_mtok: " in answer.text


def test_a_provider_is_made_the_active_one(services: Services, client: AppClient) -> None:
    said = {"provider": "anthropic", "model": "claude-haiku-4-5"}

    assert press(client, "/models/backend/edit", reviewed(client, "backend", said)).status_code == 303

    assert state(services).active == "anthropic"
    assert "All picks go to <strong>anthropic</strong>" in page(client, "/models/providers")
    assert 'value="claude-haiku-4-5"' in page(client, "/models/backend/edit?name=anthropic")


def test_a_key_is_stored_shown_by_its_end_and_deleted_when_that_is_confirmed(
    services: Services, client: AppClient
) -> None:
    answer = press(client, "/models/keys/edit", {"provider": "openai", "api_key": SECRET})

    assert (answer.status_code, answer.headers["location"]) == (303, "/models/providers")
    text = page(client, "/models/providers")
    assert "stored sealed, ends in <code>show</code>" in text
    for path in (
        "/models/providers",
        "/models/keys/edit?name=openai",
        "/models/audit",
        "/models/keys/delete?name=openai",
    ):
        assert SECRET not in page(client, path)
    assert services.models.latest().sources == {"openai": "database"}

    asked = page(client, "/models/keys/delete?name=openai")
    assert services.models.latest().sources == {"openai": "database"}
    assert press(client, "/models/keys/delete", hidden(asked)).status_code == 303
    assert services.models.latest().sources == {}


@pytest.mark.parametrize(
    ("provider", "key", "status", "said"),
    [
        ("openai", " ", 400, "api_key is blank"),
        ("ollama", SECRET, 400, "ollama takes no key"),
        ("skynet", SECRET, 400, "is no provider"),
    ],
)
def test_a_key_that_is_refused_is_not_written_back(
    services: Services, client: AppClient, provider: str, key: str, *, status: int, said: str
) -> None:
    answer = press(client, "/models/keys/edit", {"provider": provider, "api_key": key})

    assert (answer.status_code, SECRET in answer.text) == (status, False)
    assert said in answer.text
    assert services.models.latest().sources == {}


def test_without_a_seed_a_key_is_refused_with_what_to_set(database_url: str) -> None:
    services = web_services(database_url)
    with client_of(services) as client:
        answer = press(client, "/models/keys/edit", {"provider": "openai", "api_key": SECRET})
    close_services(services)

    assert answer.status_code == 400
    assert "AURORA_SECRET_KEY" in answer.text


def test_deleting_asks_first_and_says_what_counts_then(services: Services, client: AppClient) -> None:
    managing.put_alias(services, "me", Alias(name="fast", target=HAIKU))

    asked = page(client, "/models/aliases/delete?name=fast")
    assert "A model of that name is meant by it again" in asked
    assert len(state(services).aliases) == 1

    assert press(client, "/models/aliases/delete", hidden(asked)).status_code == 303
    assert state(services).aliases == ()
    assert client.get("/models/aliases/delete?name=fast", headers=FORM).status_code == 404
    assert press(client, "/models/aliases/delete", hidden(asked)).status_code == 404


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/models/nothing/edit"),
        ("GET", "/models/backend/delete?name=openai"),
        ("POST", "/models/backend/delete"),
        ("GET", "/models/access/delete?name=none"),
    ],
)
def test_a_page_that_is_none_is_told_in_a_page(client: AppClient, method: str, path: str) -> None:
    answer = client.request(method, path, headers=FORM)

    assert (answer.status_code, answer.headers["content-type"]) == (404, "text/html; charset=utf-8")


@pytest.mark.parametrize("body", [b"\xff\xfe", b"&".join(b"f%d=1" % n for n in range(30)), b"name=" + b"x" * 5000])
def test_what_is_no_form_is_refused(services: Services, client: AppClient, body: bytes) -> None:
    assert client.post("/models/aliases/edit", headers=FORM, content=body).status_code == 400
    assert state(services).aliases == ()


def test_nothing_that_was_written_acts(services: Services, client: AppClient) -> None:
    managing.put_alias(services, HOSTILE, Alias(name=HOSTILE, target=HAIKU, description=HOSTILE))
    managing.put_rule(services, HOSTILE, AccessRule(selector=HOSTILE, user_paths=("/a",)))
    managing.put_price(services, HOSTILE, PriceOverride(selector=HOSTILE, pricing={"currency": "USD"}))
    name = urlencode({"name": HOSTILE})
    paths = [
        "",
        "/aliases",
        "/access",
        "/prices",
        "/audit",
        *(f"/{k}/{v}?{name}" for k in ("aliases", "access", "prices") for v in ("edit", "delete")),
    ]

    texts = [page(client, f"/models{path}") for path in paths]

    assert not [text for text in texts if "<script" in text or "<img" in text]
    review = press(client, "/models/aliases/edit", FAST | {"name": HOSTILE, "description": HOSTILE}).text
    assert "<script" not in review
    assert hidden(review)["name"] == HOSTILE


def test_the_chain_is_shown_page_by_page_and_verified(services: Services, client: AppClient) -> None:
    for number in range(101):
        managing.put_alias(services, "me", Alias(name=f"a{number}", target=HAIKU, enabled=False))

    text = page(client, "/models/audit")
    assert 'href="/models/audit?before=2"' in text
    assert "a0" not in re.findall(r"<td>(a\d+)</td>", text)
    assert re.findall(r"<td>(a\d+)</td>", page(client, "/models/audit?before=2")) == ["a0"]
    assert "Every row is as it was written." in press(client, "/models/audit/verify", {}).text


def test_another_site_changes_nothing(services: Services, client: AppClient) -> None:
    headers = FORM | {"Sec-Fetch-Site": "cross-site"}
    confirmed = reviewed(client, "aliases", FAST)

    answer = client.post("/models/aliases/edit", headers=headers, content=urlencode(confirmed))

    assert (answer.status_code, state(services).aliases) == (403, ())


def test_only_who_may_manage_for_all_is_shown_the_way(services: Services, client: AppClient) -> None:
    assert 'href="/models"' in page(client, "/investigations")
    token = token_for(services, "reports:read", "users:manage", user_path="/team")

    answer = client.get("/investigations", headers=FORM | token)

    assert answer.status_code == 200
    assert 'href="/models"' not in answer.text
    assert client.get("/models", headers=FORM | token).status_code == 403
