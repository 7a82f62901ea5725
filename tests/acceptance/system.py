"""The whole product as its processes: workers, intake and Flower on real servers, a scripted model as the provider."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from http import HTTPStatus
from pathlib import Path
from typing import Any, TypeVar

import httpx
from redis import Redis
from sqlalchemy import select

from tests.builders import build_services, close_services, incident, report_arguments
from tests.fakes import ScriptedModel
from tests.model_server import Exchange, ModelServer, Reply
from tests.orchestra import part_by
from worker import pipeline
from worker.celery import Sender, create_app
from worker.cli.processes import MAIN_QUEUES
from worker.domain.states import InvestigationStatus
from worker.ops.children import tied_to_parent
from worker.storage.migrate import migrate
from worker.storage.tables import AgentRow, IncidentRow, InvestigationRow, ReportRow, ToolCallRow, TurnRow

T = TypeVar("T")


POLL_S = 0.03
OPENAI_KEY = "canary-openai-5f2c9b7a41"
ANTHROPIC_KEY = "canary-anthropic-83e1d06c92"
AWS_SECRET = "canary-aws-secret-0b7d55e3fa"
OPENAI_MODEL = "openai/gpt-4.1-mini"
ANTHROPIC_MODEL = "anthropic/claude-sonnet-4.5"
JUDGE_TOOL = "decide_commands"


def wait_for(look: Callable[[], T | None], *, within_s: float, otherwise: Callable[[], str]) -> T:
    """Return the first thing found; fail with what `otherwise` says once the time is up."""
    ends = time.monotonic() + within_s
    while time.monotonic() < ends:
        found = look()
        if found:
            return found
        time.sleep(POLL_S)
    raise AssertionError(f"not within {within_s:g} s: {otherwise()}")


def runs(*commands: str, **fields: Any) -> Reply:
    """Ask for commands, all in one turn."""
    calls = [("run_command", {"command": c, "purpose": f"call {i}"}) for i, c in enumerate(commands, 1)]
    return Reply(tool_calls=calls, **fields)


def reports(**fields: Any) -> Reply:
    return Reply(tool_calls=[("submit_report", report_arguments(**fields))])


def counts_in(file: Path) -> str:
    """Return a command no rule decides that leaves a line in the file each time it runs: the judge allows it."""
    return f"echo ran >> {file}"


def times_run(file: Path) -> int:
    return len(file.read_text().splitlines()) if file.exists() else 0


Script = Mapping[str, Sequence[Reply]]
"""The replies of each part, turn by turn: `single`; or `lead`, roles of sub-agents, `verify`."""


class Provider:
    """The scripted model behind every investigation. A script belongs to the incident whose title holds its marker."""

    def __init__(self) -> None:
        self._scripts: dict[str, Script] = {}
        self._slow: dict[tuple[str, str, int], float] = {}
        self._slow_judge: dict[str, float] = {}
        self._mutex = threading.Lock()
        self._exchanges: list[Exchange] = []
        self._is_down = False
        self._server = ModelServer(self._answer)
        self.port = self._server.port

    def close(self) -> None:
        self._server.close()

    def go_down(self) -> None:
        """Refuse new connections and drop the open ones."""
        self._is_down = True
        self._server.close()

    def come_back(self) -> None:
        self._is_down = False
        self._server = ModelServer(self._answer, port=self.port)

    def environment(self) -> dict[str, str]:
        return {
            "LLM_PROVIDER_MODE": "direct",
            "OPENAI_API_KEY": OPENAI_KEY,
            "OPENAI_BASE_URL": f"http://127.0.0.1:{self.port}/v1",
            "ANTHROPIC_API_KEY": ANTHROPIC_KEY,
            "ANTHROPIC_BASE_URL": f"http://127.0.0.1:{self.port}",
            "OLLAMA_BASE_URL": f"http://127.0.0.1:{self.port}",
            "BEDROCK_REGION": "us-east-1",
            "BEDROCK_ACCESS_KEY_ID": "AKIAZQ7WM4V9LKTT",
            "BEDROCK_SECRET_ACCESS_KEY": AWS_SECRET,
            "AWS_ENDPOINT_URL_BEDROCK_RUNTIME": f"http://127.0.0.1:{self.port}",
            "RCA_MODEL": OPENAI_MODEL,
            "GUARDRAILS_LLM_MODEL": OPENAI_MODEL,
        }

    def play(self, marker: str, replies: Sequence[Reply], *, slow_once: Mapping[int, float] | None = None) -> None:
        """Answer the n-th turn with the n-th reply; `slow_once` holds turns back, by seconds, the first time only."""
        slow = {("single", turn): seconds for turn, seconds in (slow_once or {}).items()}
        self.play_parts(marker, {"single": replies}, slow_once=slow)

    def play_parts(
        self, marker: str, script: Script, *, slow_once: Mapping[tuple[str, int], float] | None = None
    ) -> None:
        """Answer each part from its own replies; `slow_once` holds turns of parts back, the first time only."""
        self._scripts[marker] = script
        self._slow |= {(marker, *turn): seconds for turn, seconds in (slow_once or {}).items()}

    def delay_judge_once(self, text: str, seconds: float) -> None:
        """Hold the judge back the first time it is asked about a command with this text."""
        self._slow_judge[text] = seconds

    def exchanges(self, marker: str) -> list[Exchange]:
        """Return the turns asked for in this investigation."""
        return [e for e in self._exchanges if marker in e.first_user_text and not _is_judge(e)]

    def turns(self, marker: str) -> dict[int, int]:
        """Count the requests by turn, from 1."""
        return dict(Counter(e.assistant_turns + 1 for e in self.exchanges(marker)))

    def asked(self, marker: str) -> dict[tuple[str, int], int]:
        """Count the requests by part and turn."""
        return dict(Counter((part_of(e), e.assistant_turns + 1) for e in self.exchanges(marker)))

    def judge_calls(self, text: str) -> int:
        """Count the judge's requests about commands with this text."""
        return sum(_is_judge(e) and text in e.first_user_text for e in self._exchanges)

    def _answer(self, exchange: Exchange) -> Reply:
        with self._mutex:
            if self._is_down:
                return Reply(drop=True)
            self._exchanges.append(exchange)
            return self._judge(exchange) if _is_judge(exchange) else self._turn(exchange)

    def _judge(self, exchange: Exchange) -> Reply:
        asked = json.loads(exchange.first_user_text)["commands"]
        decisions = [{"id": c["id"], "verdict": "allow", "reason": "it only counts"} for c in asked]
        latency_s = sum(self._slow_judge.pop(t) for t in list(self._slow_judge) if t in exchange.first_user_text)
        return Reply(tool_calls=[(JUDGE_TOOL, {"decisions": decisions})], latency_s=latency_s)

    def _turn(self, exchange: Exchange) -> Reply:
        marker = max((m for m in self._scripts if m in exchange.first_user_text), key=len)
        part, turn = part_of(exchange), exchange.assistant_turns + 1
        replies = self._scripts[marker][part]
        reply = replies[min(turn, len(replies)) - 1]
        return replace(reply, latency_s=reply.latency_s + self._slow.pop((marker, part, turn), 0.0))


def part_of(exchange: Exchange) -> str:
    """Say who is asked."""
    return part_by(exchange.system, [t.name for t in exchange.tools])


def _is_judge(exchange: Exchange) -> bool:
    return [t.name for t in exchange.tools] == [JUDGE_TOOL]


class Process:
    """One process of the product; its log is a file."""

    def __init__(self, name: str, argv: Sequence[str], *, folder: Path, environment: Mapping[str, str]) -> None:
        self.name = name
        self.log_file = folder / f"{name}.log"
        with self.log_file.open("ab") as log:
            self._process = subprocess.Popen(
                [*tied_to_parent("TERM"), *argv], stdout=log, stderr=log, cwd=folder, env=dict(environment)
            )

    @property
    def pid(self) -> int:
        """The process itself: `setpriv` before it only becomes it."""
        return self._process.pid

    @property
    def is_alive(self) -> bool:
        return self._process.poll() is None

    def log(self) -> str:
        return self.log_file.read_text(errors="replace")

    def wait_for_line(self, words: str, *, within_s: float = 30) -> None:
        wait_for(lambda: words in self.log(), within_s=within_s, otherwise=lambda: f"{words!r}\n{self.log()[-4000:]}")

    def kill(self) -> None:
        """End it as the kernel would: it notices nothing."""
        self._process.kill()
        self._process.wait(timeout=10)

    def freeze(self) -> None:
        self._process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        self._process.send_signal(signal.SIGCONT)

    def terminate(self, *, within_s: float) -> int:
        """Ask it to end, and return its exit code."""
        self._process.send_signal(signal.SIGTERM)
        return self._process.wait(timeout=within_s)


class System:
    """One installation: a database, a Redis, and the processes started on them."""

    def __init__(
        self, folder: Path, *, database_url: str, redis_url: str, provider: Provider, **environment: str
    ) -> None:
        self.folder = folder
        self.provider = provider
        self.redis_url = redis_url
        self.environment = {
            **{name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ},
            "DATABASE_URL": database_url,
            "REDIS_URL": redis_url,
            "RCA_HOME": str(folder / "home"),
            "RCA_LOG_LEVEL": "DEBUG",
            "RCA_SANDBOX": "none",  # commands leave traces in files, by which tests count how often they ran
            **provider.environment(),
            **environment,
        }
        self.database_dsn = database_url.replace("+psycopg", "")
        self.processes: list[Process] = []
        migrate(database_url)
        fields = {name.lower(): value for name, value in self.environment.items() if name not in {"PATH", "HOME"}}
        built = build_services(fields.pop("database_url"), ScriptedModel([]), **fields)
        self._app = create_app(built.settings)
        self.services = replace(built, send=Sender(self._app))

    def close(self) -> None:
        for process in self.processes:
            process.kill()
        self._app.close()
        close_services(self.services)

    # Processes

    def start_worker(self, *, slots: int = 4, queues: Sequence[str] = MAIN_QUEUES, **environment: str) -> Process:
        """Start a worker as the Procfile does, and wait until it says that it has."""
        process = self.begin_worker(slots=slots, queues=queues, **environment)
        process.wait_for_line("worker_started")
        return process

    def begin_worker(self, *, slots: int = 4, queues: Sequence[str] = MAIN_QUEUES, **environment: str) -> Process:
        name = f"worker-{len(self.processes) + 1}"
        argv = (
            *(sys.executable, "-m", "celery", "-A", "worker.celery", "worker", "-P", "threads", "-c", str(slots)),
            *("-Q", ",".join(queues), "-E", "-n", f"{name}@%h"),
            *("--without-gossip", "--without-mingle", "--prefetch-multiplier=1"),
        )
        return self.start(name, argv, **environment)

    def start_intake(self) -> Process:
        """Start the bridge, and wait until it listens."""
        process = self.start("intake", (sys.executable, "-m", "worker.cli.main", "intake"))
        with Redis.from_url(self.redis_url) as redis:
            wait_for(lambda: redis.exists("rca:incidents"), within_s=60, otherwise=process.log)
        return process

    def start_web(self, *, port: int) -> Process:
        """Start the web process on loopback, and wait until it is ready."""
        process = self.begin_web(port=port)
        wait_for(lambda: _is_ready(port), within_s=60, otherwise=process.log)
        return process

    def begin_web(self, *, port: int) -> Process:
        return self.start("web", (sys.executable, "-m", "worker.cli.main", "web"), RCA_HTTP_PORT=str(port))

    def start_all(self, *, workers: int, slots: int, port: int) -> None:
        """Start workers, web and intake side by side, and wait until each of them works."""
        begun = [self.begin_worker(slots=slots) for _ in range(workers)]
        web = self.begin_web(port=port)
        self.start_intake()
        wait_for(lambda: _is_ready(port), within_s=60, otherwise=web.log)
        for worker in begun:
            worker.wait_for_line("worker_started")

    def start_flower(self, *, port: int, auth: str) -> Process:
        arguments = ("-A", "worker.celery", "flower", "--address=127.0.0.1", f"--port={port}")
        return self.start("flower", (sys.executable, "-m", "celery", *arguments), FLOWER_BASIC_AUTH=auth)

    def start(self, name: str, argv: Sequence[str], **environment: str) -> Process:
        process = Process(name, argv, folder=self.folder, environment={**self.environment, **environment})
        self.processes.append(process)
        return process

    # What a user does

    def rca(self, *arguments: str) -> str:
        """Run one of the product's commands, and return what it prints."""
        argv = [sys.executable, "-m", "worker.cli.main", *arguments]
        done = subprocess.run(
            argv, capture_output=True, text=True, env=self.environment, cwd=self.folder, timeout=30, check=False
        )
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    def revoke(self, agent_id: str, *, queue: str = "rca") -> str | None:
        """Revoke an agent's message, as Flower would; say whether a worker had it already. None if there is none."""
        workers = self._app.control.inspect(timeout=1).reserved() or {}
        in_line = {m["id"]: str(m["args"]) for messages in workers.values() for m in messages}
        with Redis.from_url(self.redis_url) as redis:
            headers = [json.loads(message)["headers"] for message in redis.lrange(queue, 0, -1)]
        queued = {h["id"]: h["argsrepr"] for h in headers}
        found = [i for i, arguments in (in_line | queued).items() if agent_id in arguments]
        for message_id in found:
            self._app.control.revoke(message_id)
        return ("in line" if found[0] in in_line else "queued") if found else None

    def open(self, title: str, **fields: Any) -> str:
        """Report an incident, and return its investigation's id."""
        return pipeline.accept(self.services, incident(title, **fields), via="test").investigation_id

    def xadd(self, payload: str | bytes) -> None:
        with Redis.from_url(self.redis_url) as redis:
            redis.xadd("rca:incidents", {"event": payload})

    # What is to be seen

    def pending_messages(self) -> int:
        """Count the messages that a bridge has read and not acknowledged."""
        with Redis.from_url(self.redis_url) as redis:
            return int(redis.xpending("rca:incidents", "rca-intake")["pending"])

    def investigation(self, investigation_id: str) -> InvestigationRow:
        with self.services.database.transaction() as session:
            return session.get_one(InvestigationRow, investigation_id)

    def find(self, title: str) -> list[InvestigationRow]:
        """Return the investigations of incidents with this title."""
        return [i for i in self._all(InvestigationRow) if title in self._title(i)]

    def agents(self, investigation_id: str) -> dict[str, AgentRow]:
        """Return its agents' rows as they stand now, by role."""
        return {a.role: a for a in self._all(AgentRow) if a.investigation_id == investigation_id}

    def agent(self, investigation_id: str) -> AgentRow:
        """Return the row of its one agent, or of its lead, as it stands now."""
        return next(a for a in self._all(AgentRow) if a.investigation_id == investigation_id and a.agent_no == 0)

    def turns(self, investigation_id: str) -> list[int]:
        agent = self.agent(investigation_id)
        return sorted(t.turn_no for t in self._all(TurnRow) if t.agent_id == agent.id)

    def tool_calls(self, investigation_id: str) -> dict[str, ToolCallRow]:
        """Return its tool calls by evidence id."""
        agent = self.agent(investigation_id)
        return {c.evidence_id: c for c in self._all(ToolCallRow) if c.agent_id == agent.id}

    def report(self, investigation_id: str) -> dict[str, Any]:
        with self.services.database.transaction() as session:
            return session.get_one(ReportRow, investigation_id).body

    def wait_for_status(
        self, investigation_id: str, *wanted: InvestigationStatus, within_s: float = 30
    ) -> InvestigationRow:
        def look() -> InvestigationRow | None:
            row = self.investigation(investigation_id)
            return row if row.status in wanted else None

        return wait_for(look, within_s=within_s, otherwise=lambda: self.describe(investigation_id))

    def wait_until_completed(self, investigation_id: str, *, within_s: float = 30) -> dict[str, Any]:
        """Wait for the report, and return it."""
        final = [s for s in InvestigationStatus if s.is_final]
        row = self.wait_for_status(investigation_id, *final, within_s=within_s)
        assert row.status == InvestigationStatus.COMPLETED, self.describe(investigation_id)
        return self.report(investigation_id)

    def wait_for_agent(
        self, investigation_id: str, fits: Callable[[AgentRow], bool], *, within_s: float = 20
    ) -> AgentRow:
        def look() -> AgentRow | None:
            row = self.agent(investigation_id)
            return row if fits(row) else None

        return wait_for(look, within_s=within_s, otherwise=lambda: self.describe(investigation_id))

    def wait_for_turn(self, marker: str, turn_no: int, *, times: int = 1, within_s: float = 20) -> None:
        """Wait until the provider has been asked for this turn."""
        wait_for(
            lambda: self.provider.turns(marker).get(turn_no, 0) >= times,
            within_s=within_s,
            otherwise=lambda: f"turn {turn_no} of {marker!r} asked for {times} times: {self.provider.turns(marker)}",
        )

    def wait_for_part(self, marker: str, part: str, turn_no: int, *, within_s: float = 20) -> None:
        """Wait until the provider has been asked for this turn of this part."""
        asked = self.provider.asked
        wait_for(lambda: asked(marker).get((part, turn_no), 0), within_s=within_s, otherwise=lambda: str(asked(marker)))

    def _title(self, investigation: InvestigationRow) -> str:
        with self.services.database.transaction() as session:
            return session.get_one(IncidentRow, investigation.incident_id).title

    def _all(self, table: type[T]) -> list[T]:
        with self.services.database.transaction() as session:
            return list(session.scalars(select(table)).all())

    def describe(self, investigation_id: str) -> str:
        """Say how it stands, for a failed assertion."""
        row, agents = self.investigation(investigation_id), self._all(AgentRow)
        own = [
            f"{a.role} {a.status} turn {a.turn_no} losses {a.losses}" for a in agents if a.investigation_id == row.id
        ]
        logs = "\n".join(f"--- {p.name}\n{_telling(p.log())}" for p in self.processes)
        return f"{row.status} {row.failure_class} {row.failure_reason}; agents: {own}\n{logs}"


def _is_ready(port: int) -> bool:
    try:
        return httpx.get(f"http://127.0.0.1:{port}/readyz").status_code == HTTPStatus.OK
    except httpx.TransportError:
        return False


def _telling(log: str) -> str:
    """Keep the lines that are not the libraries' own noise."""
    return "\n".join([line for line in log.splitlines() if '"level": "debug"' not in line][-40:])


@contextmanager
def running(system: System) -> Iterator[System]:
    try:
        yield system
    finally:
        system.close()
