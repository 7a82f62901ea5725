"""No key, the platform's or a caller's, whole or in part, is left by real processes in what is kept (3.9, 7.3a).

Providers say the key they were sent again: in errors, in headers, in answers. Everything logs at DEBUG.
"""

import base64
import json
import secrets
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote, quote_plus

import httpx
import pytest
from redis import Redis

from tests.acceptance.system import Provider, System, running, wait_for
from tests.acceptance.test_no_secret_leaks import database_dump, decoded, redis_dump
from tests.builders import report_arguments
from tests.model_server import Exchange, ModelServer, Reply
from tests.receiver import Receiver
from tests.servers import PostgresServer, RedisServer, free_port
from worker.domain.states import Queue

PART_CHARS = 12
STREAM = "rca:incidents"
KINDS = ("says 401", "says 400", "says HTML", "says it in a report")


def new_key(name: str) -> str:
    """Return a key of no known shape, whose spelling in a URL is another."""
    return f"{secrets.token_urlsafe(12)}+{name[:3]}/{secrets.token_urlsafe(18)}"


@dataclass(frozen=True)
class Keys:
    """One key for each way in; `byo_` ones are callers'."""

    variable: str = field(default_factory=lambda: new_key("environment"))
    stored: str = field(default_factory=lambda: new_key("stored"))
    byo_http: str = field(default_factory=lambda: new_key("http"))
    byo_preflight: str = field(default_factory=lambda: new_key("preflight"))
    byo_handle: str = field(default_factory=lambda: new_key("handle"))
    byo_stream: str = field(default_factory=lambda: new_key("stream"))
    byo_list: str = field(default_factory=lambda: new_key("list"))
    byo_rejected: str = field(default_factory=lambda: new_key("rejected"))
    byo_unreadable: str = field(default_factory=lambda: new_key("unreadable"))
    byo_retry: str = field(default_factory=lambda: new_key("retry"))
    master: str = field(default_factory=lambda: new_key("master"))
    seed: str = field(default_factory=lambda: new_key("seed"))

    def found_in(self, said: str | bytes) -> list[str]:
        """Name the keys of which anything is in there, as it stands or in base64."""
        raw = decoded(said.encode() if isinstance(said, str) else said)
        return [name for name, key in vars(self).items() if any(form.encode() in raw for form in forms(key))]


def forms(key: str) -> set[str]:
    """Return what tells a key: itself, its ends, its spelling in URLs, in JSON and at every place in base64."""
    found = {key, key[:PART_CHARS], key[-PART_CHARS:], quote(key, safe=""), quote_plus(key)}
    for shift in range(3):
        inner = base64.b64encode(b"\0" * shift + key.encode())[4:-4].decode()
        found |= {inner, inner.replace("+", "-").replace("/", "_")}
    return found


def echo(exchange: Exchange) -> Reply:
    """Say the key that was sent, in the way that the incident's title asks for."""
    key = (exchange.headers.get("authorization") or exchange.headers.get("x-api-key") or "").removeprefix("Bearer ")
    told = {"x-you-sent": key, "x-in-a-url": quote(key, safe="")}
    told["x-in-base64"] = base64.b64encode(f"user:{key}".encode()).decode()
    error: dict[str, Any] = {"message": f"Incorrect API key provided: {key} (begins {key[:PART_CHARS]})"}
    title = exchange.first_user_text
    if "says 401" in title:
        return Reply(status=401, headers=told, body=json.dumps({"error": error | {"code": "invalid_api_key"}}).encode())
    if "says 400" in title:
        return Reply(status=400, headers=told, body=json.dumps({"error": error | {"param": key}}).encode())
    if "says HTML" in title:
        return Reply(headers=told, body=f"<html><p>You sent {key}</p></html>".encode())
    quoting = report_arguments(summary=f"This model was asked with the key {key}, as base64 {told['x-in-base64']}.")
    slow_s = 30.0 if "is slow" in title and exchange.assistant_turns == 0 else 0.0
    return Reply(text=f"My key is {key}.", tool_calls=[("submit_report", quoting)], headers=told, latency_s=slow_s)


@dataclass
class Site:
    """The whole product on servers of its own."""

    system: System
    server: ModelServer
    redis: RedisServer
    receiver: Receiver
    keys: Keys
    web_port: int
    flower_port: int
    answers: list[str] = field(default_factory=list)

    def post(self, path: str, body: Any, *, method: str = "POST") -> Any:
        headers = {"Authorization": f"Bearer {self.keys.master}"}
        url = f"http://127.0.0.1:{self.web_port}{path}"
        answer = httpx.request(method, url, json=body, headers=headers, timeout=30, trust_env=False)
        self.answers.append(answer.text + str(answer.headers))
        return answer.json()

    def account(self, key: str, **fields: Any) -> dict[str, Any]:
        return {"provider": "openai", "model": "m", "key": key, "base_url": self.server.openai_url, **fields}

    def flower(self, path: str) -> str:
        url = f"http://127.0.0.1:{self.flower_port}{path}"
        return httpx.get(url, auth=("operator", self.keys.master), timeout=10, trust_env=False).raise_for_status().text


@pytest.fixture
def site(provider: Provider, postgres_server: PostgresServer, tmp_path: Path) -> Iterator[Site]:
    keys, redis = Keys(), RedisServer(tmp_path)
    redis.start()
    with Redis.from_url(redis.url) as client:
        for name, value in {"appendonly": "yes", "appendfsync": "always", "rdbcompression": "no"}.items():
            client.config_set(name, value)
    folder = tmp_path / "system"
    folder.mkdir()
    try:
        with ModelServer(echo) as server, Receiver() as receiver:
            given = {
                "OPENAI_API_KEY": keys.variable,
                "OPENAI_BASE_URL": server.openai_url,
                "ANTHROPIC_API_KEY": "",
                "LLM_DEEPSEEK_BASE_URL": server.root,
                "GUARDRAILS_LLM_MODEL": "",
                "AURORA_SECRET_KEY": keys.seed,
                "AURORA_MASTER_KEY": keys.master,
                "BYO_BASE_URL_ALLOWLIST": "127.0.0.1",
                "RCA_CALL_ATTEMPTS": "1",
                "RCA_PROVIDER_OUTAGE_S": "0.5",
                "OTEL_EXPORTER_OTLP_ENDPOINT": receiver.url.removesuffix("/hook"),
            }
            url = postgres_server.create_migrated()
            with running(System(folder, database_url=url, redis_url=redis.url, provider=provider, **given)) as system:
                yield Site(system, server, redis, receiver, keys, free_port(), free_port())
    finally:
        redis.kill()


def start(site: Site) -> None:
    system = site.system
    system.start_flower(port=site.flower_port, auth=f"operator:{site.keys.master}")
    system.start_all(workers=1, slots=8, port=site.web_port)
    system.begin_worker(slots=1, queues=[Queue.QUARANTINE]).wait_for_line("worker_started")
    wait_for(lambda: answers(site), within_s=60, otherwise=lambda: system.processes[0].log()[-2000:])


def answers(site: Site) -> bool:
    try:
        return bool(site.flower("/api/workers?refresh=1"))
    except httpx.HTTPError:
        return False


def enqueue(site: Site, event: dict[str, Any] | str, *, by_list: bool = False) -> None:
    payload = event if isinstance(event, str) else json.dumps(event)
    with Redis.from_url(site.redis.url) as redis:
        if by_list:
            redis.lpush("rca:incidents:list", payload)
        else:
            redis.xadd(STREAM, {"event": payload})


def hand_over(site: Site, kind: str) -> list[str]:
    """Open an incident of this kind by each way in, each with a key of its own; return their titles."""
    keys, tells = site.keys, site.account
    posted: dict[str, dict[str, Any]] = {
        "variable": {"model": "openai/gpt-4.1-mini"},
        "stored": {"model": "deepseek/deepseek-v4-flash"},
        "http": {"llm": tells(keys.byo_http)},
        "preflight": {"llm": tells(keys.byo_preflight, preflight=kind == KINDS[-1])},
    }
    for name, how in posted.items():
        site.post("/v1/incidents", {"title": f"<{name}> {kind}", "service": f"{name} {kind}", **how})
    handle = site.post("/v1/llm/handles", tells(keys.byo_handle))["handle"]
    queued = {"handle": {"handle": handle}, "stream": tells(keys.byo_stream), "list": tells(keys.byo_list)}
    for name, llm in queued.items():
        event = {"title": f"<{name}> {kind}", "service": f"{name} {kind}", "llm": llm}
        enqueue(site, event, by_list=name == "list")
    return [f"<{name}> {kind}" for name in (*posted, *queued)]


def is_over(site: Site, title: str) -> bool:
    return any(row.finished_at is not None for row in site.system.find(title))


def test_7_3a_no_key_is_left_anywhere(site: Site) -> None:
    start(site)
    site.post("/api/v1/system/llm/providers/deepseek/key", {"api_key": site.keys.stored}, method="PUT")
    refused = site.post("/v1/incidents", {"title": "x", "llm": site.account(site.keys.byo_preflight, extra={"a": "b"})})
    assert "llm.extra.a" in refused["detail"]["message"]

    titles = [title for kind in KINDS for title in hand_over(site, kind)]
    broken = site.account(site.keys.byo_rejected, base_url="http://10.0.0.1/v1")
    enqueue(site, {"title": "rejected", "llm": broken})
    enqueue(site, f'{{"title": "unreadable", "llm": {{"api_key": "{site.keys.byo_unreadable}"')
    for title in titles:
        wait_for(lambda title=title: is_over(site, title), within_s=90, otherwise=lambda title=title: title)
    retry_one(site)
    kill_during_a_call(site)
    wait_for(lambda: rejected(site) == 2, within_s=20, otherwise=lambda: str(rejected(site)))

    sent = {str(e.headers.get("authorization")).removeprefix("Bearer ") for e in site.server.exchanges}
    unsent = {"byo_rejected", "byo_unreadable", "master", "seed"}
    assert {name for name, key in vars(site.keys).items() if key not in sent} == unsent
    look_everywhere(site)


def retry_one(site: Site) -> None:
    """Bring a fresh account to one that failed."""
    old = site.system.find("<http> says 401")[0].id
    site.post(f"/v1/investigations/{old}/retry", {"llm": site.account(site.keys.byo_retry)})
    wait_for(
        lambda: all(row.finished_at for row in site.system.find("<http> says 401")),
        within_s=60,
        otherwise=lambda: "the retry goes on",
    )


def kill_during_a_call(site: Site) -> None:
    """End a worker as the kernel would, while it waits for an answer to a caller's key."""
    title = "<killed> is slow"
    worker = next(p for p in site.system.processes if p.name.startswith("worker"))
    site.post("/v1/incidents", {"title": title, "llm": site.account(site.keys.byo_http)})
    wait_for(
        lambda: any(title in e.first_user_text for e in site.server.exchanges), within_s=30, otherwise=lambda: title
    )
    worker.kill()


def rejected(site: Site) -> int:
    with Redis.from_url(site.redis.url) as redis:
        return int(redis.xlen(f"{STREAM}:rejected"))


def persisted(site: Site) -> bytes:
    """Return the bytes of Redis' files: of the append-only ones and of a snapshot."""
    files = [*site.redis.folder.glob("appendonlydir/*"), *site.redis.folder.glob("*.rdb")]
    return b"\n".join(file.read_bytes() for file in files)


def rewrite(site: Site) -> None:
    with Redis.from_url(site.redis.url) as redis:
        redis.bgrewriteaof()
        wait_for(lambda: not redis.info("persistence")["aof_rewrite_in_progress"], within_s=30, otherwise=str)
        redis.bgsave()
        wait_for(lambda: not redis.info("persistence")["rdb_bgsave_in_progress"], within_s=30, otherwise=str)


RAW_ON_THE_QUEUE = ["byo_stream", "byo_list", "byo_rejected", "byo_unreadable"]


def look_everywhere(site: Site) -> None:
    keys = site.keys
    tasks = site.flower("/api/tasks?limit=1000")
    assert "rca.turn" in tasks
    places: dict[str, str | bytes] = {
        "database": database_dump(site.system),
        "Redis": redis_dump(site.redis.url),
        "Flower's tasks": tasks,
        "Flower's workers": site.flower("/api/workers"),
        "spans and metrics": b"\n".join(post.body for post in site.receiver.posts),
        "answers over HTTP": "\n".join(site.answers),
        **{f"log of {process.name}": process.log() for process in site.system.processes},
    }
    assert all('"level": "debug"' in places[f"log of {name}"] for name in ("web", "intake"))  # type: ignore[operator]
    assert "[redacted:known:" in str(places["database"])  # what the models said is stored, without the keys
    assert {place: found for place, said in places.items() if (found := keys.found_in(said))} == {}

    # A raw key on the queue is a command to Redis like any other: with append-only files it stands in them, whatever
    # the bridge deletes afterwards, until they are rewritten. Who cannot have that enqueues a handle.
    assert keys.found_in(persisted(site)) == RAW_ON_THE_QUEUE
    rewrite(site)
    assert keys.found_in(persisted(site)) == []
