"""What follows from a lead's answers: a wave, one agent, one more try, a report."""

from collections.abc import Mapping
from typing import Any

from tests.builders import report_arguments
from tests.turns import AGENT, Request, answer_of, earlier, made, transcript_of
from worker.domain.conversation import ToolDefinition
from worker.domain.states import AgentStatus, ToolCallStatus
from worker.domain.transcript import Transcript
from worker.guardrails.decision import Decision, DecisionVerdict
from worker.investigation.budget import Bound, Stage
from worker.investigation.decisions import Outcome, Rules, follow, follow_triage, is_triaged
from worker.investigation.endings import FINDING
from worker.investigation.planning import Staff, planning_tools
from worker.investigation.roles import RoleCard

CARD = RoleCard(name="errors", description="Looks at errors.", tools=("*",), instructions="Look.")
STAFF = Staff({"errors": CARD})
PLAN = {"approach": "fan_out", "reason": "two signals", "sub_agents": [{"role": "errors", "purpose": "who began"}]}
BAD = {**PLAN, "sub_agents": [{"role": "astrology", "purpose": "why"}]}
OPEN = Bound(Stage.OPEN)


class LeadsTools:
    def definitions(self) -> tuple[ToolDefinition, ...]:
        return (*planning_tools([CARD]), ToolDefinition(name="read_artifact", description="", parameters={}))

    def command_of(self, name: str, arguments: Mapping[str, Any]) -> str | None:
        return None


def never(command: str) -> Decision:
    return Decision(DecisionVerdict.DENY, "rules", f"a lead runs no {command}")


RULES = Rules(LeadsTools(), never, OPEN, staff=STAFF)


def triaged(*requests: Request, transcript: Transcript | None = None) -> Outcome:
    return follow_triage(answer_of(*requests), transcript=transcript or transcript_of(), agent=AGENT, rules=RULES)


def led_to(*requests: Request, rules: Rules = RULES) -> Outcome:
    return follow(answer_of(*requests), transcript=transcript_of(), agent=AGENT, rules=rules)


def test_a_plan_makes_the_lead_wait_for_its_wave() -> None:
    outcome = triaged(("triage", PLAN))

    assert outcome.to is AgentStatus.WAITING_CHILDREN
    assert outcome.plan is not None
    assert [a.role for a in outcome.plan.sub_agents] == ["errors"]
    assert [c.status for c in outcome.calls] == [ToolCallStatus.ALLOWED]


def test_single_makes_it_go_on_alone_with_the_reason() -> None:
    outcome = triaged(("triage", {"approach": "single", "reason": "one obvious service"}))

    assert (outcome.to, outcome.plan) == (AgentStatus.READY, None)
    assert "one obvious service" in str(outcome.single_because)
    assert [c.status for c in outcome.calls] == [ToolCallStatus.SUCCEEDED]


def test_a_bad_plan_is_told_and_asked_again() -> None:
    outcome = triaged(("triage", BAD))

    assert (outcome.to, outcome.single_because) == (AgentStatus.READY, None)
    assert "astrology" in str(outcome.calls[0].text)


def test_after_two_bad_plans_one_agent_investigates() -> None:
    before = transcript_of(earlier(1, made("triage", BAD, ToolCallStatus.FAILED)))

    outcome = triaged(("triage", BAD), transcript=before)

    assert outcome.to is AgentStatus.READY
    assert "no plan that can be followed" in str(outcome.single_because)


def test_prose_twice_is_no_plan_either() -> None:
    assert triaged(transcript=transcript_of(earlier(1))).single_because is not None


def test_a_report_in_place_of_a_triage_is_not_taken() -> None:
    outcome = triaged(("submit_report", report_arguments()))

    assert outcome.to is AgentStatus.READY
    assert outcome.calls[0].status is ToolCallStatus.FAILED


def test_what_comes_beside_a_plan_does_not_run() -> None:
    outcome = triaged(("read_artifact", {"id": "e1.1"}), ("triage", PLAN), ("triage", PLAN))

    assert [c.status for c in outcome.calls] == [
        ToolCallStatus.FAILED,
        ToolCallStatus.ALLOWED,
        ToolCallStatus.SUCCEEDED,  # the same plan again: asked twice at once
    ]


def test_a_second_wave_is_dispatched_from_the_findings() -> None:
    arguments = {name: value for name, value in PLAN.items() if name != "approach"}

    outcome = led_to(("dispatch", arguments))

    assert outcome.to is AgentStatus.WAITING_CHILDREN
    assert outcome.plan is not None


def test_a_wave_asked_for_in_the_last_turn_is_not_sent() -> None:
    rules = Rules(LeadsTools(), never, Bound(Stage.LAST, "no time"), staff=STAFF)

    outcome = led_to(("dispatch", PLAN), rules=rules)

    assert (outcome.to, outcome.partial) == (AgentStatus.PUBLISHING, "no time")
    assert outcome.calls[0].status is ToolCallStatus.FAILED


def test_a_report_wins_over_a_wave_asked_for_beside_it() -> None:
    outcome = led_to(("dispatch", PLAN), ("submit_report", report_arguments()))

    assert (outcome.to, outcome.plan) == (AgentStatus.PUBLISHING, None)
    assert outcome.calls[0].status is ToolCallStatus.FAILED


def test_a_lead_is_triaged_once_a_plan_was_taken() -> None:
    bad, good = made("triage", BAD, ToolCallStatus.FAILED), made("triage", PLAN, ToolCallStatus.ALLOWED)

    assert not is_triaged(transcript_of(earlier(1, bad)))
    assert is_triaged(transcript_of(earlier(1, bad), earlier(2, good)))


def test_a_sub_agent_ends_with_its_finding() -> None:
    rules = Rules(LeadsTools(), never, OPEN, ending=FINDING)

    outcome = led_to(("submit_finding", {"summary": "It waits.", "strength": "weak"}), rules=rules)

    assert outcome.to is AgentStatus.DONE
    assert outcome.finding is not None
    assert outcome.finding.summary == "It waits."


def test_two_invalid_findings_end_a_sub_agent_without_one() -> None:
    rules = Rules(LeadsTools(), never, OPEN, ending=FINDING)
    bad = made("submit_finding", {"strength": "certain"}, ToolCallStatus.FAILED)
    answer = answer_of(("submit_finding", {"strength": "certain"}))

    outcome = follow(answer, transcript=transcript_of(earlier(1, bad)), agent=AGENT, rules=rules)

    assert (outcome.to, outcome.finding) == (AgentStatus.DONE, None)
    assert outcome.partial == "the model did not hand in a valid finding"


def test_a_sub_agent_cannot_hand_in_a_report() -> None:
    rules = Rules(LeadsTools(), never, OPEN, ending=FINDING)

    assert led_to(("submit_report", report_arguments()), rules=rules).calls[0].status is ToolCallStatus.FAILED


BAD_REPORT: Request = ("submit_report", {"verdict": "certain"})


def after_a_bad_report(rules: Rules) -> Outcome:
    before = transcript_of(earlier(1, made("submit_report", {"verdict": "certain"}, ToolCallStatus.FAILED)))
    return follow(answer_of(BAD_REPORT), transcript=before, agent=AGENT, rules=rules)


def test_a_lead_of_whose_report_nothing_is_left_has_failed() -> None:
    assert after_a_bad_report(RULES).to is AgentStatus.FAILED


def test_a_single_agent_is_published_with_what_code_can_say() -> None:
    assert after_a_bad_report(Rules(LeadsTools(), never, OPEN)).to is AgentStatus.PUBLISHING


def test_a_leads_report_that_can_be_salvaged_is_published_as_partial() -> None:
    half = ("submit_report", {"verdict": "certain", "summary": "It waits for the pool."})
    before = transcript_of(earlier(1, made("submit_report", {"verdict": "certain"}, ToolCallStatus.FAILED)))

    outcome = follow(answer_of(half), transcript=before, agent=AGENT, rules=RULES)

    assert (outcome.to, outcome.partial) == (AgentStatus.PUBLISHING, "the model did not hand in a valid report")
