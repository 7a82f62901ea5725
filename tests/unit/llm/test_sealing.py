"""What is sealed is opened by its seed alone, and without the extra that is said."""

import sys
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.llm_builders import bare_settings
from worker.errors import ConfigError, SealError
from worker.llm import extras
from worker.llm.sealing import Seals


def seals(**fields: Any) -> Seals:
    return Seals(bare_settings(**fields))


NOW = seals(aurora_secret_key="a-seed")
AFTER = seals(aurora_secret_key="the-next", aurora_secret_key_previous="a-seed")
OTHER = seals(aurora_secret_key="another")


@given(st.text())
def test_what_is_sealed_is_opened_with_its_seed_and_with_the_next_but_no_other(text: str) -> None:
    sealed, seed_id = NOW.seal(text)

    assert NOW.open(sealed, seed_id) == AFTER.open(sealed, seed_id) == text
    with pytest.raises(SealError, match="another seed"):
        OTHER.open(sealed, seed_id)


def test_the_present_seed_seals() -> None:
    sealed, seed_id = AFTER.seal("key")

    assert seals(aurora_secret_key="the-next").open(sealed, seed_id) == "key"


def test_another_services_seed_serves_where_ours_is_unset() -> None:
    sealed, seed_id = seals(jwt_secret_key="a-seed").seal("key")

    assert NOW.open(sealed, seed_id) == "key"
    assert seals(aurora_secret_key="a-seed", jwt_secret_key="another").open(sealed, seed_id) == "key"


def test_one_purpose_does_not_open_what_another_sealed() -> None:
    sealed, seed_id = NOW.seal("key")

    with pytest.raises(SealError, match="changed"):
        Seals(bare_settings(aurora_secret_key="a-seed"), purpose="something else").open(sealed, seed_id)


def test_without_the_extra_both_ways_say_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    sealed, seed_id = NOW.seal("key")
    monkeypatch.setattr(extras, "find_spec", lambda _name: None)
    monkeypatch.setitem(sys.modules, "cryptography.fernet", None)
    fresh = seals(aurora_secret_key="a-seed")

    for attempt in (lambda: fresh.seal("key"), lambda: fresh.open(sealed, seed_id)):
        with pytest.raises(ConfigError, match=r"pip install 'rca-worker\[keys\]'"):
            attempt()
