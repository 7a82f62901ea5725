"""An investigation's activity as lines: each thing once, nothing that acts on a terminal."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from io import StringIO
from typing import Any

from rich.console import Console

from worker.cli.console import LiveScreen
from worker.cli.telling import outcome, tell_call, tell_cost, tell_news, tell_status
from worker.storage.activity import Activity, DoneCall, DoneTurn, FailedAsk
from worker.storage.investigations import Listed
from worker.storage.progress import AgentProgress

NOON = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)


def call(seq: int = 1, status: str = "succeeded", **fields: Any) -> DoneCall:
    plain: dict[str, Any] = {
        "agent_no": 0, "turn_no": 1, "seq": seq, "evidence_id": f"e1.{seq}", "tool": "query_metrics",
        "arguments": {"service": "cart"}, "command": None, "layer": None, "reason": None, "repeats": None,
        "duration_ms": None, "finished_at": None,
    }  # fmt: skip
    return DoneCall(**(plain | {"status": status} | fields))


def turn(*calls: DoneCall, turn_no: int = 1) -> DoneTurn:
    at = NOON + timedelta(seconds=turn_no)
    return DoneTurn(0, turn_no, "offline/analyst", "tool_use", (), at, calls)


def agent(status: str = "acting") -> AgentProgress:
    return AgentProgress("agt_1", 0, "single", "single", status, "offline/analyst", 2, 1, NOON, NOON, None, None)


def activity(*turns: DoneTurn, status: str = "running", **fields: Any) -> Activity:
    row = Listed(
        id="inv_1", incident_id="inc_1", title="x", severity="high", service=None, status=status, verdict=None,
        failure_class=None, failure_reason=None, attempt_no=1, retry_of=None, alert_count=1, user_path="/",
        created_at=NOON, finished_at=None,
    )  # fmt: skip
    plain: dict[str, Any] = {
        "admitted_at": NOON, "now": NOON + timedelta(seconds=90), "agents": (agent(),), "failed_asks": (),
        "tokens": 1200, "cost_usd": 0.5, "unpriced_calls": 0,
    }  # fmt: skip
    return Activity(investigation=row, turns=turns, **(plain | fields))


def test_the_first_look_tells_everything_in_order() -> None:
    lines = tell_news(None, activity(turn(call()), turn(call(2, "failed", reason="tool_failed"), turn_no=2)))

    assert [line.split("  ")[0] for line in lines if line[0].isdigit()] == ["12:00:00", "12:00:01", "12:00:02"]
    assert "investigated by offline/analyst" in lines[0]
    assert "e1.1 query_metrics service=cart: succeeded" in lines[2]
    assert "failed: tool_failed" in lines[4]


def test_one_that_waits_is_said_to_wait_until_it_starts() -> None:
    waiting = activity(status="queued", agents=(), admitted_at=None)

    assert tell_news(None, waiting) == ["12:00:00  queued: it starts when a worker has room"]
    assert tell_news(waiting, waiting) == []
    assert tell_news(waiting, activity()) == ["12:00:00  investigated by offline/analyst"]


def test_what_was_told_is_not_told_again() -> None:
    seen = activity(turn(call()))

    assert tell_news(seen, seen) == []


def test_a_call_is_told_when_it_has_run_and_not_when_a_rule_allowed_it() -> None:
    before = activity(turn(call(status="allowed", layer="read_only")))
    after = activity(turn(call(layer="read_only", duration_ms=12)))

    assert not any("allowed" in line for line in tell_news(None, before))
    assert tell_news(before, after) == ["            e1.1 query_metrics service=cart: succeeded in 12 ms"]


def test_the_judges_decisions_are_told() -> None:
    open_ = activity(turn(call(status="proposed")))
    allowed = activity(turn(call(status="allowed", layer="judge", reason="it only reads")))
    denied = activity(turn(call(status="denied", layer="judge", reason="it deletes")))

    assert "waits for the judge" in tell_news(None, open_)[-1]
    assert "allowed by the judge: it only reads" in tell_news(open_, allowed)[-1]
    assert "denied by judge: it deletes" in tell_news(open_, denied)[-1]


def test_a_model_that_does_not_answer_is_told_once() -> None:
    failed = activity(failed_asks=(FailedAsk(7, "rca", "p/m", "provider_unavailable", NOON),))

    assert tell_news(activity(), failed) == ["12:00:00  the model did not answer: provider_unavailable (p/m)"]
    assert tell_news(failed, failed) == []


def test_a_repeated_call_points_to_the_first() -> None:
    assert outcome(call(repeats="e1.1")) == "asked before, see e1.1"


def test_a_command_is_told_as_it_would_run() -> None:
    told = tell_call(call(tool="run_command", command="kubectl get pods", status="denied", layer="signature"))

    assert "run_command kubectl get pods: denied by signature" in told


def test_a_report_is_not_poured_into_a_line() -> None:
    told = tell_call(call(tool="submit_report", arguments={"verdict": "likely", "summary": "long " * 50}))

    assert told.endswith("submit_report verdict=likely: succeeded")


def test_words_of_a_model_cannot_act_on_the_terminal() -> None:
    told = tell_call(call(tool="x\x1b[2J", arguments={"a": "b\nc\x07"}, reason="\r hidden", status="failed"))

    assert "\x1b" not in told
    assert "\x07" not in told
    assert len(told.splitlines()) == 1


def test_the_status_says_what_goes_on_how_far_and_what_it_cost() -> None:
    assert tell_status(activity(turn(call(), call(2)))) == (
        "tools run · 1 turn · 2 calls · 1,200 tokens, $0.5000 · 1 min 30 s"
    )
    assert tell_status(activity(status="queued", agents=())).startswith("queued · 0 turns")


def test_a_price_that_is_unknown_is_said_to_be() -> None:
    assert tell_cost(replace(activity(), unpriced_calls=2)).endswith("and 2 calls of unknown price")


def test_brackets_in_a_models_words_are_only_brackets() -> None:
    console = Console(file=StringIO(), width=200)
    with console.status("") as status:
        LiveScreen(console, status).say("[bold]not[/bold] markup")

    assert isinstance(console.file, StringIO)
    assert "[bold]not[/bold] markup" in console.file.getvalue()
