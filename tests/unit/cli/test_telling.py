"""An investigation's activity as lines: each thing once, nothing that acts on a terminal."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from io import StringIO
from typing import Any

from rich.console import Console

from worker.cli.console import LiveScreen
from worker.cli.telling import outcome, tell_call, tell_cost, tell_news, tell_status
from worker.cli.tree import tell_team, tell_tree
from worker.domain.report import Check, Refutation, Verification
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


def turn(*calls: DoneCall, turn_no: int = 1, at_s: int | None = None, **whose: Any) -> DoneTurn:
    at = NOON + timedelta(seconds=turn_no if at_s is None else at_s)
    plain = {"agent_no": 0, "role": "single", "model": "offline/analyst", "stop_reason": "tool_use", "notes": ()}
    return DoneTurn(turn_no=turn_no, finished_at=at, calls=calls, **(plain | whose))


def agent(status: str = "acting") -> AgentProgress:
    return AgentProgress("agt_1", 0, "single", "single", status, "offline/analyst", 2, 1, NOON, NOON, None, None)


def lead(status: str = "waiting_children", **fields: Any) -> AgentProgress:
    return replace(agent(status), kind="lead", role="lead", **fields)


def sub_agent(agent_no: int = 1, role: str = "dependency_investigator", **fields: Any) -> AgentProgress:
    """A sub-agent of `lead`, sent out two seconds after noon."""
    plain: dict[str, Any] = {
        "id": f"agt_{agent_no + 1}", "agent_no": agent_no, "kind": "sub", "role": role, "parent_id": "agt_1",
        "wave_no": 1, "purpose": "who calls whom?", "created_at": NOON + timedelta(seconds=2),
        "deadline_at": NOON + timedelta(minutes=10),
    }  # fmt: skip
    return replace(agent("asking"), **(plain | fields))


def orchestrated(*turns: DoneTurn, agents: tuple[AgentProgress, ...], **fields: Any) -> Activity:
    return activity(*turns, agents=agents, is_orchestrated=True, **fields)


def activity(*turns: DoneTurn, status: str = "running", **fields: Any) -> Activity:
    row = Listed(
        id="inv_1", incident_id="inc_1", title="x", severity="high", service=None, status=status, verdict=None,
        failure_class=None, failure_reason=None, attempt_no=1, retry_of=None, alert_count=1, user_path="/",
        created_at=NOON, finished_at=None,
    )  # fmt: skip
    plain: dict[str, Any] = {
        "is_orchestrated": False, "admitted_at": NOON, "now": NOON + timedelta(seconds=90), "agents": (agent(),),
        "failed_asks": (), "tokens": 1200, "cost_usd": 0.5, "unpriced_calls": 0,
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
    failed = activity(failed_asks=(FailedAsk(7, 0, "single", "rca", "p/m", "provider_unavailable", NOON),))

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


def test_sub_agents_are_told_when_they_are_sent_what_they_do_and_how_they_end() -> None:
    plans = turn(call(tool="triage", arguments={"approach": "fan_out", "reason": "long"}), at_s=2, role="lead")
    looks = turn(call(agent_no=1, evidence_id="a1e1.1"), at_s=3, agent_no=1, role="dependency_investigator")
    ended = sub_agent(finished_at=NOON + timedelta(seconds=4), strength="strong", tokens=1200, cost_usd=0.01)
    sent = orchestrated(plans, agents=(lead(note="triage chose 1 sub-agents: many signals"), sub_agent()))
    back = orchestrated(plans, looks, agents=(lead(note="triage chose 1 sub-agents: many signals"), ended))

    told = [*tell_news(None, sent), *tell_news(sent, back)]

    assert told == [
        "12:00:00  investigated by offline/analyst",
        "12:00:02  turn 1: triage",
        "            e1.1 triage approach=fan_out: succeeded",
        "            triage chose 1 sub-agents: many signals",
        "12:00:02    agent 1 dependency_investigator, wave 1: who calls whom? (offline/analyst, until 12:10:00)",
        "12:00:03    agent 1 dependency_investigator, turn 1: query_metrics",
        "              a1e1.1 query_metrics service=cart: succeeded",
        "12:00:04    agent 1 dependency_investigator: strong finding after 1 turn, 0 calls, 1,200 tokens, $0.0100",
    ]
    assert tell_news(None, back) == told
    assert tell_news(back, back) == []


def test_turns_of_a_sub_agent_that_was_carried_along_follow_its_line() -> None:
    looks = turn(at_s=1, agent_no=1, role="dependency_investigator")

    lines = tell_news(None, orchestrated(looks, agents=(lead(), sub_agent())))

    assert ["wave 1" in line for line in lines[1:]] == [True, False]


def test_a_sub_agent_without_a_finding_says_why() -> None:
    before = orchestrated(agents=(lead(), sub_agent()))
    ended = sub_agent(status="cancelled", finished_at=NOON, missing="it was cancelled", tokens=None, cost_usd=None)

    (line,) = tell_news(before, orchestrated(agents=(lead(), ended)))

    assert line.endswith("no finding: it was cancelled after 1 turn, 0 calls, unknown tokens, price unknown")


def test_a_lead_that_goes_on_alone_says_why() -> None:
    alone = replace(agent(), note="One agent investigated, because the severity is low.")

    lines = tell_news(None, orchestrated(turn(), agents=(alone,)))

    assert lines[1] == "            One agent investigated, because the severity is low."


def test_a_call_that_got_no_answer_names_whose_it_was() -> None:
    asks = (
        FailedAsk(1, 2, "ticket_history", "subagent", "p/m", "provider_quota", NOON),
        FailedAsk(2, 0, "lead", "verify", "p/m", "model_refused", NOON),
    )

    lines = tell_news(activity(), activity(failed_asks=asks))

    assert lines == [
        "12:00:00    agent 2 ticket_history: the model did not answer: provider_quota (p/m)",
        "12:00:00  the verifier did not answer: model_refused (p/m)",
    ]


def test_the_verify_pass_is_told_once_cause_by_cause() -> None:
    check = Check(cause=1, entity="db", outcome=Refutation.REFUTED, reason="It began\x1b[2J later.")
    verified = lead("publishing", verification=Verification(model="p/m", checks=(check,)))
    before, after = orchestrated(agents=(lead("verifying"),)), orchestrated(agents=(verified,))

    assert [line.strip() for line in tell_news(before, after)] == [
        "Verified by p/m",
        "Claimed cause 1 (db): refuted: It began⟨U+001B⟩[2J later.",
    ]
    assert tell_news(after, after) == []


def test_the_status_counts_who_is_at_work() -> None:
    team = (sub_agent(1), sub_agent(2, status="acting"), sub_agent(3, status="done", finished_at=NOON))

    assert tell_status(orchestrated(agents=(lead(), *team))).startswith(
        "2 sub-agents at work (the model is asked, tools run) · "
    )
    assert tell_status(orchestrated(agents=(lead("verifying"),))).startswith("a second call tries to refute")
    assert tell_status(orchestrated(agents=(lead("awaiting_verify"),))).startswith("the report waits to be verified")


def test_the_tree_names_each_agent_and_shows_all_that_is_known_of_it() -> None:
    team = (
        sub_agent(1, "a_role", tool_calls={"succeeded": 2, "denied": 1}, tokens=1200, cost_usd=None),
        sub_agent(2, "b_role", finished_at=NOON, strength="weak", wave_no=2, purpose=None),
        sub_agent(3, "c_role", finished_at=NOON, missing="it failed", cancel_requested_at=NOON, purpose=None),
        sub_agent(4, "d_role", cancel_requested_at=NOON, purpose=None),
    )
    known = "1 turn, 3 calls, 1,200 tokens, price unknown, offline/analyst"
    rest = "1 turn, 0 calls, 0 tokens, $0.00, offline/analyst"

    assert tell_tree(orchestrated(agents=(lead(note="triage chose so"), *team))) == [
        f"agent 0: lead, sub-agents work (until 12:00:00), {rest}",
        "  triage chose so",
        f"  agent 1: sub, a_role, wave 1, the model is asked (until 12:10:00), {known}",
        "    who calls whom?",
        f"  agent 2: sub, b_role, wave 2, weak finding, {rest}",
        f"  agent 3: sub, c_role, wave 1, no finding: it failed, {rest}",
        f"  agent 4: sub, d_role, wave 1, is being cancelled (until 12:10:00), {rest}",
    ]


def test_only_sub_agents_at_work_are_in_the_team() -> None:
    team = (sub_agent(1), sub_agent(2, finished_at=NOON, strength="weak"))

    assert tell_team(orchestrated(agents=(lead(), *team))) == [
        "  agent 1 dependency_investigator: the model is asked (until 12:10:00), 1 turn, 0 calls, 0 tokens, $0.00"
    ]


def test_words_of_a_plan_cannot_act_on_the_terminal_and_are_kept_short() -> None:
    hostile = sub_agent(purpose="x\x1b[2J\n" + "long " * 100)

    lines = [*tell_news(None, orchestrated(agents=(lead(), hostile))), *tell_tree(orchestrated(agents=(hostile,)))]

    assert all("\x1b" not in line and "\n" not in line and len(line) < 250 for line in lines)
