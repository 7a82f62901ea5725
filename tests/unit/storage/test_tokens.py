"""A token: shown once, good until it expires or is revoked, never to be found in the database."""

from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import text

from worker.errors import NotFoundError, UserError
from worker.storage import tokens
from worker.storage.database import Database
from worker.storage.tokens import Identity

SOON = datetime.now(UTC) + timedelta(hours=1)
PAST = datetime.now(UTC) - timedelta(seconds=1)


def create(storage: Database, *, expires_at: datetime | None = None) -> tuple[str, str]:
    with storage.transaction() as session:
        scopes = ("reports:read",)
        return tokens.create(session, "test", name="ci", scopes=scopes, user_path="/team/a", expires_at=expires_at)


def identify(storage: Database, secret: str) -> Identity | None:
    with storage.transaction() as session:
        return tokens.identify(session, secret)


@pytest.mark.parametrize("expires_at", [None, SOON])
def test_a_token_says_who_holds_it(storage: Database, expires_at: datetime | None) -> None:
    _, secret = create(storage, expires_at=expires_at)

    assert identify(storage, secret) == Identity("ci", frozenset({"reports:read"}), "/team/a")


def test_a_token_that_has_expired_is_nobodys(storage: Database) -> None:
    _, secret = create(storage, expires_at=PAST)

    assert identify(storage, secret) is None


def test_a_revoked_token_is_nobodys_and_cannot_be_revoked_again(storage: Database) -> None:
    token_id, secret = create(storage)

    with storage.transaction() as session:
        tokens.revoke(session, "test", token_id)

    assert identify(storage, secret) is None
    with pytest.raises(NotFoundError, match=token_id), storage.transaction() as session:
        tokens.revoke(session, "test", token_id)


@pytest.mark.parametrize("change", [str.upper, lambda s: s[:-1], lambda s: s + " ", lambda _: ""])
def test_only_the_whole_secret_is_known(storage: Database, change: object) -> None:
    _, secret = create(storage)
    assert callable(change)

    assert identify(storage, change(secret)) is None


def test_the_database_holds_no_secret_and_not_its_random_part(storage: Database) -> None:
    _, secret = create(storage)

    with storage.transaction() as session:
        held = str(session.execute(text("SELECT * FROM tokens")).all())
    assert secret.removeprefix(tokens.PREFIX) not in held
    assert "ci" in held


def test_no_two_tokens_share_a_secret(storage: Database) -> None:
    assert len({create(storage)[1] for _ in range(20)}) == 20


@pytest.mark.parametrize("scopes", [(), ("reports:read", "root")])
def test_scopes_are_from_the_list(storage: Database, scopes: tuple[str, ...]) -> None:
    with pytest.raises(UserError, match="reports:read"), storage.transaction() as session:
        tokens.create(session, "test", name="ci", scopes=scopes)


def test_use_is_noted_at_most_once_a_minute(storage: Database) -> None:
    token_id, secret = create(storage)
    identify(storage, secret)
    with storage.transaction() as session:
        first = session.get_one(tokens.TokenRow, token_id).last_used_at

    identify(storage, secret)

    with storage.transaction() as session:
        row = session.get_one(tokens.TokenRow, token_id)
        assert row.last_used_at == first is not None
        row.last_used_at = first - tokens.USE_NOTED_EVERY * 2
    identify(storage, secret)
    with storage.transaction() as session:
        assert session.get_one(tokens.TokenRow, token_id).last_used_at >= first  # type: ignore[operator]  # noted again
