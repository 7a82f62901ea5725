"""No secret, of the environment or of an incident, is found afterwards anywhere that outlives the work on it."""

import base64
import binascii
import io
import json
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from redis import Redis
from redis.exceptions import RedisError
from rich.console import Console
from sqlalchemy import text

from tests.acceptance.system import (
    ANTHROPIC_KEY,
    ANTHROPIC_MODEL,
    AWS_SECRET,
    OPENAI_KEY,
    OPENAI_MODEL,
    Provider,
    System,
    reports,
    runs,
    wait_for,
)
from tests.cases import CaseRows, write_case
from tests.model_server import Reply
from tests.receiver import Receiver, Say
from worker.domain.report import Report
from worker.llm.accounts import GOOGLE_API, GOOGLE_SETS
from worker.reporting.render import render_json, render_markdown, render_page, render_plain, render_terminal
from worker.storage.tables import Base

Install = Callable[..., System]

API_TOKEN = "canary-api-token-0c4d2f6e88"
IN_DESCRIPTION = "canary-in-description-7d1a"
IN_LABEL = "canary-in-label-55e0"
IN_LOG_LINE = "canary-in-log-line-19bc"
GOOGLE_KEY_ID = "canary-google-key-id-6e1f"
KEYS = {
    "openai": OPENAI_KEY,
    "anthropic": ANTHROPIC_KEY,
    "openrouter": "canary-openrouter-1b9d7c",
    "google": "canary-google-ai-c2e40f",
    "vertex": "canary-token-of-vertex-77ab",
    "azure": "canary-azure-90e3d1",
    "deepseek": "canary-deepseek-4f6a02",
    "vllm": "canary-vllm-e85b19",
    "openai-compatible": "canary-compatible-3d70c6",
}
"""What each provider is sent as it stands; AWS only ever gets a signature."""
CANARIES = (*KEYS.values(), GOOGLE_KEY_ID, AWS_SECRET, API_TOKEN, IN_DESCRIPTION, IN_LABEL, IN_LOG_LINE)
_BASE64 = re.compile(rb"[A-Za-z0-9+/=]{40,}")


@contextmanager
def monitored(url: str) -> Iterator[list[str]]:
    """Collect every command that Redis gets: messages are gone from its keys once they are read."""
    heard: list[str] = []
    with Redis.from_url(url) as redis, redis.monitor() as monitor:

        def listen() -> None:
            try:
                heard.extend(str(command["command"]) for command in monitor.listen())
            except (RedisError, OSError, ValueError, AttributeError):
                return  # the connection was closed: the test is over

        thread = threading.Thread(target=listen, daemon=True)
        thread.start()
        yield heard
        redis.ping()  # it hears in order: once this is there, so is all before
        wait_for(lambda: any("PING" in command for command in heard), within_s=10, otherwise=lambda: str(heard[-3:]))
        monitor.connection.disconnect()
        thread.join(timeout=5)


def decoded(said: bytes) -> bytes:
    """Add what stands in base64 inside, as Celery's messages do."""
    found = [said]
    for match in _BASE64.findall(said):
        try:
            found.append(base64.b64decode(match, validate=True))
        except binascii.Error:
            continue
    return b"\n".join(found)


def database_dump(system: System) -> str:
    with system.services.database.transaction() as session:
        rows = [session.execute(text(f'SELECT t::text FROM "{name}" t')).all() for name in Base.metadata.tables]  # noqa: S608 - our own names
    return "\n".join(str(row[0]) for table in rows for row in table)


def redis_dump(url: str) -> bytes:
    with Redis.from_url(url) as redis:
        return b"\n".join(key + b" " + _value(redis, key) for key in redis.keys("*"))


def _value(redis: Redis, key: bytes) -> bytes:
    kind = redis.type(key)
    if kind == b"string":
        return redis.get(key) or b""
    read: dict[bytes, Callable[[bytes], object]] = {
        b"list": lambda k: redis.lrange(k, 0, -1),
        b"set": redis.smembers,
        b"hash": redis.hgetall,
        b"zset": lambda k: redis.zrange(k, 0, -1),
        b"stream": redis.xrange,
    }
    return repr(read[kind](key)).encode()


def renderings(body: dict[str, object]) -> str:
    report = Report.model_validate(body)
    shown = io.StringIO()
    render_terminal(report, console=Console(file=shown, width=200))
    return "\n".join(
        [shown.getvalue(), *(r(report) for r in (render_json, render_markdown, render_page, render_plain))]
    )


def found_in(said: str | bytes) -> list[str]:
    raw = said.encode() if isinstance(said, str) else said
    return [canary for canary in CANARIES if canary.encode() in decoded(raw)]


def account_of_google(token_uri: str) -> str:
    """Return a service account's key, each part of which would be a secret told."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    pem = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ).decode()
    facts = {"type": "service_account", "client_email": "rca@shop.example", "project_id": "shop"}
    return json.dumps({**facts, "token_uri": token_uri, "private_key": pem, "private_key_id": GOOGLE_KEY_ID})


@pytest.fixture
def google_on_loopback(provider: Provider, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Let routes to Google, whose address nobody can set, lead to the scripted model."""
    url = f"http://127.0.0.1:{provider.port}"
    monkeypatch.setattr("worker.llm.vertex._host", lambda _: url)
    for one in GOOGLE_SETS:
        object.__setattr__(one, "default", url)
    yield
    for one in GOOGLE_SETS:
        object.__setattr__(one, "default", GOOGLE_API)


def all_providers(provider: Provider, token_uri: str) -> dict[str, str]:
    """Return what configures whoever the installation does not configure by itself, each with a key to look for."""
    root = f"http://127.0.0.1:{provider.port}"
    return {
        "OPENROUTER_API_KEY": KEYS["openrouter"],
        "OPENROUTER_BASE_URL": f"{root}/api/v1",
        "GOOGLE_AI_API_KEY": KEYS["google"],
        "VERTEX_AI_SERVICE_ACCOUNT_JSON": account_of_google(token_uri),
        "AZURE_OPENAI_API_KEY": KEYS["azure"],
        "AZURE_OPENAI_ENDPOINT": f"{root}/openai/deployments/mine",
        "AZURE_OPENAI_API_VERSION": "2024-10-21",
        "LLM_DEEPSEEK_API_KEY": KEYS["deepseek"],
        "LLM_DEEPSEEK_BASE_URL": root,
        "VLLM_API_KEY": KEYS["vllm"],
        "VLLM_BASE_URL": root,
        "LLM_OPENAI_COMPATIBLE_API_KEY": KEYS["openai-compatible"],
        "LLM_OPENAI_COMPATIBLE_BASE_URL": f"{root}/gateway/v1",
    }


MODELS = {
    "openai": OPENAI_MODEL,
    "openai, one that reasons": "openai/gpt-5-mini",
    "anthropic": ANTHROPIC_MODEL,
    "bedrock": "bedrock/us.anthropic.claude-haiku-4-5-20251001-v1:0",
    "openrouter": "openrouter/auto",
    "google": "google/gemini-2.5-flash",
    "vertex": "vertex/gemini-2.5-flash",
    "azure": "azure/mine",
    "deepseek": "deepseek/deepseek-v4-flash",
    "vllm": "vllm/qwen3-32b",
    "openai-compatible": "openai-compatible/anything",
    "ollama": "ollama/qwen3:8b",
}


@pytest.mark.usefixtures("google_on_loopback")
def test_no_secret_is_in_database_redis_logs_report_or_tasks(
    install: Install, provider: Provider, tmp_path: Path
) -> None:
    log_line = ("2026-03-01T12:00:00Z", "checkout", "ERROR", f"login failed, password={IN_LOG_LINE}", None, None)
    write_case(tmp_path / "cases" / "leaky", CaseRows(logs=[log_line]))
    told = json.dumps({"access_token": KEYS["vertex"], "expires_in": 3600, "token_type": "Bearer"}).encode()
    with Receiver([Say(headers={"content-type": "application/json"}, body=told)]) as tokens:
        system = install(
            RCA_API_TOKEN=API_TOKEN,
            RCA_RECORDED_ROOT=str(tmp_path / "cases"),
            **all_providers(provider, tokens.url),
        )
        with monitored(system.redis_url) as heard:
            system.start_worker(slots=8)
            opened = {name: open_leaky(system, name, model) for name, model in MODELS.items()}
            found = {name: system.wait_until_completed(investigation) for name, investigation in opened.items()}
            queue = redis_dump(system.redis_url)

    asked = {name: system.provider.exchanges(marker_of(name))[0].headers for name in MODELS}
    assert {name: key in str(asked[name]) for name, key in KEYS.items()} == dict.fromkeys(KEYS, True)
    for investigation in opened.values():
        log_result = system.tool_calls(investigation)["e2.1"]
        assert log_result.status == "succeeded"
        assert "login failed" in (log_result.text or "")
    assert "rca.turn" in "\n".join(heard)
    assert found_in(database_dump(system)) == []
    assert found_in(queue) == []
    assert found_in("\n".join(heard)) == []
    assert [found_in(process.log()) for process in system.processes] == [[]]
    assert {name: found_in(renderings(report)) for name, report in found.items()} == {name: [] for name in MODELS}


def marker_of(name: str) -> str:
    return f"full of secrets, for <{name}>"


def open_leaky(system: System, name: str, model: str) -> str:
    """Open an incident that holds secrets, with a model that says some and makes tools say others."""
    echoing = runs(f"echo {OPENAI_KEY}", "env", text=f"Your proxy shows me the key {OPENAI_KEY}.")
    searching = Reply(tool_calls=[("search_logs", {})])
    quoting = reports(summary=f"The key {ANTHROPIC_KEY} and the token {API_TOKEN} are known to this model.")
    system.provider.play(marker_of(name), [echoing, searching, quoting])
    return system.open(
        marker_of(name),
        model=model,
        service=f"checkout of {name}",
        description=f"db login with password={IN_DESCRIPTION} fails; the agent's key is {OPENAI_KEY}",
        labels={"recorded_case": "leaky", "api_key": IN_LABEL},
        raw={"Authorization": f"Bearer {API_TOKEN}"},
    )


def test_a_model_is_sent_no_secret_of_the_incident_or_its_tools(install: Install, tmp_path: Path) -> None:
    marker = "nothing to tell the model"
    log_line = ("2026-03-01T12:00:00Z", "checkout", "ERROR", f"login failed, password={IN_LOG_LINE}", None, None)
    write_case(tmp_path / "cases" / "leaky", CaseRows(logs=[log_line]))
    system = install(RCA_RECORDED_ROOT=str(tmp_path / "cases"))
    system.provider.play(marker, [Reply(tool_calls=[("search_logs", {})]), reports()])
    system.start_worker()

    labels = {"recorded_case": "leaky", "api_key": IN_LABEL}
    system.wait_until_completed(system.open(marker, labels=labels, description=f"password={IN_DESCRIPTION}"))

    sent = "\n".join(str(exchange.body) for exchange in system.provider.exchanges(marker))
    assert "login failed" in sent
    assert found_in(sent) == []
