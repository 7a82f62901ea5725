"""Sessions on both databases: found by their id alone, gone with the purge, and each in the audit chain."""

from datetime import timedelta

import pytest
from redis import Redis
from sqlalchemy import select, text, update

from tests.builders import close_services
from tests.web_client import web_services
from worker.retention import Retention
from worker.storage import audit, sessions
from worker.storage.database import Database
from worker.storage.session_tables import SessionRow
from worker.storage.sessions import Beginning
from worker.sweeper import Sweeper

HOUR = timedelta(hours=1)
BY_SECRET = Beginning("RCA_API_TOKEN", "RCA_API_TOKEN", bond="the secret of the variable")


def begin(database: Database, beginning: Beginning = BY_SECRET, *, lasts: timedelta = HOUR) -> str:
    with database.transaction() as session:
        return sessions.begin(session, beginning, lasts=lasts)


def find(database: Database, secret: str) -> SessionRow | None:
    with database.transaction() as session:
        return sessions.find(session, secret)


def names(database: Database) -> set[str]:
    with database.transaction() as session:
        return set(session.scalars(select(SessionRow.name)))


def test_a_session_is_found_by_its_whole_id(database: Database) -> None:
    secret = begin(database, Beginning("oidc", "oidc:alice", bond="issuer client", groups=("sre", "staff")))

    row = find(database, secret)

    assert row is not None
    assert (row.begun_by, row.name, row.groups) == ("oidc", "oidc:alice", ["sre", "staff"])
    assert row.expires_at - row.created_at == HOUR
    assert [find(database, other) for other in (secret[:-1], secret + "x", secret.swapcase(), row.hash, "")] == [
        None
    ] * 5


def test_the_database_holds_nothing_to_try_guesses_on(database: Database) -> None:
    secret = begin(database)

    with database.transaction() as session:
        stored = str(session.execute(text("SELECT * FROM sessions")).all())
        told = str([(row.actor, row.subject, row.detail) for row in audit.page(session, limit=5)])
    assert secret not in stored + told
    assert "the secret of the variable" not in stored + told


def test_the_same_secret_leaves_another_fingerprint_in_each_session(database: Database) -> None:
    secrets = [begin(database), begin(database)]

    rows = [find(database, secret) for secret in secrets]

    assert len({row.fingerprint for row in rows if row}) == 2
    for row, secret in zip(rows, secrets, strict=True):
        assert row
        assert sessions.is_bound(row, secret, "the secret of the variable")
        assert not sessions.is_bound(row, secret, "another secret")


def test_a_session_of_no_secret_is_bound_to_none(database: Database) -> None:
    secret = begin(database, Beginning("token", "ci", token_id="tok_1"))

    row = find(database, secret)

    assert row
    assert not sessions.is_bound(row, secret, "")


def test_its_last_use_is_noted_by_the_minute(database: Database) -> None:
    secret = begin(database)
    first = find(database, secret)
    assert first
    with database.transaction() as session:
        session.execute(update(SessionRow).values(last_used_at=first.last_used_at - timedelta(minutes=2)))

    again = find(database, secret)

    assert again
    assert again.last_used_at >= first.last_used_at


def test_one_that_has_run_out_is_none_and_goes_with_the_sweep(database_url: str) -> None:
    services = web_services(database_url)
    over = begin(services.database, Beginning("token", "over", token_id="tok_1"), lasts=timedelta(0))
    begin(services.database, Beginning("token", "live", token_id="tok_2"))

    assert find(services.database, over) is None
    assert names(services.database) == {"over", "live"}
    assert Sweeper(services, Redis(port=1)).sweep()
    assert names(services.database) == {"live"}
    close_services(services)


def test_the_sweep_rests_before_it_looks_again(database_url: str) -> None:
    services = web_services(database_url)
    retention = Retention(services)
    retention.work()
    begin(services.database, Beginning("token", "over", token_id="tok_1"), lasts=timedelta(0))

    retention.work()

    assert names(services.database) == {"over"}
    close_services(services)


def test_beginning_and_end_are_in_the_chain_with_what_they_change(database: Database) -> None:
    secret = begin(database, Beginning("token", "ci", token_id="tok_1"))
    with database.transaction() as session:
        sessions.end(session, secret)
        sessions.end(session, secret)

    with database.transaction() as session:
        acts = [(a.actor, a.action, a.subject, a.detail) for a in reversed(audit.page(session, limit=5))]
        assert audit.find_fault(session) is None
    assert acts == [("ci", "login", "token", {"token": "tok_1"}), ("ci", "logout", "token", {"token": "tok_1"})]
    assert find(database, secret) is None


def test_what_is_rolled_back_leaves_neither(database: Database) -> None:
    def begin_and_break() -> None:
        with database.transaction() as session:
            sessions.begin(session, BY_SECRET, lasts=HOUR)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        begin_and_break()

    assert names(database) == set()
    with database.transaction() as session:
        assert audit.page(session, limit=5) == []
