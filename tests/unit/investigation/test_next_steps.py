"""What follows from an answer, branch by branch."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from tests.builders import report_arguments
from tests.turns import AGENT, Request, answer_of, earlier, made, transcript_of
from worker.domain.conversation import ToolDefinition
from worker.domain.states import AgentStatus, ToolCallStatus
from worker.domain.transcript import ToolCall, Transcript, Turn
from worker.guardrails.decision import Decision, DecisionVerdict
from worker.investigation.budget import Bound, Stage
from worker.investigation.decisions import Outcome, Rules, find_submission, follow, next_status

LAST = Bound(Stage.LAST, "the budget of 5 turns is nearly spent")
BAD_REPORT = ("submit_report", {"verdict": "certain"})
GOOD_REPORT = ("submit_report", report_arguments())


class Tools:
    """Offers a search, and a shell whose commands begin with `may`, `must not` or anything else."""

    def definitions(self) -> tuple[ToolDefinition, ...]:
        return tuple(ToolDefinition(name=n, description="", parameters={}) for n in ("search", "shell"))

    def command_of(self, name: str, arguments: Mapping[str, Any]) -> str | None:
        return str(arguments["command"]) if name == "shell" else None


def decide(command: str) -> Decision:
    if command.startswith("must not"):
        return Decision(DecisionVerdict.DENY, "signatures", "known harm")
    if command.startswith("may"):
        return Decision(DecisionVerdict.ALLOW, "rules", "read-only")
    return Decision(DecisionVerdict.UNDECIDED, "rules", "unproven")


def led_to(
    *requests: Request, transcript: Transcript | None = None, bound: Bound | None = None, judges_all: bool = False
) -> Outcome:
    rules = Rules(Tools(), decide, bound or Bound(Stage.OPEN), judges_all)
    return follow(answer_of(*requests), transcript=transcript or transcript_of(), agent=AGENT, rules=rules)


def shell(command: str) -> Request:
    return ("shell", {"command": command})


def statuses(outcome: Outcome) -> list[str]:
    return [call.status.value for call in outcome.calls]


# One call


def test_a_tool_without_a_command_may_run() -> None:
    outcome = led_to(("search", {"pattern": "error"}))

    (call,) = outcome.calls
    assert (call.status, call.command, outcome.to) == (ToolCallStatus.ALLOWED, None, AgentStatus.READY_TO_ACT)
    assert (call.evidence_id, call.request_id, call.seq) == ("e3.1", "call_1", 1)


def test_an_unknown_tool_is_answered_with_those_there_are() -> None:
    outcome = led_to(("reboot", {}))

    assert (statuses(outcome), outcome.to) == (["failed"], AgentStatus.READY)
    assert outcome.calls[0].text == "There is no tool 'reboot'. There are: search, shell."


def test_arguments_that_are_no_object_are_told_as_they_were_sent() -> None:
    outcome = led_to(("search", None))

    assert (statuses(outcome), outcome.to) == (["failed"], AgentStatus.READY)
    assert '{"cut' in str(outcome.calls[0].text)


@pytest.mark.parametrize(
    ("command", "status", "to"),
    [
        ("may look", ToolCallStatus.ALLOWED, AgentStatus.READY_TO_ACT),
        ("must not", ToolCallStatus.DENIED, AgentStatus.READY),
        ("perhaps", ToolCallStatus.PROPOSED, AgentStatus.AWAITING_JUDGE),
    ],
)
def test_a_command_goes_where_the_rules_say(command: str, status: ToolCallStatus, to: AgentStatus) -> None:
    outcome = led_to(shell(command))

    assert (outcome.calls[0].status, outcome.to) == (status, to)
    assert outcome.calls[0].command == command
    assert outcome.calls[0].layer


def test_a_denied_command_is_told_with_the_layer_and_the_reason() -> None:
    assert led_to(shell("must not")).calls[0].text == "Denied by signatures: known harm"


@pytest.mark.parametrize(("command", "status"), [("may look", "proposed"), ("must not", "denied")])
def test_where_every_command_is_judged_the_rules_still_deny_but_allow_nothing(command: str, status: str) -> None:
    assert statuses(led_to(shell(command), judges_all=True)) == [status]


def test_a_turn_with_one_open_command_waits_for_the_judge() -> None:
    outcome = led_to(shell("perhaps"), ("search", {}), shell("must not"))

    assert statuses(outcome) == ["proposed", "allowed", "denied"]
    assert outcome.to is AgentStatus.AWAITING_JUDGE


# Repetition


def test_the_same_call_is_answered_with_the_first_ones_id() -> None:
    before = transcript_of(earlier(1, made("search", {"pattern": "x"}, ToolCallStatus.SUCCEEDED)))

    (call,) = led_to(("search", {"pattern": "x"}), transcript=before).calls

    assert (call.status, call.repeats) == (ToolCallStatus.SUCCEEDED, "e1.1")
    assert "e1.1" in str(call.text)


@pytest.mark.parametrize("status", [ToolCallStatus.FAILED, ToolCallStatus.DENIED])
def test_a_call_that_came_to_nothing_may_be_made_again(status: ToolCallStatus) -> None:
    before = transcript_of(earlier(1, made("search", {"pattern": "x"}, status)))

    assert statuses(led_to(("search", {"pattern": "x"}), transcript=before)) == ["allowed"]


def test_a_repetition_of_a_repetition_names_the_call_that_ran() -> None:
    ran = made("search", {}, ToolCallStatus.SUCCEEDED)
    repeated = made("search", {}, ToolCallStatus.SUCCEEDED, evidence_id="e2.1", repeats="e1.1")

    (call,) = led_to(("search", {}), transcript=transcript_of(earlier(1, ran), earlier(2, repeated))).calls

    assert call.repeats == "e1.1"


def test_a_call_asked_for_twice_at_once_runs_once() -> None:
    outcome = led_to(("search", {"a": 1}), ("search", {"a": 2}), ("search", {"a": 1}))

    assert statuses(outcome) == ["allowed", "allowed", "succeeded"]
    assert outcome.calls[2].repeats == "e3.1"


def test_a_command_asked_for_twice_at_once_is_judged_once() -> None:
    outcome = led_to(shell("perhaps"), shell("perhaps"))

    assert (statuses(outcome), outcome.to) == (["proposed", "succeeded"], AgentStatus.AWAITING_JUDGE)


def test_what_failed_beside_its_double_may_be_asked_again() -> None:
    failed = made("search", {}, ToolCallStatus.FAILED)
    double = made("search", {}, ToolCallStatus.SUCCEEDED, seq=2, evidence_id="e1.2", repeats="e1.1")

    assert statuses(led_to(("search", {}), transcript=transcript_of(earlier(1, failed, double)))) == ["allowed"]


def test_a_double_of_what_was_denied_is_denied_too() -> None:
    assert statuses(led_to(shell("must not"), shell("must not"))) == ["denied", "denied"]


# The report


def test_a_valid_report_ends_the_investigation() -> None:
    outcome = led_to(GOOD_REPORT)

    assert (statuses(outcome), outcome.to, outcome.partial) == (["succeeded"], AgentStatus.PUBLISHING, None)


def test_nothing_runs_beside_a_report() -> None:
    outcome = led_to(("search", {}), GOOD_REPORT, shell("perhaps"), shell("must not"))

    assert statuses(outcome) == ["failed", "succeeded", "failed", "denied"]
    assert (outcome.to, outcome.partial) == (AgentStatus.PUBLISHING, None)
    assert "end" in str(outcome.calls[0].text)


def test_a_bad_report_is_explained_and_may_be_mended() -> None:
    outcome = led_to(BAD_REPORT)

    assert (statuses(outcome), outcome.to) == (["failed"], AgentStatus.READY)
    assert "verdict" in str(outcome.calls[0].text)


def test_calls_beside_a_first_bad_report_still_run() -> None:
    outcome = led_to(BAD_REPORT, ("search", {}))

    assert (statuses(outcome), outcome.to) == (["failed", "allowed"], AgentStatus.READY_TO_ACT)


PROSE = earlier(2)
BAD_TURN = earlier(2, made(*BAD_REPORT, ToolCallStatus.FAILED))
SEARCHED = earlier(2, made("search", {}, ToolCallStatus.SUCCEEDED))


@pytest.mark.parametrize("before", [PROSE, BAD_TURN])
@pytest.mark.parametrize("requests", [(), (BAD_REPORT,), (BAD_REPORT, ("search", {}))])
def test_the_second_bad_answer_in_a_row_ends_with_what_there_is(before: Turn, requests: tuple[Request, ...]) -> None:
    outcome = led_to(*requests, transcript=transcript_of(before))

    assert (outcome.to, outcome.partial) == (AgentStatus.PUBLISHING, "the model did not hand in a valid report")
    assert all(call.status.is_final for call in outcome.calls)


@pytest.mark.parametrize("requests", [(), (BAD_REPORT,)])
def test_a_good_turn_between_two_bad_ones_is_a_new_beginning(requests: tuple[Request, ...]) -> None:
    before = transcript_of(replace(PROSE, turn_no=1), SEARCHED)

    assert led_to(*requests, transcript=before).to is AgentStatus.READY


def test_prose_is_asked_again_once() -> None:
    assert led_to() == Outcome((), AgentStatus.READY)


@pytest.mark.parametrize("requests", [(), (BAD_REPORT,), (("search", {}), shell("perhaps"))])
def test_after_the_last_turn_nothing_runs_and_the_reason_is_kept(requests: tuple[Request, ...]) -> None:
    outcome = led_to(*requests, bound=LAST)

    assert (outcome.to, outcome.partial) == (AgentStatus.PUBLISHING, LAST.reason)
    assert all(call.status is ToolCallStatus.FAILED for call in outcome.calls)


def test_a_whole_report_on_the_last_turn_is_not_partial() -> None:
    assert led_to(GOOD_REPORT, bound=LAST).partial is None


# What is found of the report afterwards


@pytest.mark.parametrize(
    ("calls", "summary", "is_whole"),
    [
        ((), None, False),
        ((made(*GOOD_REPORT, ToolCallStatus.SUCCEEDED),), "Nothing stands out.", True),
        ((made("submit_report", {"summary": "Half."}, ToolCallStatus.FAILED),), "Half.", False),
        ((made("submit_report", {"verdict": 7}, ToolCallStatus.FAILED),), None, False),
        ((made("submit_report", None, ToolCallStatus.FAILED),), None, False),
        (
            (
                made("submit_report", {"summary": "Older."}, ToolCallStatus.FAILED),
                made("submit_report", {"summary": "Newer."}, ToolCallStatus.FAILED),
            ),
            "Newer.",
            False,
        ),
    ],
)
def test_the_report_is_the_whole_one_or_what_is_left_of_the_newest(
    calls: tuple[ToolCall, ...], summary: str | None, *, is_whole: bool
) -> None:
    found, whole = find_submission(transcript_of(earlier(1, *calls)))

    assert (found.summary if found else None, whole) == (summary, is_whole)


def test_the_next_status_of_settled_calls_is_the_next_turn() -> None:
    settled = tuple(made("search", {}, status) for status in ToolCallStatus if status.is_final)

    assert next_status(()) is AgentStatus.READY
    assert next_status(settled) is AgentStatus.READY
