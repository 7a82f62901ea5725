"""Plans: what a lead may ask for, and what is refused back to it."""

from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.domain.orchestration import Approach, Assignment, Plan
from worker.errors import ToolInputError
from worker.investigation.planning import MAX_SUB_AGENTS, MAX_WAVES, Staff, brief, parse_plan, planning_tools
from worker.investigation.roles import RoleCard

CARDS = tuple(
    RoleCard(name=name, description=f"Looks at {name}.", tools=(f"{name}_*",), instructions=f"Look at {name}.")
    for name in ("errors", "runtime", "changes")
)
STAFF = Staff({card.name: card for card in CARDS}, evidence=frozenset({"a1e1.1"}))


def asked(*roles: str, **fields: Any) -> dict[str, Any]:
    sub_agents = [{"role": role, "purpose": f"what {role} says"} for role in roles]
    return {"approach": "fan_out", "reason": "two signals", "sub_agents": sub_agents, **fields}


def refusal(arguments: dict[str, Any], staff: Staff = STAFF, tool: str = "triage") -> str:
    with pytest.raises(ToolInputError) as refused:
        parse_plan(tool, arguments, staff)
    return str(refused.value)


def test_a_plan_that_can_be_followed_is_read() -> None:
    plan = parse_plan("triage", asked("errors", "runtime"), STAFF)

    assert plan.approach is Approach.FAN_OUT
    assert [a.role for a in plan.sub_agents] == ["errors", "runtime"]


def test_a_single_agent_needs_no_sub_agents_and_gets_none() -> None:
    plan = parse_plan("triage", asked("nobody", approach="single"), STAFF)

    assert (plan.approach, plan.sub_agents) == (Approach.SINGLE, ())


def test_a_role_that_is_not_there_is_refused_with_those_that_are() -> None:
    told = refusal(asked("errors", "astrology"))

    assert "'astrology'" in told
    assert "errors, runtime, changes" in told


def test_the_same_task_twice_is_refused_in_whatever_spelling() -> None:
    twice = asked("errors", "errors")
    twice["sub_agents"][1]["purpose"] = "  What ERRORS   says "

    assert "errors has this task already" in refusal(twice)


def test_a_task_of_an_earlier_wave_is_refused() -> None:
    staff = Staff(STAFF.roles, assigned=(Assignment(role="errors", purpose="what errors says"),), waves=1)

    assert "has this task already" in refusal(asked("errors"), staff, "dispatch")


def test_another_question_or_window_makes_another_task() -> None:
    window = {"start": "2026-03-01T11:00:00Z", "end": "2026-03-01T12:00:00Z"}
    arguments = asked("errors", "errors", "errors")
    arguments["sub_agents"][1]["purpose"] = "who began it"
    arguments["sub_agents"][2]["window"] = window

    assert len(parse_plan("triage", arguments, STAFF).sub_agents) == 3


@pytest.mark.parametrize("count", [0, MAX_SUB_AGENTS + 1])
def test_a_wave_has_one_to_six(count: int) -> None:
    arguments = asked(*["errors"] * count)
    for i, each in enumerate(arguments["sub_agents"]):
        each["purpose"] = f"question {i}"

    assert f"1 to {MAX_SUB_AGENTS}" in refusal(arguments)


def test_a_third_wave_is_refused() -> None:
    assert f"{MAX_WAVES} waves already" in refusal(asked("errors"), Staff(STAFF.roles, waves=MAX_WAVES), "dispatch")


def test_dispatch_needs_no_approach() -> None:
    arguments = asked("runtime")
    del arguments["approach"]

    assert parse_plan("dispatch", arguments, STAFF).approach is Approach.FAN_OUT


def test_evidence_that_is_not_there_is_dropped() -> None:
    arguments = asked("errors")
    arguments["sub_agents"][0]["evidence"] = ["a1e1.1", "e99.9"]

    assert parse_plan("triage", arguments, STAFF).sub_agents[0].evidence == ("a1e1.1",)


def test_a_field_that_is_wrong_is_named() -> None:
    assert "sub_agents[0].purpose" in refusal(asked(sub_agents=[{"role": "errors"}]))


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=10), inner, max_size=3),
    max_leaves=10,
)


@given(st.dictionaries(st.sampled_from(["approach", "reason", "sub_agents", "more"]), json_values))
def test_whatever_a_model_sends_is_a_plan_or_a_refusal(arguments: dict[str, Any]) -> None:
    with suppress(ToolInputError):
        plan = parse_plan("triage", arguments, STAFF)
        assert all(a.role in STAFF.roles for a in plan.sub_agents)


def test_the_tools_name_the_roles_that_are_there() -> None:
    triage, dispatch = planning_tools(CARDS)

    roles = triage.parameters["properties"]["sub_agents"]["items"]["properties"]["role"]["enum"]
    assert roles == ["errors", "runtime", "changes"]
    assert "approach" in triage.parameters["required"]
    assert "approach" not in dispatch.parameters["properties"]
    assert set(Plan.model_fields) - {"approach"} == set(dispatch.parameters["required"])


def test_a_brief_keeps_what_the_role_says_now() -> None:
    told = brief(Assignment(role="errors", purpose="who began it"), CARDS[0], ())

    assert (told.instructions, told.tools, told.max_turns) == ("Look at errors.", ("errors_*",), CARDS[0].max_turns)
    assert told.allows("errors_by_service")
    assert told.allows("read_artifact")
    assert not told.allows("runtime_metrics")
