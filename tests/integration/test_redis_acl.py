"""The example of who may do what: a producer appends events, the product does everything it needs."""

import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis
from celery import Celery

from tests.servers import free_port
from worker.cli.embedded import answers

pytestmark = [
    pytest.mark.services,
    pytest.mark.skipif(not shutil.which("redis-server"), reason="no redis-server on PATH"),
]

ACL = Path(__file__).parents[2] / "deploy" / "users.acl.example"


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder, port = tmp_path_factory.mktemp("redis"), free_port()
    conf = folder / "redis.conf"
    conf.write_text(f'bind 127.0.0.1\nport {port}\ndir "{folder}"\nsave ""\naclfile "{ACL}"\n')
    server = subprocess.Popen(["redis-server", str(conf)], stdout=subprocess.DEVNULL)
    try:
        deadline_s = time.monotonic() + 10
        while not answers(f"redis://worker:change-this-worker-password@127.0.0.1:{port}/0"):
            assert time.monotonic() < deadline_s
            time.sleep(0.05)
        yield f"127.0.0.1:{port}/0"
    finally:
        server.terminate()
        server.wait()


@pytest.fixture
def producer(address: str) -> Iterator[redis.Redis]:
    with redis.Redis.from_url(f"redis://producer:change-this-producer-password@{address}") as client:
        yield client


@pytest.fixture
def worker_url(address: str) -> str:
    return f"redis://worker:change-this-worker-password@{address}"


def test_a_producer_may_append_an_event(producer: redis.Redis) -> None:
    assert producer.xadd("rca:incidents", {"event": '{"title": "x"}'})


@pytest.mark.parametrize(
    "command",
    [
        ("XADD", "rca:other", "*", "event", "{}"),
        ("XRANGE", "rca:incidents", "-", "+"),
        ("XDEL", "rca:incidents", "0-1"),
        ("XTRIM", "rca:incidents", "MAXLEN", "0"),
        ("DEL", "rca:incidents"),
        ("LPUSH", "rca", "{}"),
        ("KEYS", "*"),
        ("CONFIG", "GET", "*"),
        ("FLUSHALL",),
        ("PUBLISH", "a", "b"),
    ],
)
def test_a_producer_may_do_nothing_else(command: tuple[str, ...], producer: redis.Redis) -> None:
    with pytest.raises(redis.exceptions.NoPermissionError):
        producer.execute_command(*command)


def test_nobody_gets_in_without_a_name(address: str) -> None:
    assert not answers(f"redis://{address}")


def test_the_worker_reads_the_stream_in_a_group(worker_url: str, producer: redis.Redis) -> None:
    sent = producer.xadd("rca:incidents", {"event": "{}"})
    with redis.Redis.from_url(worker_url) as client:
        client.xgroup_create("rca:incidents", "bridge", id="0")

        [[_, entries]] = client.xreadgroup("bridge", "one", {"rca:incidents": ">"})

    assert sent in [entry_id for entry_id, _ in entries]


def test_celery_works_for_the_worker(worker_url: str) -> None:
    with Celery(broker=worker_url) as app:
        app.send_task("rca.turn", args=["agent-1", 1], queue="rca")
        with app.connection_for_read() as connection, connection.SimpleQueue("rca") as queue:
            message = queue.get(timeout=5)
            message.ack()

        assert message.payload[0] == ["agent-1", 1]


def test_the_worker_may_not_empty_the_server(worker_url: str) -> None:
    with redis.Redis.from_url(worker_url) as client, pytest.raises(redis.exceptions.NoPermissionError):
        client.flushall()
