"""A storm: many alerts of few incidents in one burst, through the stream and through HTTP, on the real processes.

Run with `python -m tests.benchmarks.storm`. Real Redis and PostgreSQL, one bridge, one web process, one worker that
investigates meanwhile, a model that answers at once. Prints what was lost, how many investigations came of it, how
long HTTP took, and the memory of the bridge and the web process over time.
"""

import json
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from http.client import HTTPConnection
from pathlib import Path
from statistics import quantiles

from redis import Redis
from sqlalchemy import func, select

from tests.acceptance.system import Process, Provider, System, reports
from tests.benchmarks.spine import cpu_s
from tests.servers import free_port, running_postgres, running_redis
from worker.ops.logging import configure_logging
from worker.settings import Settings
from worker.storage.tables import AlertRow, IncidentRow, InvestigationRow

ALERTS = 10_000
INCIDENTS = 100
CLIENTS = 16
SAMPLE_S = 0.5
MARKER = "storm"


@dataclass(frozen=True)
class Counts:
    """What is on disk."""

    alerts: int
    incidents: int
    investigations: int


class Memory:
    """The resident memory of one process over time, in megabytes."""

    def __init__(self, process: Process) -> None:
        self._process = process
        self._stop = threading.Event()
        self.samples: list[float] = []
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def _watch(self) -> None:
        while not self._stop.wait(SAMPLE_S):
            self.samples.append(resident_mb(self._process.pid))

    def stop(self) -> str:
        """Return first, middle, last and peak."""
        self._stop.set()
        self._thread.join()
        found = self.samples or [resident_mb(self._process.pid)]
        told = (found[0], found[len(found) // 2], found[-1], max(found), cpu_s(self._process.pid))
        return "first {:.0f}, middle {:.0f}, last {:.0f}, peak {:.0f} MB; {:.1f} s of processor time".format(*told)


def resident_mb(pid: int) -> float:
    line = next(x for x in Path(f"/proc/{pid}/status").read_text().splitlines() if x.startswith("VmRSS"))
    return int(line.split()[1]) / 1000


def storm_of(alerts: int, incidents: int) -> list[str]:
    """Return alerts as JSON, of as many incidents as asked for in turn; each its own service, so none are related."""
    return [_alert(n % incidents, n) for n in range(alerts)]


def _alert(incident: int, number: int) -> str:
    name = "".join("abcdefghij"[int(digit)] for digit in f"{incident:04}")
    fields = {"service": f"service-{name}", "severity": "high", "idempotency_key": f"{MARKER}-{number}"}
    raw = {"panel": "x" * 1500, "value": number}
    return json.dumps({"title": f"{MARKER} {name} answers with errors", "labels": {"team": "a"}, "raw": raw} | fields)


def send_to_stream(system: System, alerts: Sequence[str]) -> None:
    """Put all on the stream at once, as a monitor gone wild would."""
    with Redis.from_url(system.redis_url) as redis, redis.pipeline(transaction=False) as burst:
        for alert in alerts:
            burst.xadd("rca:incidents", {"event": alert})
        burst.execute()


@dataclass(frozen=True)
class Answered:
    """What HTTP said to how many, and how long each answer took, in milliseconds."""

    statuses: Counter[int]
    took_ms: list[float]


def send_over_http(port: int, alerts: Sequence[str], *, clients: int = CLIENTS) -> Answered:
    """Post all from so many clients at once, each with one connection; no client library, for it shares the machine."""
    statuses: Counter[int] = Counter()
    took_ms: list[float] = []
    left, mutex = iter(alerts), threading.Lock()

    def work() -> None:
        with closing(HTTPConnection("127.0.0.1", port, timeout=30)) as client:
            while True:
                with mutex:
                    alert = next(left, None)
                if alert is None:
                    return
                started = time.monotonic()
                client.request("POST", "/v1/incidents", alert, {"Content-Type": "application/json"})
                answer = client.getresponse()
                answer.read()
                took = (time.monotonic() - started) * 1000
                with mutex:
                    statuses[answer.status] += 1
                    took_ms.append(took)

    with ThreadPoolExecutor(clients) as pool:
        for done in [pool.submit(work) for _ in range(clients)]:
            done.result()
    return Answered(statuses, took_ms)


def counts(system: System) -> Counts:
    with system.services.database.transaction() as session:
        tables = (AlertRow, IncidentRow, InvestigationRow)
        return Counts(*(session.scalar(select(func.count()).select_from(table)) or 0 for table in tables))


def wait_for_alerts(system: System, number: int, *, within_s: float) -> None:
    """Wait until so many alerts are on disk."""
    ends = time.monotonic() + within_s
    while counts(system).alerts < number:
        assert time.monotonic() < ends, f"only {counts(system)} on disk"
        time.sleep(SAMPLE_S)  # counting ten thousand rows is work for the database too


def measure_stream(system: System) -> None:
    memory = Memory(system.start_intake())
    started = time.monotonic()
    send_to_stream(system, storm_of(ALERTS, INCIDENTS))
    wait_for_alerts(system, ALERTS, within_s=300)
    took_s = time.monotonic() - started
    _tell("stream", counts(system), took_s)
    print(f"  bridge    {memory.stop()}")


def measure_http(system: System) -> None:
    port = free_port()
    memory = Memory(system.start_web(port=port))
    started = time.monotonic()
    answered = send_over_http(port, storm_of(ALERTS, INCIDENTS))
    took_s = time.monotonic() - started
    _tell("HTTP", counts(system), took_s)
    cuts = quantiles(answered.took_ms, n=100)
    worst = max(answered.took_ms)
    print(f"  answers   {dict(answered.statuses)}; p50 {cuts[49]:.0f} ms, p99 {cuts[98]:.0f} ms, worst {worst:.0f} ms")
    print(f"  web       {memory.stop()}")


def _tell(way: str, found: Counts, took_s: float) -> None:
    print(f"{way}: {ALERTS} alerts of {INCIDENTS} incidents in {took_s:.1f} s, {ALERTS / took_s:.0f} a second")
    print(f"  lost      {ALERTS - found.alerts}; {found.incidents} incidents, {found.investigations} investigations")


@contextmanager
def fresh_system(provider: Provider) -> Iterator[System]:
    """Return an installation with one worker, on servers of its own."""
    with ExitStack() as stack:
        folders = [Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="rca-storm-"))) for _ in range(3)]
        redis = stack.enter_context(running_redis(folders[0]))
        postgres = stack.enter_context(running_postgres(folders[1]))
        url = postgres.create_database()
        system = System(folders[2], database_url=url, redis_url=redis.url, provider=provider, RCA_LOG_LEVEL="INFO")
        stack.callback(system.close)
        provider.play(MARKER, [reports()])
        system.start_worker(slots=50)
        yield system


def main() -> None:
    configure_logging(Settings(rca_log_level="WARNING"), process="benchmark")
    provider = Provider()
    for measure in (measure_stream, measure_http):
        with fresh_system(provider) as system:
            measure(system)
    provider.close()


if __name__ == "__main__":
    main()
