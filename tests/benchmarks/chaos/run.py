"""Runs the product under a seeded schedule of faults and writes down all that `check` needs.

python -m tests.benchmarks.chaos.run --investigations 200 --turns 8 --workers 2 --seed 1 --folder /tmp/chaos-1
"""

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import psycopg

from tests.benchmarks.chaos import faults, schedule
from tests.benchmarks.chaos.fleet import ROOT, Fleet, Site, bridge_place, worker_place
from tests.benchmarks.chaos.model import ROLES
from tests.benchmarks.chaos.producer import Event, Producer, plan_events
from tests.benchmarks.chaos.records import JsonLines, dump_tables
from tests.benchmarks.chaos.schedule import COUNTS, Fault, FaultKind
from tests.orchestra import write_two_sources
from tests.servers import running_postgres, running_redis
from worker.cli.processes import MAIN_QUEUES
from worker.domain.states import Queue
from worker.storage.migrate import migrate

TICK_S = 0.05
LOOK_EVERY_S = 1.0
START_S = 60.0
MODEL, MODEL_KEY = "openai/gpt-4.1-mini", "a-key-that-opens-nothing"
ORCHESTRATED = {"ORCHESTRATOR_ENABLED": "true", "RCA_ORCHESTRATOR_MODEL": MODEL, "RCA_SUBAGENT_MODEL": MODEL}
TRACE = """#!/bin/sh
# trace WAY MARKER TURN SEQ: leave a line that says when
date "+$2 $3 $4 %s.%N" >> "$(dirname "$0")/executions.log"
echo "left a trace"
sleep 0.2
"""


@dataclass(frozen=True)
class Plan:
    """What a run does: incidents come over `span_s`; faults from `quiet_s` after the first turn on: there is work then.

    `program` starts the workers: another one than Celery's own is a build with a bug. Without a quarantine of its own
    the workers do its steps too. Orchestrated, each investigation has a lead and sub-agents, which take the turns.
    """

    folder: Path
    seed: int
    investigations: int = 200
    turns: int = 8
    slowness: float = 1.0
    workers: int = 2
    slots: int = 200
    span_s: float = 330.0
    quiet_s: float = 5.0
    stall_limit_s: float = 90.0
    lease_s: float = 4.0
    has_quarantine: bool = True
    counts: Mapping[FaultKind, int] = field(default_factory=lambda: dict(COUNTS))
    program: str = "celery"
    is_orchestrated: bool = False
    settings: Mapping[str, str] = field(default_factory=dict)


def run(plan: Plan) -> str:
    """Run it, and return why it ended: `all final` or `stalled`."""
    plan.folder.mkdir(parents=True)
    (plan.folder / "logs").mkdir()
    with ExitStack() as stack:
        stage = _build(plan, stack)
        events = plan_events(plan.investigations, span_s=plan.span_s)
        producer = Producer(events, redis_url=stage.redis.url, stored_keys=lambda: _stored_keys(stage.database_dsn))
        stack.callback(producer.close)
        stage.fleet.start(within_s=START_S)
        started_at = time.time()
        producer.start()
        ended_because = _work(plan, stage, producer)
        _write_summary(plan, events, started_at=started_at, ended_because=ended_because)
        dump_tables(stage.database_dsn, plan.folder / "tables")
    return ended_because


def _build(plan: Plan, stack: ExitStack) -> faults.Stage:
    temporary = [Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="rca-chaos-"))) for _ in range(2)]
    redis = stack.enter_context(running_redis(temporary[0]))
    postgres = stack.enter_context(running_postgres(temporary[1]))
    url = postgres.create_database()
    migrate(url)
    model_port = stack.enter_context(_running_model(plan))
    environment = {
        **{name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ},
        "DATABASE_URL": url.replace(str(postgres.port), "{postgres}"),
        "REDIS_URL": redis.url.replace(str(redis.port), "{redis}"),
        "RCA_HOME": str(plan.folder / "home"),
        "RCA_POLICY_FILE": str(_write_policy(plan.folder)),
        "RCA_SANDBOX": "none",  # commands leave their traces in a file
        "LLM_PROVIDER_MODE": "direct",
        "OPENAI_API_KEY": MODEL_KEY,
        "OPENAI_BASE_URL": f"http://127.0.0.1:{model_port}/v1",
        "RCA_MODEL": MODEL,
        "GUARDRAILS_LLM_MODEL": MODEL,
        "RCA_RECORDED_ROOT": str(write_two_sources(plan.folder / "recorded")),
        **(ORCHESTRATED if plan.is_orchestrated else {}),
        **plan.settings,
    }
    if plan.lease_s != Plan.lease_s:
        environment |= {"RCA_LEASE_S": str(plan.lease_s), "RCA_HEARTBEAT_S": str(plan.lease_s / 4)}
    fleet = _fleet(plan, environment, {"postgres": postgres.port, "redis": redis.port})
    stack.callback(fleet.close)
    log = JsonLines(plan.folder / "faults.jsonl")
    stack.callback(log.close)
    return faults.Stage(fleet, redis, postgres, url.replace("+psycopg", ""), log)


def _write_policy(folder: Path) -> Path:
    """Write the command that leaves a trace, and the operator's word that some of its calls need no judge."""
    trace = folder / "trace"
    trace.write_text(TRACE, encoding="utf-8")
    trace.chmod(0o755)
    policy = folder / "policy.yaml"
    policy.write_text(json.dumps({"allow": [f"{trace} allowed *"]}), encoding="utf-8")
    return policy


@contextmanager
def _running_model(plan: Plan) -> Iterator[int]:
    arguments = ["--turns", str(plan.turns), "--slowness", str(plan.slowness), "--trace", str(plan.folder / "trace")]
    argv = [sys.executable, "-m", "tests.benchmarks.chaos.model", *arguments]
    command = [*argv, "--log", str(plan.folder / "requests.jsonl")]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            yield int(process.stdout.readline().split()[-1])
        finally:
            process.kill()


def _fleet(plan: Plan, environment: Mapping[str, str], ports: Mapping[str, int]) -> Fleet:
    site = Site(plan.folder / "logs", environment, ports)
    queues, alone = (MAIN_QUEUES, (Queue.QUARANTINE,)) if plan.has_quarantine else (tuple(Queue), ())
    workers = [
        worker_place(site, f"worker-{n + 1}", queues=queues, program=plan.program, slots=plan.slots)
        for n in range(plan.workers)
    ]
    quarantine = worker_place(site, "quarantine", queues=alone, program=plan.program, slots=2) if alone else None
    return Fleet(workers, quarantine, bridge_place(site))


def _work(plan: Plan, stage: faults.Stage, producer: Producer) -> str:
    """Break and mend until every investigation has ended, or nothing has moved for too long."""
    due = schedule.plan(plan.seed, plan.counts, span_s=plan.span_s - plan.quiet_s, lease_s=plan.lease_s)
    under_way = list[threading.Thread]()
    watch = _Watch(stage.database_dsn, plan.investigations)
    while not watch.is_stuck(plan.stall_limit_s):
        stage.fleet.supervise()
        while due and due[0].at_s + plan.quiet_s <= watch.worked_s:
            under_way.append(_begin(stage, due.pop(0)))
        under_way = [thread for thread in under_way if thread.is_alive()]
        if not due and not under_way and producer.is_done and watch.all_final:
            return "all final"
        watch.look()
        time.sleep(TICK_S)
    return "stalled"


def _begin(stage: faults.Stage, fault: Fault) -> threading.Thread:
    thread = threading.Thread(target=faults.inflict, args=(stage, fault), name=fault.kind, daemon=True)
    thread.start()
    return thread


class _Watch:
    """Looks at the database now and then: since when there are turns, since when nothing moved, whether all ended."""

    def __init__(self, dsn: str, investigations: int) -> None:
        self._dsn = dsn
        self._wanted = investigations
        self._seen: tuple[int, ...] = ()
        self._looked = self._moved = time.monotonic()
        self._first_turn: float | None = None

    @property
    def worked_s(self) -> float:
        """How long ago the first turn was stored; less than 0 before."""
        return time.monotonic() - self._first_turn if self._first_turn else -1.0

    @property
    def all_final(self) -> bool:
        return bool(self._seen) and self._seen[0] >= self._wanted and self._seen[1] == 0

    def is_stuck(self, limit_s: float) -> bool:
        return time.monotonic() - self._moved > (limit_s if self._first_turn else START_S)

    def look(self) -> None:
        if time.monotonic() - self._looked < LOOK_EVERY_S:
            return
        self._looked = time.monotonic()
        seen = _counts(self._dsn)
        if seen is not None and seen != self._seen:
            self._seen, self._moved = seen, time.monotonic()
            self._first_turn = self._first_turn or (self._moved if seen[2] else None)


def _counts(dsn: str) -> tuple[int, ...] | None:
    """Count ended and other investigations, turns and finished tool calls; None while the database is away."""
    query = """
        SELECT count(*) FILTER (WHERE finished_at IS NOT NULL), count(*) FILTER (WHERE finished_at IS NULL),
        (SELECT count(*) FROM turns), (SELECT count(*) FROM tool_calls WHERE finished_at IS NOT NULL)
        FROM investigations
    """
    try:
        with psycopg.connect(dsn, connect_timeout=2, options="-c statement_timeout=2000") as connection:
            return connection.execute(query).fetchone()
    except psycopg.Error:
        return None


def _stored_keys(dsn: str) -> set[str] | None:
    try:
        with psycopg.connect(dsn, connect_timeout=2, options="-c statement_timeout=2000") as connection:
            return {row[0] for row in connection.execute("SELECT idempotency_key FROM alerts")}
    except psycopg.Error:
        return None


def _write_summary(plan: Plan, events: list[Event], *, started_at: float, ended_because: str) -> None:
    summary = {
        "seed": plan.seed,
        "investigations": plan.investigations,
        "turns": plan.turns,
        "workers": plan.workers,
        "slots": plan.slots,
        "lease_s": plan.lease_s,
        "program": plan.program,
        "sub_agents": len(ROLES) if plan.is_orchestrated else 0,
        "faults_planned": {kind.value: count for kind, count in plan.counts.items() if count},
        "started_at": started_at,
        "ended_at": time.time(),
        "ended_because": ended_because,
        "load_average": os.getloadavg(),
    }
    (plan.folder / "chaos.json").write_text(json.dumps(summary, indent=2) + "\n", encoding="utf-8")
    log = JsonLines(plan.folder / "enqueued.jsonl")
    for event in events:
        log.write({"marker": event.marker, "key": event.key, "sent_at": event.sent_at})
    log.close()


def main() -> int:
    parser = argparse.ArgumentParser(description="Run the product under faults; judge the result with `check`.")
    parser.add_argument("--folder", type=Path, required=True, help="a new folder for all that the run writes")
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--investigations", type=int, default=Plan.investigations)
    parser.add_argument("--turns", type=int, default=Plan.turns)
    parser.add_argument("--slowness", type=float, default=Plan.slowness, help="of the model, times its usual latency")
    parser.add_argument("--workers", type=int, default=Plan.workers)
    parser.add_argument("--slots", type=int, default=Plan.slots, help="threads of one worker")
    parser.add_argument("--span-s", type=float, default=Plan.span_s, help="over how long faults and incidents come")
    parser.add_argument("--quiet-s", type=float, default=Plan.quiet_s, help="of that, what passes after the first turn")
    parser.add_argument("--stall-limit-s", type=float, default=Plan.stall_limit_s, help="give up after so long a stall")
    parser.add_argument("--lease-s", type=float, default=Plan.lease_s)
    parser.add_argument("--program", default=Plan.program, help="module that starts a worker")
    parser.add_argument("--orchestrated", dest="is_orchestrated", action="store_true", help="leads and sub-agents")
    parser.add_argument("--no-quarantine", dest="has_quarantine", action="store_false", help="one process less")
    for kind, count in COUNTS.items():
        parser.add_argument(f"--{kind.replace('_', '-')}", type=int, default=count, metavar="TIMES")
    chosen = vars(parser.parse_args())
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # on the way out it ends what it has started
    counts = {kind: chosen.pop(kind.value) for kind in COUNTS}
    chosen["folder"] = chosen["folder"].absolute()
    ended_because = run(Plan(**chosen, counts=counts))
    print(f"seed {chosen['seed']}: {ended_because}; see {chosen['folder']}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
