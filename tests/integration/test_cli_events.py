"""Commands over the queue, with a real Redis: events in, rejected ones looked after, the bridge as a process."""

import json
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from redis import Redis

from tests.builders import build_services, close_services, drain, incident, submits_report
from tests.databases import migrated_sqlite
from tests.fakes import ScriptedModel
from tests.servers import RedisServer
from worker import pipeline
from worker.cli.enqueue import Sent
from worker.cli.follow import await_intake
from worker.cli.intake import run_intake
from worker.cli.main import main
from worker.cli.system import find_settings
from worker.errors import EventError, UserError
from worker.intake.bridge import Bridge, Names
from worker.intake.events import Offer
from worker.storage import investigations, outbox
from worker.storage.database import Database, database_now
from worker.storage.investigations import Filter

pytestmark = pytest.mark.services
GOOD, BAD = '{"title": "checkout is slow"}', '{"titel": "checkout is slow", "labels": {"password": "hunter2-hunter2"}}'


@pytest.fixture
def names(tmp_path: Path) -> Names:
    return Names(f"rca:{tmp_path.name}", f"rca:{tmp_path.name}:list")


@pytest.fixture
def redis(redis_server: RedisServer) -> Iterator[Redis]:
    with Redis.from_url(redis_server.url) as client:
        yield client


@pytest.fixture
def url(tmp_path: Path) -> str:
    return migrated_sqlite(tmp_path)


@pytest.fixture(autouse=True)
def environment(
    monkeypatch: pytest.MonkeyPatch, *, redis_server: RedisServer, names: Names, url: str, tmp_path: Path
) -> None:
    values = {"REDIS_URL": redis_server.url, "RCA_STREAM": names.stream, "RCA_LIST": names.list}
    for name, value in (values | {"DATABASE_URL": url, "RCA_HOME": str(tmp_path)}).items():
        monkeypatch.setenv(name, value)


def rca(*arguments: str, data: str = "") -> Result:
    return CliRunner().invoke(main, arguments, input=data)


def stored(url: str) -> list[str]:
    """Return the titles of all investigations, newest first."""
    database = Database(url)
    with database.transaction() as session:
        titles = [row.title for row in investigations.page(session, Filter())]
    database.close()
    return titles


def reject(redis: Redis, names: Names, *events: str) -> list[str]:
    """Let a bridge reject these; return their ids among the rejected."""
    bridge = Bridge(redis, names, accept=lambda *_: None, scrub=lambda text: text.replace("hunter2-hunter2", "***"))
    bridge.prepare()
    for event in events:
        redis.xadd(names.stream, {"event": event})
    bridge.work()
    return [event["id"] for event in json.loads(rca("events", "rejected", "--json").stdout)]


def on_stream(redis: Redis, names: Names) -> list[dict[bytes, bytes]]:
    return [fields for _, fields in redis.xrange(names.stream)]  # type: ignore[union-attr]  # the stubs allow async


def eventually(is_so: Callable[[], object], timeout_s: float = 20) -> bool:
    ends = time.monotonic() + timeout_s
    while not is_so() and time.monotonic() < ends:
        time.sleep(0.05)
    return bool(is_so())


def test_events_are_sent_in_order_and_their_ids_printed(redis: Redis, names: Names) -> None:
    result = rca("enqueue", "-", data=f"{GOOD}\n\n{GOOD.replace('slow', 'down')}\n")

    assert result.exit_code == 0
    assert [i.decode() for i, _ in redis.xrange(names.stream)] == result.stdout.split()  # type: ignore[union-attr]  # see above
    assert on_stream(redis, names)[1] == {b"event": b'{"title": "checkout is down"}'}


def test_bad_lines_hold_the_good_ones_back_unless_told_otherwise(redis: Redis, names: Names) -> None:
    held = rca("enqueue", "-", data=f"{GOOD}\n{BAD}\n")
    assert on_stream(redis, names) == []

    sent = rca("enqueue", "-", "--keep-going", data=f"{GOOD}\n{BAD}\n")

    assert (held.exit_code, sent.exit_code) == (2, 2)
    assert on_stream(redis, names) == [{b"event": GOOD.encode()}]
    assert "1 of 2 events are bad and were not sent" in sent.stderr


def test_rejected_events_are_listed_with_their_reason(redis: Redis, names: Names) -> None:
    [rejected_id] = reject(redis, names, BAD)

    listed = rca("events", "rejected").stdout

    assert listed.startswith(f"{rejected_id}  20")
    assert "title: is required" in listed
    assert "hunter2" not in listed


def test_nothing_rejected_is_said() -> None:
    assert rca("events", "rejected").stdout == "no event was rejected\n"


def test_a_mended_event_goes_back_and_leaves_the_rejected(redis: Redis, names: Names, tmp_path: Path) -> None:
    [rejected_id] = reject(redis, names, BAD)
    mended = tmp_path / "mended.json"
    mended.write_text(GOOD)

    result = rca("events", "retry", rejected_id, "--file", str(mended))

    assert result.exit_code == 0
    assert on_stream(redis, names)[-1] == {b"event": GOOD.encode()}
    assert redis.xlen(names.rejected) == 0
    assert "there is no rejected event" in rca("events", "retry", rejected_id, "--file", str(mended)).stderr


def test_an_event_that_is_still_bad_stays_where_it_is(redis: Redis, names: Names) -> None:
    [rejected_id] = reject(redis, names, BAD)

    result = rca("events", "retry", rejected_id)

    assert result.exit_code == 2
    assert f"{rejected_id} stays rejected: title: is required" in result.stderr
    assert redis.xlen(names.rejected) == 1


def test_all_that_a_newer_version_accepts_go_back(redis: Redis, names: Names) -> None:
    reject(redis, names, BAD)
    fields = json.dumps({"event": GOOD, "via": "list"})
    redis.xadd(names.rejected, {"reason": "an older version said no", "message_id": "1-1", "fields": fields})

    result = rca("events", "retry", "--all")

    assert result.exit_code == 2
    assert "1 of 2 rejected events were not moved" in result.stderr
    assert on_stream(redis, names)[-1] == {b"event": GOOD.encode(), b"via": b"list"}
    assert redis.xlen(names.rejected) == 1


def test_a_dropped_event_is_gone(redis: Redis, names: Names) -> None:
    [rejected_id] = reject(redis, names, BAD)

    assert rca("events", "drop", rejected_id).stdout == f"dropped {rejected_id}\n"
    assert redis.xlen(names.rejected) == 0
    assert rca("events", "drop", rejected_id).exit_code == 2


@pytest.mark.parametrize("arguments", [(), ("1-1", "--all"), ("--all", "--file", "-")])
def test_a_retry_names_one_or_all(arguments: tuple[str, ...]) -> None:
    assert "name one ID, with or without --file, or --all" in rca("events", "retry", *arguments).stderr


def test_what_is_no_id_is_not_found() -> None:
    assert "'nonsense' is no id of a rejected event" in rca("events", "drop", "nonsense").stderr


def test_the_intake_takes_in_what_was_sent_and_stops_when_told(redis: Redis, names: Names, url: str) -> None:
    stopping = threading.Event()
    bridge = threading.Thread(target=run_intake, args=(find_settings(), stopping))
    bridge.start()

    message_id = rca("enqueue", "-", data=GOOD).stdout.strip()
    is_taken = eventually(lambda: stored(url))
    stopping.set()
    bridge.join(timeout=20)

    assert is_taken
    assert not bridge.is_alive()
    assert redis.xpending(names.stream, "rca-intake")["pending"] == 0, message_id  # type: ignore[index]  # as above


def test_the_intake_as_a_process_ends_in_order_on_sigterm(url: str) -> None:
    child = subprocess.Popen(
        [sys.executable, "-m", "worker.cli.main", "intake"], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    )
    try:
        rca("enqueue", "-", data=GOOD)
        assert eventually(lambda: stored(url), timeout_s=60)
        child.send_signal(signal.SIGTERM)
        _, logged = child.communicate(timeout=30)
    finally:
        child.kill()
        child.wait()

    assert child.returncode == 0
    assert [json.loads(line)["event"] for line in logged.decode().splitlines()][-1] == "intake_stopped"


def test_without_tables_the_intake_says_so_at_once(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "empty.db").touch()
    monkeypatch.setenv("DATABASE_URL", f"sqlite:///{tmp_path / 'empty.db'}")

    result = rca("intake")

    assert result.exit_code == 2
    assert "run `rca migrate`" in result.stderr


def test_without_a_redis_the_intake_says_what_to_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("REDIS_URL")

    result = rca("intake")

    assert result.exit_code == 2
    assert "no Redis: set REDIS_URL" in result.stderr


def test_an_event_that_outgrows_its_bounds_without_its_secrets_is_rejected(url: str) -> None:
    services = build_services(url, ScriptedModel([]))
    event = incident(title="x" * 485 + " password=abcd")

    with pytest.raises(EventError, match="title: does not fit once secrets and hidden characters are written out"):
        pipeline.accept_many(services, [Offer(event, "stream", "1-1")])

    close_services(services)


def test_waiting_follows_the_event_to_its_report(url: str) -> None:
    stopping = threading.Event()
    worker = threading.Thread(target=work_until, args=(url, stopping))
    bridge = threading.Thread(target=run_intake, args=(find_settings(), stopping))
    worker.start()
    bridge.start()
    try:
        result = rca("enqueue", "-", "--wait", data=GOOD)
    finally:
        stopping.set()
        worker.join(timeout=20)
        bridge.join(timeout=20)

    assert result.exit_code == 0
    assert "turn 1: submit_report" in result.stdout
    assert "Nothing stands out." in result.stdout
    assert "INCONCLUSIVE" in result.stdout


def test_waiting_for_an_event_that_is_rejected_ends_with_the_reason(redis: Redis, names: Names, url: str) -> None:
    fields = {"reason": "too long", "message_id": "5-5", "fields": "{}"}
    redis.xadd(names.rejected, fields)  # type: ignore[arg-type]  # the stubs want invariant values
    database = Database(url)

    with pytest.raises(UserError, match="the event was rejected: too long"):
        await_intake(find_settings(), database, Sent("5-5", "key", "/"), wait=lambda _: None)

    database.close()


def work_until(url: str, stopping: threading.Event) -> None:
    """Stand in for the workers: find steps that are due, as the sweeper does, and run them."""
    services = build_services(url, ScriptedModel([submits_report()]))
    while not stopping.wait(0.05):
        with services.database.transaction() as session:
            outbox.make_all_due(session, database_now(session))
            wake_ups = outbox.take_due(session, database_now(session))
        services.send(wake_ups)
        drain(services)
    close_services(services)
