"""What a fan-out takes beyond its critical path: triage, the slowest sub-agent, synthesis and verify pass.

Run with `make bench-orchestrated`. Real Redis and PostgreSQL, two worker processes, six sub-agents of five turns, a
second each call. Then the same on one worker of eight slots that serves every queue, several at once: it has to end.
"""

import tempfile
from pathlib import Path
from statistics import median

from tests.acceptance.ensemble import (
    ROLES,
    RUNTIME,
    claims_a_cause,
    environment,
    finds,
    holds,
    looks,
    measures,
    sends,
    write_own_role,
)
from tests.acceptance.system import Provider, System
from tests.benchmarks.spine import servers
from tests.orchestra import CASE, write_two_sources
from tests.servers import PostgresServer, RedisServer
from worker.ops.logging import configure_logging
from worker.settings import Settings

CALL_S = 1.0
TURNS = 5
ROUNDS = 5
CRITICAL_S = (1 + TURNS + 1 + 1) * CALL_S
TOGETHER = 3
FEW_SLOTS = 8


def play(provider: Provider, marker: str) -> None:
    """Play six sub-agents, the first of which measures what the cause is claimed from, and the verify pass of it."""
    asks = [looks(turn, latency_s=CALL_S) for turn in range(1, TURNS)]
    subs = {role: [*asks, finds(latency_s=CALL_S)] for role in ROLES}
    subs[RUNTIME][0] = measures(latency_s=CALL_S)
    order = sorted(ROLES, key=RUNTIME.__ne__)
    lead = [sends(*order, latency_s=CALL_S), claims_a_cause(latency_s=CALL_S)]
    provider.play_parts(marker, {"lead": lead, "verify": [holds(latency_s=CALL_S)], **subs})


def open_one(system: System, marker: str) -> str:
    return system.open(marker, severity="high", labels={"recorded_case": CASE})


def wall_s(system: System, investigation: str) -> float:
    """Return the seconds from the event to the stored report, in which every call of the critical path was made."""
    report = system.wait_until_completed(investigation, within_s=180)
    assert [cause["entity"] for cause in report["root_causes"]] == ["db"], report
    assert report["verification"]["checks"], report
    row = system.investigation(investigation)
    assert row.finished_at is not None
    return (row.finished_at - row.created_at).total_seconds()


def install(folder: Path, redis: RedisServer, postgres: PostgresServer, provider: Provider) -> System:
    folder.mkdir()
    settings = environment(write_two_sources(folder / "recorded"), write_own_role(folder))
    return System(
        folder, database_url=postgres.create_database(), redis_url=redis.url, provider=provider,
        RCA_LOG_LEVEL="INFO", **settings,
    )  # fmt: skip


def measure_fan_out(system: System) -> list[float]:
    """Run one investigation after the other on two workers."""
    for _ in range(2):
        system.start_worker(slots=50)
    walls = []
    for round_no in range(ROUNDS):
        marker = f"fan-out {'abcdefghij'[round_no]}"
        play(system.provider, marker)
        walls.append(wall_s(system, open_one(system, marker)))
    return walls


def measure_few_slots(system: System) -> list[float]:
    """Run several at once on fewer slots than they have sub-agents."""
    system.start_worker(slots=FEW_SLOTS)
    markers = [f"few slots {'abcdefghij'[n]}" for n in range(TOGETHER)]
    for marker in markers:
        play(system.provider, marker)
    return [wall_s(system, i) for i in [open_one(system, marker) for marker in markers]]


def main() -> None:
    configure_logging(Settings(rca_log_level="WARNING"), process="benchmark")
    provider = Provider()
    with tempfile.TemporaryDirectory(prefix="rca-bench-") as folder, servers() as (redis, postgres):
        for name, measure in (("wide", measure_fan_out), ("narrow", measure_few_slots)):
            system = install(Path(folder) / name, redis, postgres, provider)
            walls = measure(system)
            system.close()
            if name == "wide":
                print(f"{len(ROLES)} sub-agents x {TURNS} turns, {CALL_S:g} s a call: critical path {CRITICAL_S:g} s")
                print(f"  wall      median {median(walls):.2f} s of {ROUNDS}, worst {max(walls):.2f} s")
                print(f"  ratio     median {median(walls) / CRITICAL_S:.3f}, worst {max(walls) / CRITICAL_S:.3f}")
            else:
                calls_s = TOGETHER * len(ROLES) * TURNS * CALL_S
                print(f"{TOGETHER} at once on {FEW_SLOTS} slots that serve every queue: all ended")
                print(
                    f"  wall      last {max(walls):.1f} s; the sub-agents' calls alone need {calls_s / FEW_SLOTS:.1f} s"
                )
    provider.close()


if __name__ == "__main__":
    main()
