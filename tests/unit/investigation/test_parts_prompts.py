"""What leads and sub-agents are told, as they read it."""

from worker.domain.orchestration import Assignment
from worker.investigation.prompts import render_prompt
from worker.investigation.roles import RoleCard

CARDS = [
    RoleCard(name=name, description=f"Looks at {name}.", tools=("*",), instructions="Look.") for name in ("one", "two")
]


def test_a_lead_is_told_each_role_on_a_line_of_its_own() -> None:
    told = render_prompt("lead", roles=CARDS, max_sub_agents=6).splitlines()

    first = told.index("- `one`: Looks at one.")
    assert told[first - 1 : first + 3] == ["The roles", "- `one`: Looks at one.", "- `two`: Looks at two.", ""]


def test_a_sub_agent_is_told_its_role_then_what_to_look_for() -> None:
    told = render_prompt("sub_agent", role="errors", instructions="Look for\n- the first one").splitlines()

    assert told[told.index("Your role: errors") + 1] == "Look for"


def test_a_task_is_told_part_by_part() -> None:
    assignment = Assignment(role="errors", purpose="who began it", focus="db", boundary="changes")
    window = {"start": "2026-03-01T11:00:00Z", "end": "2026-03-01T12:00:00Z"}

    told = render_prompt("assignment", assignment=assignment, window=window, known="e1.1")

    assert told.splitlines() == [
        "Your task: who began it",
        "Where to look: 2026-03-01T11:00:00Z to 2026-03-01T12:00:00Z (UTC).",
        "Look first at: db",
        "Leave to others: changes",
        "Results to start from:",
        "",
        "e1.1",
    ]


def test_a_task_says_nothing_of_what_it_has_not() -> None:
    told = render_prompt("assignment", assignment=Assignment(role="x", purpose="why"), window=None, known="")

    assert told == "Your task: why"
