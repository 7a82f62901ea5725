"""The audit chain on both databases: it is only ever added to, and who changes it all the same is found out (6.4)."""

import json
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from tests.builders import build_services, close_services
from tests.fakes import ScriptedModel
from worker.services import Services
from worker.storage import audit
from worker.storage.audit import Act, Checkpoint

KEY = b"the key of checkpoints"
ROWS = 5


@pytest.fixture
def services(database_url: str) -> Iterator[Services]:
    made = build_services(database_url, ScriptedModel([]))
    with made.database.transaction() as session:
        for i in range(1, ROWS + 1):
            audit.append(session, Act("me", "alias.put", f"alias {i}", {"target": "openai/gpt-4o", "n": i}))
    yield made
    close_services(made)


@pytest.fixture
def rewrite(services: Services) -> Callable[[str], None]:
    """Return what changes the table as somebody would who owns the database."""

    def run(statement: str) -> None:
        is_postgresql = services.database.engine.dialect.name == "postgresql"
        with services.database.transaction() as session:
            if is_postgresql:
                session.execute(text("ALTER TABLE audit_log DISABLE TRIGGER ALL"))
            else:
                for event in ("update", "delete"):
                    session.execute(text(f"DROP TRIGGER IF EXISTS audit_log_stays_{event}"))
            session.execute(text(statement))

    return run


def fault(services: Services, checkpoint: Checkpoint | None = None) -> str | None:
    with services.database.transaction() as session:
        return audit.find_fault(session, checkpoint=checkpoint)


def test_6_4_a_chain_as_it_was_written_has_no_fault(services: Services) -> None:
    assert fault(services) is None


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE audit_log SET actor = 'you' WHERE seq = 2",
        "DELETE FROM audit_log WHERE seq = 5",
        "DELETE FROM audit_log",
    ],
)
def test_6_4_the_database_refuses_to_change_it(services: Services, statement: str) -> None:
    with pytest.raises(DBAPIError, match="only ever added to"), services.database.transaction() as session:
        session.execute(text(statement))

    assert fault(services) is None


@pytest.mark.parametrize(
    ("statement", "said"),
    [
        ("UPDATE audit_log SET actor = 'you' WHERE seq = 3", "row 3 was changed"),
        ("UPDATE audit_log SET detail = '{}' WHERE seq = 1", "row 1 was changed"),
        ("UPDATE audit_log SET outcome = 'refused' WHERE seq = 5", "row 5 was changed"),
        ("UPDATE audit_log SET hash = previous WHERE seq = 2", "row 2 was changed"),
        ("DELETE FROM audit_log WHERE seq = 3", "row 3 is missing"),
        ("DELETE FROM audit_log WHERE seq = 1", "row 1 is missing"),
        ("UPDATE audit_log SET seq = 9 WHERE seq = 4", "row 4 is missing"),
        ("UPDATE audit_log SET previous = hash WHERE seq = 4", "row 4 does not follow the row before it"),
    ],
)
def test_6_4_the_first_bad_row_is_named(
    services: Services, rewrite: Callable[[str], None], statement: str, said: str
) -> None:
    rewrite(statement)

    assert (fault(services) or "").startswith(said)


def test_6_4_a_checkpoint_catches_a_tail_that_was_cut(services: Services, rewrite: Callable[[str], None]) -> None:
    with services.database.transaction() as session:
        checkpoint = audit.make_checkpoint(session, key=KEY)
    rewrite("DELETE FROM audit_log WHERE seq > 3")

    assert fault(services) is None  # the chain alone cannot tell
    assert fault(services, checkpoint) == "rows 4 to 5 are missing: the chain ends before its checkpoint"


def test_6_4_a_checkpoint_is_signed(services: Services) -> None:
    with services.database.transaction() as session:
        checkpoint = audit.make_checkpoint(session, key=KEY)

    assert audit.is_genuine(checkpoint, key=KEY)
    assert not audit.is_genuine(checkpoint, key=b"another")
    assert not audit.is_genuine(Checkpoint(3, checkpoint.hash, checkpoint.signature), key=KEY)


def test_6_4_those_who_write_at_once_make_one_chain(services: Services) -> None:
    def write(number: int) -> None:
        with services.database.transaction() as session:
            audit.append(session, Act(f"writer {number}", "alias.put", json.dumps({"é": number})))

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(write, range(24)))

    assert fault(services) is None
    with services.database.transaction() as session:
        assert [row.seq for row in audit.page(session, limit=100)] == list(range(ROWS + 24, 0, -1))
