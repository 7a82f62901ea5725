"""The checker, on runs written by hand: each thing that must not be makes it fail, by name."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.benchmarks.chaos import check

Row = dict[str, Any]
MARKER = "chaos-a-end"
T0 = 1_700_000_000.0


def at(seconds: float) -> str:
    return check.datetime.fromtimestamp(T0 + seconds, tz=check.UTC).isoformat()


class Written:
    """A run of one incident with two turns, all well; a test changes what it is about and writes it down."""

    def __init__(self) -> None:
        self.faults: list[Row] = []
        self.sent = [{"marker": MARKER, "key": "k", "sent_at": [T0]}]
        self.requests = [request(1, at_s=1.0, turn=1), request(2, at_s=2.2, turn=1, purpose="judge")]
        self.requests.append(request(3, at_s=4.0, turn=2))
        self.executions = [f"{MARKER} 1 1 {T0 + 3.0}"]
        self.log_lines: list[Row] = []
        call = {"agent_id": "agt", "turn_no": 1, "seq": 1, "layer": "judge", "reason": "request 2"}
        self.tables: dict[str, list[Row]] = {
            "incidents": [{"id": "inc", "title": f"{MARKER} is slow"}],
            "investigations": [investigation("inv")],
            "agents": [{"id": "agt", "investigation_id": "inv", "kind": "single", "parent_id": None}],
            "turns": [turn(1, stored_s=2.0, number=1), turn(2, stored_s=5.0, number=3)],
            "tool_calls": [{**call, "status": "succeeded", "finished_at": at(3.5)}],
            "llm_usage": [usage(1, "rca", 2.0), usage(1, "judge", 2.6), usage(2, "rca", 5.0)],
            "reports": [{"investigation_id": "inv", "created_at": at(5.5)}],
            "alerts": [],
            "outbox": [],
        }

    def write(self, folder: Path) -> check.Run:
        (folder / "tables").mkdir()
        (folder / "logs").mkdir()
        for name, rows in self.tables.items():
            write_lines(folder / "tables" / f"{name}.jsonl", rows)
        write_lines(folder / "faults.jsonl", self.faults)
        write_lines(folder / "enqueued.jsonl", self.sent)
        write_lines(folder / "requests.jsonl", self.requests)
        write_lines(folder / "logs" / "worker-1.1.log", self.log_lines)
        (folder / "executions.log").write_text("".join(f"{line}\n" for line in self.executions))
        summary = {
            "seed": 1,
            "turns": 2,
            "sub_agents": 1,
            "started_at": T0,
            "ended_at": T0 + 10,
            "ended_because": "all final",
        }
        (folder / "chaos.json").write_text(json.dumps(summary))
        return check.read_run(folder)


def write_lines(file: Path, rows: list[Row]) -> None:
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))


def request(number: int, *, at_s: float, turn: int, purpose: str = "rca") -> Row:
    about = {"marker": MARKER, "turn": turn, "purpose": purpose}
    return {"number": number, "received_at": T0 + at_s, "latency_s": 0.5, **about}


def turn(turn_no: int, *, stored_s: float, number: int) -> Row:
    message = {"text": f"request {number}"}
    return {"agent_id": "agt", "turn_no": turn_no, "created_at": at(stored_s), "message": message}


def usage(turn_no: int, purpose: str, at_s: float) -> Row:
    return {"agent_id": "agt", "turn_no": turn_no, "purpose": purpose, "outcome": "ok", "created_at": at(at_s)}


def investigation(name: str) -> Row:
    times = {"admitted_at": at(0.5), "finished_at": at(5.5)}
    return {"id": name, "incident_id": "inc", "status": "completed", "failure_class": None, **times}


def fault(kind: str, *, from_s: float, until_s: float | None = None, **fields: Any) -> Row:
    until = T0 + (from_s if until_s is None else until_s)
    return {"kind": kind, "at": T0 + from_s, "until": until, "recovered_at": until + 2, **fields}


def test_a_run_in_which_nothing_happened_is_as_promised(tmp_path: Path) -> None:
    rows, broken = check.judge(Written().write(tmp_path))

    assert broken == []
    assert dict(rows)["longest stall"] == "1.0 s (chaos-a-end)"


def test_a_lead_with_its_sub_agents_is_as_promised_too(tmp_path: Path) -> None:
    run = Written()
    orchestrate(run)

    rows, broken = check.judge(run.write(tmp_path))

    assert broken == []
    assert dict(rows)["sub-agents"] == "1"


def lose_the_report(run: Written) -> None:
    run.tables["reports"] = []


def never_store(run: Written) -> None:
    run.sent.append({"marker": "chaos-b-end", "key": "l", "sent_at": [T0]})


def investigate_twice(run: Written) -> None:
    run.tables["investigations"].append(investigation("again"))
    run.tables["reports"].append({"investigation_id": "again", "created_at": at(6)})


def ask_after_the_commit(run: Written) -> None:
    run.requests.append(request(4, at_s=2.1, turn=1))
    run.faults.append(fault("worker_kill", from_s=1.2))


def judge_after_the_commit(run: Written) -> None:
    run.requests.append(request(4, at_s=2.7, turn=1, purpose="judge"))
    run.faults.append(fault("freeze", from_s=1.2, until_s=2.65))


def run_after_the_commit(run: Written) -> None:
    run.executions.append(f"{MARKER} 1 1 {T0 + 3.6}")
    run.faults.append(fault("worker_kill", from_s=3.1))


def ask_again_for_no_reason(run: Written) -> None:
    run.requests.insert(0, request(9, at_s=0.6, turn=1))


def ask_again_at_a_redis_kill(run: Written) -> None:
    ask_again_for_no_reason(run)
    run.faults.append(fault("redis_kill", from_s=0.7, until_s=3))


def ask_again_at_a_stall(run: Written) -> None:
    ask_again_for_no_reason(run)
    run.faults.append(fault("stall", from_s=0.7, until_s=3.7))


def write_from_a_lost_claim(run: Written) -> None:
    run.requests.append(request(9, at_s=1.8, turn=1))
    run.faults.append(fault("freeze", from_s=1.1, until_s=1.7))


def pay_twice(run: Written) -> None:
    run.tables["llm_usage"].append(usage(2, "rca", 5.1))


def skip_a_turn(run: Written) -> None:
    run.tables["turns"].pop()


def fail_a_command(run: Written) -> None:
    run.tables["tool_calls"][0]["status"] = "failed"


def lose_a_lease(run: Written) -> None:
    line = {"event": "step_finished", "outcome": "lease_lost", "duration_ms": 500, "timestamp": at(4.5)}
    run.log_lines.append(line)
    run.faults.append(fault("stall", from_s=1.0, until_s=4.0))


def crash(run: Written) -> None:
    run.log_lines.append({"event": "step_crashed", "timestamp": at(2)})


def orchestrate(run: Written) -> None:
    """Give the turns to a lead, and add a sub-agent that takes two of its own."""
    run.tables["agents"] = [
        {"id": "agt", "investigation_id": "inv", "kind": "lead", "parent_id": None},
        {"id": "sub", "investigation_id": "inv", "kind": "sub", "parent_id": "agt", "role": "errors"},
    ]
    run.tables["turns"] += [turn(n, stored_s=2.5 + n / 10, number=10 + n) | {"agent_id": "sub"} for n in (1, 2)]
    asked = [request(10 + n, at_s=2.3 + n / 10, turn=n) for n in (1, 2)]
    run.requests += [one | {"marker": f"{MARKER}/errors"} for one in asked]


def lose_a_sub_agent(run: Written) -> None:
    orchestrate(run)
    run.tables["agents"].pop()
    run.tables["turns"] = [row for row in run.tables["turns"] if row["agent_id"] != "sub"]


def ask_a_sub_agent_after_its_commit(run: Written) -> None:
    orchestrate(run)
    run.requests.append(request(19, at_s=4.5, turn=1) | {"marker": f"{MARKER}/errors"})
    run.faults.append(fault("worker_kill", from_s=2.5))


def leave_badly(run: Written) -> None:
    run.faults.append(fault("deploy", from_s=8, until_s=9, exit_code=1))


@pytest.mark.parametrize(
    ("happen", "row"),
    [
        (lose_the_report, "lost"),
        (never_store, "lost"),
        (investigate_twice, "duplicate reports"),
        (ask_after_the_commit, "repeated finished model calls"),
        (judge_after_the_commit, "repeated finished model calls"),
        (run_after_the_commit, "repeated finished tool calls"),
        (ask_again_for_no_reason, "unexplained repeats"),
        (ask_again_at_a_redis_kill, "unexplained repeats"),
        (ask_again_at_a_stall, "unexplained repeats"),
        (write_from_a_lost_claim, "stale writes"),
        (pay_twice, "model calls paid twice"),
        (skip_a_turn, "steps missing or failed"),
        (fail_a_command, "steps missing or failed"),
        (lose_a_lease, "leases lost without a fault"),
        (crash, "crashes"),
        (lose_a_sub_agent, "waves that are not whole"),
        (ask_a_sub_agent_after_its_commit, "repeated finished model calls"),
        (leave_badly, "deploys that did not exit 0"),
    ],
)
def test_what_must_not_be_is_seen(tmp_path: Path, happen: Callable[[Written], None], row: str) -> None:
    run = Written()
    happen(run)

    _, broken = check.judge(run.write(tmp_path))

    assert row in {line.split(":")[0] for line in broken}


@pytest.mark.parametrize(
    ("broken_by", "because"),
    [
        (fault("worker_kill", from_s=0.8), "kill"),
        (fault("freeze", from_s=0.8, until_s=6), "freeze"),
        (fault("postgres_restart", from_s=0.2, until_s=1.5), "outage"),
        (fault("network_pause", from_s=0.9, until_s=6), "outage"),
        (fault("deploy", from_s=-19, until_s=0.9, exit_code=0), "deploy"),
    ],
)
def test_a_repeat_in_flight_is_explained_by_what_hit_it(tmp_path: Path, broken_by: Row, because: str) -> None:
    run = Written()
    ask_again_for_no_reason(run)
    run.faults.append(broken_by)
    read = run.write(tmp_path)

    (repeat,) = check.find_repeats(read)
    _, broken = check.judge(read)

    assert (repeat.because, repeat.is_finished, broken) == (because, False, [])


def test_a_call_that_a_stall_kept_from_its_commit_is_explained_by_the_freeze_that_follows(tmp_path: Path) -> None:
    run = Written()
    ask_again_for_no_reason(run)
    run.faults += [fault("stall", from_s=0.9, until_s=3.9), fault("freeze", from_s=3.9, until_s=9)]

    (repeat,) = check.find_repeats(run.write(tmp_path))

    assert repeat.because == "freeze"


def test_recovery_is_the_time_from_the_kill_to_the_call_made_again(tmp_path: Path) -> None:
    run = Written()
    run.requests.insert(0, request(9, at_s=-4.0, turn=1))
    run.faults.append(fault("worker_kill", from_s=-3.8))
    read = run.write(tmp_path)

    assert check.recoveries(read, check.find_repeats(read)) == [pytest.approx(4.8)]


def test_a_line_cut_off_by_a_kill_is_passed_over(tmp_path: Path) -> None:
    run = Written().write(tmp_path)
    (tmp_path / "logs" / "worker-1.2.log").write_text('{"event": "step_crashed", "timest')

    assert check.read_run(tmp_path).logs == run.logs
