"""`rca tokens` on both databases: shown once, listed without secrets, revoked at once."""

from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from worker.cli.main import main
from worker.storage import audit, tokens
from worker.storage.database import Database

Run = Callable[..., Result]


@pytest.fixture
def run(database_url: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Run:
    monkeypatch.setenv("DATABASE_URL", database_url)
    monkeypatch.setenv("RCA_HOME", str(tmp_path))
    return lambda *arguments: CliRunner().invoke(main, ["tokens", *arguments])


def create(run: Run, *options: str) -> str:
    """Return the secret of a new token."""
    return run("create", "--name", "grafana", "--scope", "incidents:write", *options).stdout.strip()


def identify(database: Database, secret: str) -> tokens.Identity | None:
    with database.transaction() as session:
        return tokens.identify(session, secret)


def test_a_secret_stands_alone_on_standard_output_and_works(run: Run, database: Database) -> None:
    secret = create(run, "--user-path", "team/alpha/", "--expires-days", "1")

    identity = identify(database, secret)

    assert identity == tokens.Identity("grafana", frozenset({"incidents:write"}), "/team/alpha")


def test_the_list_has_no_secrets(run: Run) -> None:
    secret = create(run, "--expires-days", "30")

    listed = run("list").stdout

    assert listed.startswith("tok_")
    assert "live until 20" in listed
    assert "incidents:write  /  never used  grafana" in listed
    assert secret not in listed


def test_an_expired_token_is_listed_as_such(run: Run, database: Database) -> None:
    secret = create(run, "--expires-days", "0.000000001")

    assert "  expired 20" in run("list").stdout
    assert identify(database, secret) is None


def test_a_revoked_token_ends_at_once(run: Run, database: Database) -> None:
    secret = create(run)
    token_id = run("list").stdout.split()[0]

    assert run("revoke", token_id).stdout == f"{token_id} is revoked\n"
    assert identify(database, secret) is None
    assert "  revoked  " in run("list").stdout
    assert "there is no live token" in run("revoke", token_id).stderr


def test_both_are_in_the_audit_chain_without_the_secret(run: Run, database: Database) -> None:
    secret = create(run, "--user-path", "/team")
    token_id = run("list").stdout.split()[0]
    run("revoke", token_id)
    run("revoke", token_id)

    with database.transaction() as session:
        acts = list(reversed(audit.page(session, limit=5)))
        assert audit.find_fault(session) is None
    assert [(act.action, act.subject, act.outcome) for act in acts] == [
        ("token.create", token_id, "done"),
        ("token.revoke", token_id, "done"),
    ]
    told = {"name": "grafana", "scopes": ["incidents:write"], "user_path": "/team", "expires_at": None}
    assert acts[0].detail == told
    assert acts[0].actor.startswith("cli:")
    assert secret not in str([act.detail for act in acts])


def test_no_token_is_said(run: Run) -> None:
    assert run("list").stdout == "there is no token; `rca tokens create` makes one\n"


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--scope", "everything"), "'everything' is not one of 'incidents:write'"),
        (("--user-path", "/a/../b"), "segments of user_path are not empty"),
        (("--expires-days", "0"), "0<x<=36500"),
    ],
)
def test_what_a_token_cannot_have_is_an_error_of_usage(options: tuple[str, ...], said: str, run: Run) -> None:
    result = run("create", "--name", "x", "--scope", "incidents:write", *options)

    assert result.exit_code == 2
    assert said in " ".join(result.stderr.split())
