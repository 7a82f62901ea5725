"""What the spine costs: an idle worker, one turn, and the way from the stream to the first model call.

Run with `make bench`. Real Redis and PostgreSQL, one worker process, a model that answers at once; beside it plain
Celery tasks that make the same HTTP call without storing anything, in the same run. Prints medians.
"""

import json
import os
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from statistics import median, quantiles

from tests.acceptance.system import Process, Provider, System, reports, wait_for
from tests.model_server import Reply
from tests.servers import PostgresServer, RedisServer, running_postgres, running_redis
from worker.domain.states import InvestigationStatus
from worker.ops.logging import configure_logging
from worker.settings import Settings

INVESTIGATIONS = 60
TURNS = 8
ARRIVALS = 150
ARRIVAL_GAP_S = 0.1
ROUNDS = 3
TICKS_PER_S = os.sysconf("SC_CLK_TCK")


def cpu_s(pid: int) -> float:
    """Return the processor time a process has used so far, in seconds."""
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / TICKS_PER_S


@contextmanager
def servers() -> Iterator[tuple[RedisServer, PostgresServer]]:
    folders = (tempfile.TemporaryDirectory(prefix=f"rca-bench-{name}-") for name in ("redis", "postgres"))
    with ExitStack() as stack:
        ours, theirs = (Path(stack.enter_context(folder)) for folder in folders)
        yield stack.enter_context(running_redis(ours)), stack.enter_context(running_postgres(theirs))


@contextmanager
def installation(redis: RedisServer, postgres: PostgresServer, provider: Provider) -> Iterator[System]:
    with tempfile.TemporaryDirectory(prefix="rca-bench-") as folder:
        limits = {"RCA_MAX_RUNNING": "500", "RCA_LOG_LEVEL": "WARNING"}
        url = postgres.create_database()
        system = System(Path(folder), database_url=url, redis_url=redis.url, provider=provider, **limits)
        try:
            yield system
        finally:
            system.close()


def start_worker(system: System) -> Process:
    """Start a worker that logs as in production: waiting for its line needs INFO."""
    return system.start_worker(slots=200, RCA_LOG_LEVEL="INFO")


def measure_idle(system: System) -> dict[str, float]:
    process = start_worker(system)
    time.sleep(5)
    before = cpu_s(process.pid)
    time.sleep(10)
    found = {"idle_cpu_percent": (cpu_s(process.pid) - before) * 10}
    process.kill()
    return found


def measure_turns(system: System) -> dict[str, float]:
    """Run whole investigations and divide: processor time, tasks and wall clock by turns."""
    process = start_worker(system)
    marker = f"cost-{time.time_ns()}"
    asks = [Reply(tool_calls=[("read_artifact", {"id": f"missing-{n}"})]) for n in range(TURNS - 1)]
    system.provider.play(marker, [*asks, reports()])
    before, started = cpu_s(process.pid), time.monotonic()
    ids = [system.open(f"{marker} {'abcdefghij'[n // 10]}{'abcdefghij'[n % 10]}") for n in range(INVESTIGATIONS)]
    for investigation in ids:
        system.wait_for_status(investigation, InvestigationStatus.COMPLETED, within_s=120)
    turns = INVESTIGATIONS * TURNS
    found = {
        "cpu_ms_per_turn": (cpu_s(process.pid) - before) * 1000 / turns,
        "tasks_per_turn": (2 * (TURNS - 1) + 2) / TURNS,  # turn and act each; then the last turn and publish
        "turns_per_s": turns / (time.monotonic() - started),
    }
    process.kill()
    return found


def measure_plain(system: System) -> dict[str, float]:
    """Run as many plain Celery tasks, each with the same HTTP call and nothing stored."""
    url = f"{system.environment['OPENAI_BASE_URL']}/chat/completions"
    system.provider.play("plain-task", [reports()])
    argv = [
        sys.executable,
        "-m",
        "celery",
        "-A",
        "tests.benchmarks.plain_tasks",
        "worker",
        "-P",
        "threads",
        "-c",
        "200",
    ]
    environment = {**system.environment, "PYTHONPATH": str(Path(__file__).parents[2])}
    process = Process("plain", [*argv, "-l", "INFO"], folder=system.folder, environment=environment)
    process.wait_for_line("ready.")
    os.environ["REDIS_URL"] = system.redis_url
    from tests.benchmarks.plain_tasks import ask  # noqa: PLC0415  # its broker is known only now

    before, count = cpu_s(process.pid), INVESTIGATIONS * TURNS
    start = len(system.provider.exchanges("plain-task"))
    for _ in range(count):
        ask.delay(url)
    wait_for(lambda: len(system.provider.exchanges("plain-task")) - start >= count, within_s=120, otherwise=process.log)
    found = {"plain_celery_cpu_ms_per_call": (cpu_s(process.pid) - before) * 1000 / count}
    process.kill()
    return found


def measure_arrivals(system: System) -> dict[str, float]:
    """Put incidents on the stream at a steady pace and time each one's first model call."""
    system.start_intake()
    process = start_worker(system)
    run = time.time_ns()
    markers = [f"arrival-{run}-{''.join('abcdefghij'[int(d)] for d in str(n))}-end" for n in range(ARRIVALS)]
    sent = {}
    for marker in markers:
        system.provider.play(marker, [reports()])
        sent[marker] = time.time()
        system.xadd(json.dumps({"title": marker}))
        time.sleep(ARRIVAL_GAP_S)
    for marker in markers:
        system.wait_for_turn(marker, 1)
    waits = [(system.provider.exchanges(m)[0].received_at - sent[m]) * 1000 for m in markers]
    process.kill()
    return {"stream_to_call_p50_ms": median(waits), "stream_to_call_p99_ms": quantiles(waits, n=100)[98]}


def main() -> None:
    configure_logging(Settings(rca_log_level="WARNING"), process="benchmark")
    found: dict[str, list[float]] = {}
    provider = Provider()
    with servers() as (redis, postgres):
        for measure in (measure_idle, measure_turns, measure_plain, measure_arrivals) * ROUNDS:
            with installation(redis, postgres, provider) as system:
                for name, value in measure(system).items():
                    found.setdefault(name, []).append(value)
    provider.close()
    print(f"{'figure':<32}{'median':>10}   of {ROUNDS} rounds")
    for name, values in found.items():
        print(f"{name:<32}{median(values):>10.2f}   {', '.join(f'{v:.2f}' for v in values)}")
    ratio = median(found["cpu_ms_per_turn"]) / median(found["plain_celery_cpu_ms_per_call"])
    print(f"a durable turn costs {ratio:.1f} times the processor time of a plain Celery task with the same call")


if __name__ == "__main__":
    main()
