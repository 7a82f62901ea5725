"""Recounts a run from what it left behind, and fails where anything was lost or done twice.

python -m tests.benchmarks.chaos.check /tmp/chaos-1

It knows files only, none of the code that ran: the events sent, the faults' log, the model's own log of requests, the
trace of commands, the tables, the processes' logs. All times are seconds since 1970, of one machine's clock.
"""

import json
import sys
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import Any

Row = dict[str, Any]
Key = tuple[str, str, int, int]
"""Which call: `rca`, `judge`, `verify` or `tool`, of which agent of which incident, which turn, which of the turn."""

BEFORE_S = 0.4
"""A fault this long before a call was seen may still have hit it: on its way to the model, or to its start."""
SETTLE_S = 1.5
"""What a finished call may take until it is committed."""
LEADS_TURNS = 2
TRACE_S = 0.3
"""How long a command runs that leaves a trace."""
EXPLAINS = {
    "worker_kill": "kill",
    "freeze": "freeze",
    "postgres_restart": "outage",
    "pool_full": "outage",
    "network_pause": "outage",
    "deploy": "deploy",
}
"""Which faults may make a call in flight repeat, by what name. No other may: not Redis, not a short stall."""


@dataclass(frozen=True)
class Seen:
    """One time that the world outside saw a call: a request at the model, or a command's trace."""

    at: float
    lasts_s: float
    number: int = 0


@dataclass(frozen=True)
class Repeat:
    """A call seen once more: between which two times, whether it was finished before, and why it was repeated."""

    key: Key
    first_at: float
    again_at: float
    is_finished: bool
    because: str
    fault: Row | None = None


@dataclass
class Run:
    """What a run left behind, by incident."""

    summary: Row
    faults: list[Row]
    sent: list[Row]
    tables: dict[str, list[Row]]
    seen: dict[Key, list[Seen]]
    logs: list[Row]
    marker_of_agent: dict[str, str] = field(default_factory=dict)
    marker_of_investigation: dict[str, str] = field(default_factory=dict)


# Reading


def read_run(folder: Path) -> Run:
    tables = {file.stem: _lines(file) for file in sorted((folder / "tables").glob("*.jsonl"))}
    titles = {row["id"]: row["title"].split()[0] for row in tables["incidents"]}
    investigations = {row["id"]: titles[row["incident_id"]] for row in tables["investigations"]}
    agents = {row["id"]: investigations[row["investigation_id"]] + _role_behind(row) for row in tables["agents"]}
    return Run(
        summary=json.loads((folder / "chaos.json").read_text()),
        faults=_lines(folder / "faults.jsonl"),
        sent=_lines(folder / "enqueued.jsonl"),
        tables=tables,
        seen=_read_seen(folder),
        logs=[line for file in sorted((folder / "logs").glob("*.log")) for line in _log_lines(file)],
        marker_of_agent=agents,
        marker_of_investigation=investigations,
    )


def _role_behind(agent: Row) -> str:
    """Tell sub-agents of one incident apart, as the model's log does."""
    return f"/{agent['role']}" if agent["kind"] == "sub" else ""


def _incident_of(marker: str) -> str:
    return marker.partition("/")[0]


def _lines(file: Path) -> list[Row]:
    return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []


def _log_lines(file: Path) -> list[Row]:
    """Read the events that tell of steps; a line cut off by a kill, or of a library, is passed over."""
    wanted = [x for x in file.read_text(errors="replace").splitlines() if '"step_' in x or '_crashed"' in x]
    found = []
    for line in wanted:
        try:
            found.append({**json.loads(line), "file": file.stem})
        except ValueError:
            continue
    return found


def _read_seen(folder: Path) -> dict[Key, list[Seen]]:
    seen: dict[Key, list[Seen]] = defaultdict(list)
    for r in _lines(folder / "requests.jsonl"):
        seen[r["purpose"], r["marker"], r["turn"], 0].append(Seen(r["received_at"], r["latency_s"], r["number"]))
    executions = folder / "executions.log"
    for line in executions.read_text().splitlines() if executions.exists() else []:
        marker, turn, seq, at = line.split()
        seen["tool", marker, int(turn), int(seq)].append(Seen(float(at), TRACE_S))
    return {key: sorted(times, key=lambda s: s.at) for key, times in seen.items()}


def moment(text: str) -> float:
    found = datetime.fromisoformat(text)
    return found.replace(tzinfo=found.tzinfo or UTC).timestamp()


# Counting


def finished_at(run: Run) -> dict[Key, float]:
    """Return when each call was committed, by the rows."""
    found: dict[Key, float] = {}
    for row in run.tables["turns"]:
        found["rca", run.marker_of_agent[row["agent_id"]], row["turn_no"], 0] = moment(row["created_at"])
    for row in run.tables["llm_usage"]:
        if row["purpose"] in {"judge", "verify"} and row["outcome"] == "ok":
            key = (row["purpose"], run.marker_of_agent[row["agent_id"]], row["turn_no"], 0)
            found[key] = min(moment(row["created_at"]), found.get(key, float("inf")))
    for row in run.tables["tool_calls"]:
        if row["finished_at"]:
            marker = run.marker_of_agent[row["agent_id"]]
            found["tool", marker, row["turn_no"], row["seq"]] = moment(row["finished_at"])
    return found


def find_repeats(run: Run) -> list[Repeat]:
    """Return every call that was seen again, with what explains it."""
    finished = finished_at(run)
    repeats = []
    for key, times in run.seen.items():
        for index, again in enumerate(times[1:], 1):
            before = times[index - 1]
            is_finished = again.at > finished.get(key, float("inf"))
            because, fault = explain(run.faults, before.at, before.at + before.lasts_s)
            repeats.append(Repeat(key, before.at, again.at, is_finished, because, fault))
    return repeats


def explain(faults: Iterable[Row], started: float, ended: float) -> tuple[str, Row | None]:
    """Name the fault that a call under way from `started` to `ended` was hit by; `unexplained` if there is none."""
    faults = list(faults)
    hits = [f for f in faults if _hits(f, started - BEFORE_S, _settled(faults, started, ended))]
    ranks = list(EXPLAINS)
    first = min(hits, key=lambda f: ranks.index(f["kind"]), default=None)
    return (EXPLAINS[first["kind"]], first) if first else ("unexplained", None)


def _settled(faults: Iterable[Row], started: float, ended: float) -> float:
    """Return until when a call may have stayed uncommitted: who stands still in a stall commits it afterwards."""
    settled = ended + SETTLE_S
    for stall in (f for f in faults if f["kind"] == "stall"):
        if stall["at"] <= settled and stall["until"] >= started:
            settled = max(settled, stall["until"] + SETTLE_S)
    return settled


def _hits(fault: Row, started: float, ended: float) -> bool:
    if fault["kind"] not in EXPLAINS:
        return False
    begins = fault["until"] - BEFORE_S if fault["kind"] == "deploy" else fault["at"]  # put back as the worker leaves
    return bool(begins <= ended and fault["until"] >= started)


def count_lost(run: Run) -> Counter[str]:
    """Count incidents without a report, by how far they came."""
    statuses = _statuses(run)
    reported = {run.marker_of_investigation[row["investigation_id"]] for row in run.tables["reports"]}
    missing = [event["marker"] for event in run.sent if event["marker"] not in reported]
    return Counter(", ".join(sorted(statuses.get(marker, {"never stored"}))) for marker in missing)


def _statuses(run: Run) -> dict[str, set[str]]:
    found: dict[str, set[str]] = defaultdict(set)
    for row in run.tables["investigations"]:
        why = f" ({row['failure_class']})" if row["failure_class"] else ""
        found[run.marker_of_investigation[row["id"]]].add(row["status"] + why)
    return found


def count_duplicates(run: Run) -> int:
    """Count reports beyond the first, and investigations beyond the first, of one incident."""
    reports = Counter(run.marker_of_investigation[row["investigation_id"]] for row in run.tables["reports"])
    investigations = Counter(run.marker_of_investigation.values())
    return sum(n - 1 for n in reports.values()) + sum(n - 1 for n in investigations.values())


def count_unfinished_steps(run: Run) -> int:
    """Count, in investigations with a report, turns that are missing and tool calls that did not succeed."""
    reported = {row["investigation_id"] for row in run.tables["reports"]}
    agents = {row["id"]: row for row in run.tables["agents"] if row["investigation_id"] in reported}
    turns = Counter(row["agent_id"] for row in run.tables["turns"])
    missing = sum(abs(_turns_of(run, row) - turns[agent]) for agent, row in agents.items())
    calls = [row for row in run.tables["tool_calls"] if row["agent_id"] in agents]
    failed = sum(row["status"] != "succeeded" for row in calls)
    return int(missing + failed)


def _turns_of(run: Run, agent: Row) -> int:
    """Return how many turns an agent takes: a lead plans and reports, the others take what the run was told."""
    return LEADS_TURNS if agent["kind"] == "lead" else int(run.summary["turns"])


def count_sub_agents(run: Run) -> tuple[int, int]:
    """Return how many sub-agents there were, and how many leads had fewer or more than they asked for."""
    waves = Counter(row["parent_id"] for row in run.tables["agents"] if row["kind"] == "sub")
    leads = [row["id"] for row in run.tables["agents"] if row["kind"] == "lead"]
    return sum(waves.values()), sum(waves[lead] != run.summary["sub_agents"] for lead in leads)


def count_paid_twice(run: Run) -> int:
    """Count bookings of finished model calls beyond the first of a turn."""
    booked = [r for r in run.tables["llm_usage"] if r["outcome"] == "ok"]
    return sum(n - 1 for n in Counter((r["agent_id"], r["turn_no"], r["purpose"]) for r in booked).values())


def count_stale_writes(run: Run) -> int:
    """Count rows written by a step after another had taken it over: not the last request's answer is in the row."""
    stale = 0
    for row in run.tables["turns"]:
        key = ("rca", run.marker_of_agent[row["agent_id"]], row["turn_no"], 0)
        stale += _is_stale(run, key, row["message"]["text"], moment(row["created_at"]))
    judged = [r for r in run.tables["tool_calls"] if r["layer"] == "judge"]
    booked = {key: at for key, at in finished_at(run).items() if key[0] == "judge"}
    for row in judged:
        key = ("judge", run.marker_of_agent[row["agent_id"]], row["turn_no"], 0)
        stale += _is_stale(run, key, row["reason"] or "", booked.get(key, 0.0))
    return stale


def _is_stale(run: Run, key: Key, told: str, stored_at: float) -> bool:
    asked = [s.number for s in run.seen.get(key, []) if s.at <= stored_at]
    return bool(asked) and told.startswith("request ") and told != f"request {asked[-1]}"


def longest_stall(run: Run) -> tuple[float, str]:
    """Return the longest time in which an investigation, admitted and not ended, showed no progress, and which."""
    return max(((gap, marker) for marker, gap in _gaps(run).items()), default=(0.0, ""))


def _gaps(run: Run) -> dict[str, float]:
    events: dict[str, list[float]] = defaultdict(list)
    for row in run.tables["investigations"]:
        bounds = [row["admitted_at"], row["finished_at"]]
        events[run.marker_of_investigation[row["id"]]] += [moment(text) for text in bounds if text]
        if row["admitted_at"] and not row["finished_at"]:
            events[run.marker_of_investigation[row["id"]]].append(run.summary["ended_at"])
    for key, stored_at in finished_at(run).items():
        events[_incident_of(key[1])].append(stored_at)
    for key, times in run.seen.items():
        events[_incident_of(key[1])] += [s.at for s in times]
    ordered = {marker: sorted(at) for marker, at in events.items()}
    return {m: max((b - a for a, b in pairwise(at)), default=0.0) for m, at in ordered.items()}


def recoveries(run: Run, repeats: Iterable[Repeat]) -> list[float]:
    """Return, for each investigation hit by a kill of a worker, how long it took until its call was made again."""
    first: dict[tuple[float, str], float] = {}
    for repeat in repeats:
        if repeat.because == "kill" and repeat.fault is not None:
            hit = (repeat.fault["at"], _incident_of(repeat.key[1]))
            took = repeat.again_at - repeat.fault["at"]
            first[hit] = min(took, first.get(hit, took))
    return sorted(first.values())


def lost_in_stalls(run: Run) -> int:
    """Count steps that lost their lease with nothing to explain it: a stall shorter than a lease must lose none."""
    lost = [line for line in run.logs if line["event"] == "step_finished" and line.get("outcome") == "lease_lost"]
    spans = [(moment(x["timestamp"]) - x["duration_ms"] / 1000, moment(x["timestamp"])) for x in lost]
    return sum(explain(run.faults, started, ended)[0] == "unexplained" for started, ended in spans)


# Telling


def judge(run: Run) -> tuple[list[tuple[str, str]], list[str]]:
    """Return the table, and what in it is not as promised."""
    repeats = find_repeats(run)
    finished = Counter("tool" if r.key[0] == "tool" else "model" for r in repeats if r.is_finished)
    in_flight = Counter(r.because for r in repeats if not r.is_finished)
    lost, deploys = count_lost(run), [f.get("exit_code") for f in run.faults if f["kind"] == "deploy"]
    promised = {
        "lost": sum(lost.values()),
        "duplicate reports": count_duplicates(run),
        "repeated finished model calls": finished["model"],
        "repeated finished tool calls": finished["tool"],
        "model calls paid twice": count_paid_twice(run),
        "unexplained repeats": in_flight["unexplained"],
        "stale writes": count_stale_writes(run),
        "steps missing or failed": count_unfinished_steps(run),
        "waves that are not whole": count_sub_agents(run)[1],
        "leases lost without a fault": lost_in_stalls(run),
        "deploys that did not exit 0": sum(code != 0 for code in deploys),
        "crashes": sum(line["event"].endswith("_crashed") for line in run.logs),
    }
    told = {name: _plus(number, lost if name == "lost" else None) for name, number in promised.items()}
    rows = [*_about(run), *told.items(), *_measured(run, repeats, in_flight)]
    return rows, [f"{name}: {number}" for name, number in promised.items() if number]


def _plus(number: int, kinds: Counter[str] | None) -> str:
    return f"{number}" + (f" ({_listed(kinds)})" if kinds else "")


def _about(run: Run) -> list[tuple[str, str]]:
    summary = run.summary
    took_s = summary["ended_at"] - summary["started_at"]
    return [
        ("seed", str(summary["seed"])),
        ("investigations", f"{len(run.sent)} x {summary['turns']} turns, {took_s:.0f} s, {summary['ended_because']}"),
        ("faults", _listed(Counter(f["kind"] for f in run.faults))),
        ("model requests", str(sum(len(times) for key, times in run.seen.items() if key[0] != "tool"))),
        ("sub-agents", str(count_sub_agents(run)[0])),
        ("commands run", str(sum(len(times) for key, times in run.seen.items() if key[0] == "tool"))),
    ]


def _measured(run: Run, repeats: list[Repeat], in_flight: Counter[str]) -> list[tuple[str, str]]:
    took = recoveries(run, repeats)
    gap, marker = longest_stall(run)
    kinds = Counter(f"{r.key[0]} at a {r.because}" for r in repeats if not r.is_finished)
    restarts = [f["recovered_at"] - f["at"] for f in run.faults if f["kind"] == "worker_kill"]
    times = f"p50 {median(took):.1f} s, max {took[-1]:.1f} s of {len(took)}" if took else "nothing was hit"
    again = f"p50 {median(restarts):.1f} s, max {max(restarts):.1f} s" if restarts else "none"
    return [
        ("repeated in-flight calls", f"{sum(in_flight.values())} ({_listed(kinds)})"),
        ("recovery after a kill", times),
        ("a killed worker is back", again),
        ("longest stall", f"{gap:.1f} s ({marker})"),
    ]


def _listed(kinds: Counter[str]) -> str:
    return ", ".join(f"{name} {number}" for name, number in sorted(kinds.items())) or "none"


def main() -> int:
    failed = False
    for folder in map(Path, sys.argv[1:]):
        run = read_run(folder)
        rows, broken = judge(run)
        print("\n".join(f"{name:<32} {value}" for name, value in rows))
        for repeat in find_repeats(run):
            if repeat.is_finished or repeat.because == "unexplained":
                print(f"  {repeat.key}: seen at {repeat.first_at:.3f} and {repeat.again_at:.3f}, {repeat.because}")
        print("FAILED: " + "; ".join(broken) if broken else "as promised", end="\n\n")
        failed = failed or bool(broken)
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
