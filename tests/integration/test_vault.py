"""Keys in Vault: those of providers, and what a file's `vault:` leads to; against a stub of its KV version 2."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from tests.builders import build_services, close_services
from tests.fakes import ScriptedModel
from tests.kv_stub import TOKEN, KvStub
from tests.llm_builders import bare_settings
from tests.web_client import client_of
from worker import managing
from worker.errors import ProviderAuthError, ProviderCredentialMissingError, ProviderUnavailableError
from worker.llm.routing import Role
from worker.llm.secrets import Credentials
from worker.llm.standing import read_standing
from worker.llm.transport import Transport
from worker.llm.vault import KEPT_S, Vault
from worker.services import Services
from worker.storage import audit, provider_keys

MASTER = "master-key-of-the-admin-api"
GIVEN = {"aurora_master_key": MASTER, "openai_api_key": "k", "llm_provider_mode": "direct"}
ADMIN = {"Authorization": f"Bearer {MASTER}"}
Build = Callable[..., Services]


@pytest.fixture
def stub() -> Iterator[KvStub]:
    with KvStub() as running:
        yield running


@pytest.fixture
def build(database_url: str, stub: KvStub) -> Iterator[Build]:
    made: list[Services] = []

    def make(**fields: Any) -> Services:
        given = {"vault_addr": stub.address, "vault_token": TOKEN, **GIVEN}
        made.append(build_services(database_url, ScriptedModel([]), **(given | fields)))
        return made[-1]

    yield make
    for services in made:
        close_services(services)


# 5.3


def found(stub: KvStub, ref: str, **fields: Any) -> str:
    given = {"vault_addr": stub.address, "vault_token": TOKEN} | fields
    return Vault(bare_settings(**given)).find(ref)


def test_5_3_a_reference_names_mount_path_and_field(stub: KvStub) -> None:
    stub.secrets = {"models/openai": [{"api_key": "old"}, {"api_key": "from-vault", "other": "else"}]}

    assert found(stub, "models/openai") == found(stub, "aurorasoc:models/openai#api_key") == "from-vault"
    assert found(stub, "models/openai#other") == "else"


REFUSED: list[tuple[str, dict[str, Any], type[Exception], str]] = [
    ("models/none", {}, ProviderCredentialMissingError, "Vault holds nothing at aurorasoc/models/none"),
    ("models/openai#x", {}, ProviderCredentialMissingError, "vault:models/openai#x holds no x"),
    ("models/openai", {"vault_token": "wrong"}, ProviderAuthError, "Vault refuses VAULT_TOKEN"),
    ("models/openai", {"vault_token": None}, ProviderCredentialMissingError, "set VAULT_ADDR and VAULT_TOKEN"),
    ("a:b:c", {}, ProviderCredentialMissingError, r"write vault:\[mount:\]path\[#field\]"),
]


@pytest.mark.parametrize("row", REFUSED)
def test_5_3_what_is_not_there_or_may_not_be_read_says_so(
    stub: KvStub, row: tuple[str, dict[str, Any], type[Exception], str]
) -> None:
    ref, fields, error, said = row
    stub.secrets = {"models/openai": [{"api_key": "k"}]}

    with pytest.raises(error, match=said):
        found(stub, ref, **fields)


def test_5_3_a_vault_that_is_sealed_is_waited_for_like_a_provider_that_is_down(stub: KvStub) -> None:
    stub.status = 503

    with pytest.raises(ProviderUnavailableError, match="check VAULT_ADDR, and that it is unsealed"):
        found(stub, "models/openai")


def test_5_3_a_rotation_is_seen_and_each_call_does_not_ask(stub: KvStub) -> None:
    now = [0.0]
    stub.secrets = {"models/openai": [{"api_key": "first"}]}
    vault = Vault(bare_settings(vault_addr=stub.address, vault_token=TOKEN), lambda: now[0])
    values = [vault.find("models/openai") for _ in range(3)]
    stub.secrets["models/openai"].append({"api_key": "second"})
    asked = len(stub.asked)

    now[0] += KEPT_S

    assert (values, asked) == (["first"] * 3, 1)
    assert vault.find("models/openai") == "second"


def test_5_3_a_profiles_key_may_be_in_vault(stub: KvStub, tmp_path: Path) -> None:
    stub.secrets = {"models/openai": [{"api_key": "from-vault"}]}
    file = tmp_path / "llm.yaml"
    file.write_text(
        "llm: {providers: [{name: p, type: openai, model: gpt-4o, api_key: 'vault:aurorasoc:models/openai'}]}"
    )
    settings = bare_settings(rca_llm_config=file, vault_addr=stub.address, vault_token=TOKEN)
    standing, transport = read_standing(settings), Transport()

    assert Credentials(lambda: standing, transport).find("vault:aurorasoc:models/openai") == "from-vault"
    transport.close()


# 6.1-6.3


def test_6_1_a_key_goes_to_vault_not_the_database_and_deletion_clears_both(build: Build, stub: KvStub) -> None:
    services = build()
    with client_of(services) as web:
        path = "/api/v1/system/llm/providers/deepseek/key"
        put = web.request("PUT", path, headers=ADMIN, json={"api_key": "sk-deepseek-0123456789"})
        gone = web.request("DELETE", path, headers=ADMIN)

    assert put.json() == {"provider": "deepseek", "key_present": True, "key_last4": "6789", "source": "vault"}
    assert gone.json() == {"provider": "deepseek", "key_present": False, "key_last4": None, "source": None}
    assert stub.secrets == {}
    with services.database.transaction() as session:
        assert provider_keys.all_keys(session) == []


def test_6_2_vault_that_fails_is_a_503_and_nothing_is_written_elsewhere(build: Build, stub: KvStub) -> None:
    services = build()
    stub.status = 503
    with client_of(services) as web:
        path = "/api/v1/system/llm/providers/deepseek/key"
        answer = web.request("PUT", path, headers=ADMIN, json={"api_key": "sk-deepseek-0123456789"})

    assert (answer.status_code, answer.json()["detail"]["error"]) == (503, "provider_unavailable")
    with services.database.transaction() as session:
        assert [(row.action, row.outcome) for row in audit.page(session, limit=9)] == [("key.put", "refused")]
        assert provider_keys.all_keys(session) == []


def test_6_3_keys_in_vault_are_there_at_the_start_and_count_before_all_others(build: Build, stub: KvStub) -> None:
    managing.put_key(build(vault_addr=None, aurora_secret_key="seed"), "me", "openai", "the-key-in-the-database")
    stub.secrets = {"llm-providers/openai": [{"api_key": "the-key-in-vault"}]}

    services = build(aurora_secret_key="seed")

    assert services.models.latest().settings.openai_api_key == SecretStr("the-key-in-vault")
    assert services.router.route(Role.RCA).credential_ref == "env:OPENAI_API_KEY"


def test_6_3_while_vault_is_away_its_keys_stay_as_they_were(build: Build, stub: KvStub) -> None:
    services = build(aurora_secret_key="seed")
    managing.put_key(services, "me", "deepseek", "sk-deepseek-0123456789")
    stub.status = 503

    managing.put_backend(services, "me", "deepseek")

    assert services.models.latest().settings.llm_deepseek_api_key == SecretStr("sk-deepseek-0123456789")
