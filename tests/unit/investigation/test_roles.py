"""Role files: what is shipped, what an operator may write, and that nothing they write stops a start."""

from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from worker.investigation.roles import SHIPPED, FrontMatter, RoleCard, load_roles, read_files, read_folder

GOOD: dict[str, Any] = {"name": "cache_investigator", "description": "Looks at caches.", "tools": ["rank_*"]}
NAMES = {
    "error_signal_investigator",
    "runtime_state_investigator",
    "recent_change_investigator",
    "dependency_investigator",
    "runbook_lookup",
    "ticket_history",
    "general_investigator",
}


def write(folder: Path, file_name: str = "role.md", *, body: str = "Look at caches.", **changes: Any) -> Path:
    file = folder / file_name
    file.write_text(f"---\n{yaml.safe_dump(GOOD | changes)}---\n{body}\n")
    return file


# Shipped


def test_the_shipped_roles_are_there_and_well() -> None:
    roles = load_roles()

    assert roles.problems == ()
    assert set(roles.cards) == NAMES
    assert {file.parent for file in roles.origins.values()} == {SHIPPED}


@pytest.mark.parametrize("card", load_roles().cards.values(), ids=lambda card: card.name)
def test_a_shipped_role_says_how_to_weigh_and_what_a_good_finding_is(card: RoleCard) -> None:
    for part in ("Look for", "How to weigh it", "Do not conclude", "A good finding"):
        assert part in card.instructions
    assert 10 <= card.instructions.count("\n") + 1 <= 25
    assert card.model is None


@pytest.mark.parametrize(
    ("tools", "offered"),
    [
        (["query_metrics"], ["runtime_state_investigator"]),
        (["search_logs"], ["error_signal_investigator"]),
        (["list_changes"], ["recent_change_investigator"]),
        (["show_topology"], ["dependency_investigator"]),
        (["search_runbooks"], ["runbook_lookup"]),
        (["past_incidents"], ["ticket_history"]),
        (["get_oncall_schedule"], []),
        (["past_incidents", "list_changes"], ["recent_change_investigator", "ticket_history"]),
    ],
)
def test_a_role_is_offered_where_one_of_its_tools_exists(tools: list[str], offered: list[str]) -> None:
    found = load_roles().offered([*tools, "read_artifact", "list_entities"])

    assert [card.name for card in found] == [*offered, "general_investigator"]


def test_nobody_is_offered_where_there_is_nothing_to_ask() -> None:
    assert load_roles().offered(["read_artifact", "list_entities"]) == ()
    assert load_roles().offered([]) == ()


def test_a_pattern_allows_what_it_matches_and_nothing_else() -> None:
    card = RoleCard(name="a", description="A.", tools=("rank_*", "read_artifact"))

    assert [name for name in ("rank_edge_latency", "read_artifact", "Rank_x", "query_rank_") if card.allows(name)] == [
        "rank_edge_latency",
        "read_artifact",
    ]


# The operator's own


def test_a_folder_adds_roles_and_overrides_shipped_ones_by_name(tmp_path: Path) -> None:
    write(tmp_path, "mine.md", name="runbook_lookup", model="offline/analyst", rca_priority=99)
    added = write(tmp_path, "added.md", rca_priority=0, max_turns=3, max_seconds=30)

    roles = load_roles(tmp_path)

    assert set(roles.cards) == NAMES | {"cache_investigator"}
    assert (next(iter(roles.cards)), list(roles.cards)[-1]) == ("cache_investigator", "runbook_lookup")
    assert roles.cards["runbook_lookup"].model == "offline/analyst"
    assert roles.cards["cache_investigator"] == RoleCard(
        **GOOD, rca_priority=0, max_turns=3, max_seconds=30.0, instructions="Look at caches."
    )
    assert roles.origins["cache_investigator"] == added


def test_equal_priorities_are_ordered_by_name(tmp_path: Path) -> None:
    for name in ("zeta", "alpha", "mid"):
        write(tmp_path, f"{name}.md", name=name, rca_priority=100)

    assert list(load_roles(tmp_path).cards)[-3:] == ["alpha", "mid", "zeta"]


def test_limits_that_are_not_given_are_the_defaults(tmp_path: Path) -> None:
    card = read_files([write(tmp_path, model="  ")]).cards["cache_investigator"]

    assert (card.model, card.max_turns, card.max_seconds, card.rca_priority) == (None, 12, 600.0, 50)


def test_files_of_other_editors_and_systems_are_read(tmp_path: Path) -> None:
    text = write(tmp_path).read_text()
    (tmp_path / "role.md").write_bytes(("\ufeff" + text.replace("\n", "\r\n")).encode())
    (tmp_path / ".#role.md").write_text("an editor's")
    (tmp_path / "notes.txt").write_text("not a role")

    roles = read_folder(tmp_path)

    assert (list(roles.cards), roles.problems) == (["cache_investigator"], ())


BAD = [
    ({"name": "Cache"}, "name: ", "a lower-case letter"),
    ({"name": "a" * 61}, "name: ", "at most 59 more"),
    ({"name": "a\n"}, "name: ", "a lower-case letter"),
    ({"description": " "}, "description: ", "one to 1000 characters"),
    ({"tools": []}, "tools: ", "at least one tool's name or pattern"),
    ({"tools": "query_metrics"}, "tools: ", "a list of"),
    ({"tools": ["a, b"]}, "tools: ", "a list of"),
    ({"tools": [None]}, "tools: ", "a list of"),
    ({"model": 4}, "model: ", "a model as in RCA_SUBAGENT_MODEL"),
    ({"max_turns": 0}, "max_turns: ", "a whole number from 1 to 100"),
    ({"max_turns": 101}, "max_turns: ", "a whole number from 1 to 100"),
    ({"max_turns": True}, "max_turns: ", "a whole number from 1 to 100"),
    ({"max_turns": "12"}, "max_turns: ", "a whole number from 1 to 100"),
    ({"max_seconds": 9}, "max_seconds: ", "a number from 10 to 7200"),
    ({"max_seconds": 7201}, "max_seconds: ", "a number from 10 to 7200"),
    ({"max_seconds": float("nan")}, "max_seconds: ", "a number from 10 to 7200"),
    ({"rca_priority": -1}, "rca_priority: ", "from 0, offered first, to 100"),
    ({"rca_priority": 101}, "rca_priority: ", "from 0, offered first, to 100"),
    ({"temperature": 1}, "'temperature': ", "name, description, tools, model, max_turns, max_seconds, rca_priority"),
    ({"instructions": "x"}, "instructions: ", "name, description, tools, model"),
    ({"body": ""}, "instructions: ", "one to 20000 characters below the front matter"),
    ({"body": "x" * 20_001}, "instructions: ", "one to 20000 characters below the front matter"),
]


@pytest.mark.parametrize(("changes", "field", "accepted"), BAD, ids=lambda value: str(value)[:30])
def test_a_bad_value_names_file_and_field_and_what_is_accepted(
    tmp_path: Path, changes: dict[str, Any], field: str, accepted: str
) -> None:
    file = write(tmp_path, **changes)

    roles = read_folder(tmp_path)

    (problem,) = roles.problems
    assert problem.startswith(f"{file}: {field}")
    assert accepted in problem.partition("; accepted: ")[2]
    assert roles.cards == {}


@pytest.mark.parametrize("missing", ["name", "description", "tools"])
def test_a_missing_field_is_named(tmp_path: Path, missing: str) -> None:
    file = tmp_path / "role.md"
    file.write_text(f"---\n{yaml.safe_dump({k: v for k, v in GOOD.items() if k != missing})}---\nLook.\n")

    (problem,) = read_folder(tmp_path).problems

    assert problem.startswith(f"{file}: {missing}: Field required; accepted: ")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "Just words.",
        "---\nname: a\n",
        "---\n- a list\n---\nWords.",
        "---\n---\nWords.",
        "---\nname: [\n---\nWords.",
    ],
)
def test_a_file_without_front_matter_is_told_how_it_looks(tmp_path: Path, text: str) -> None:
    file = tmp_path / "role.md"
    file.write_text(text)

    (problem,) = read_folder(tmp_path).problems

    assert problem.startswith(f"{file}: front matter: no YAML fields")
    assert problem.endswith(f"{', '.join(FrontMatter.model_fields)} between two lines of ---")


def test_a_syntax_error_names_the_line_of_the_file(tmp_path: Path) -> None:
    (tmp_path / "role.md").write_text("---\nname: a\ntools: [rank_*\nmodel: b\n---\nWords.")

    assert "see line 4;" in read_folder(tmp_path).problems[0]


def test_every_fault_of_a_file_is_named_at_once(tmp_path: Path) -> None:
    write(tmp_path, max_turns=0, rca_priority=200, tools=[])

    fields = [problem.split(": ")[1] for problem in read_folder(tmp_path).problems]

    assert sorted(fields) == ["max_turns", "rca_priority", "tools"]


def test_two_files_with_one_name_are_a_problem_and_the_first_stays(tmp_path: Path) -> None:
    write(tmp_path, "a.md", description="First.")
    second = write(tmp_path, "b.md", description="Second.")

    roles = read_folder(tmp_path)

    assert [card.description for card in roles.cards.values()] == ["First."]
    assert roles.problems == (
        f"{second}: name: cache_investigator is already the role of a.md; accepted: a name of its own",
    )


def test_a_bad_override_leaves_the_shipped_role_in_its_place(tmp_path: Path) -> None:
    write(tmp_path, name="runbook_lookup", max_turns=1000)

    roles = load_roles(tmp_path)

    assert len(roles.problems) == 1
    assert roles.origins["runbook_lookup"].parent == SHIPPED


def test_a_folder_that_cannot_be_read_is_a_problem_and_the_shipped_roles_stay(tmp_path: Path) -> None:
    a_file = tmp_path / "file"
    a_file.touch()

    for place in (tmp_path / "none", a_file):
        roles = load_roles(place)
        assert set(roles.cards) == NAMES
        assert roles.problems[0].startswith(f"{place}: cannot be read (")


def test_what_is_no_text_file_is_a_problem(tmp_path: Path) -> None:
    (tmp_path / "folder.md").mkdir()
    (tmp_path / "latin.md").write_bytes(b"---\nname: caf\xe9\n---\n")

    folder, latin = read_folder(tmp_path).problems

    assert "folder.md: cannot be read (Is a directory)" in folder
    assert "latin.md: is not UTF-8" in latin


# Anything at all


@pytest.mark.parametrize(
    "front",
    [
        "name: !!int ''",
        "name: !!bool maybe",
        "name: !!timestamp soon",
        "name: 2024-13-45",
        "name: 1" + ":0" * 200 + ".0",
        "name: " + "9" * 5000,
        "name: " + "[" * 1000,
        "name: &a [*a]",
        "<<: x",
        '"\\ud800": 1',
        "? [a]\n: b",
        "1: 2",
    ],
    ids=lambda front: front[:30],
)
def test_yaml_that_its_own_reader_stumbles_over_is_a_problem(tmp_path: Path, front: str) -> None:
    (tmp_path / "role.md").write_text(f"---\n{front}\n---\nLook.\n")

    roles = read_folder(tmp_path)

    assert roles.cards == {}
    assert all("accepted: " in problem for problem in roles.problems)
    assert roles.problems


_scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20)
_values = st.recursive(
    _scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_scalars, inner, max_size=3)
)
_fronts = st.dictionaries(st.sampled_from(list(FrontMatter.model_fields)) | _scalars, _values, max_size=9).map(
    lambda front: yaml.safe_dump(front, allow_unicode=True)
)
_tagged = st.tuples(st.sampled_from(["int", "float", "bool", "timestamp", "binary", "null", "set", "omap"]), st.text())
_texts = st.text(max_size=200) | _tagged.map(lambda pair: f"name: !!{pair[0]} {pair[1]}")


@given(front=_fronts | _texts, body=st.text(max_size=50))
@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_whatever_a_file_holds_it_is_a_role_or_a_problem_of_one_line(tmp_path: Path, front: str, body: str) -> None:
    file = tmp_path / "role.md"
    file.write_bytes(f"---\n{front}\n---\n{body}".encode("utf-8", "surrogatepass"))

    roles = read_folder(tmp_path)

    assert bool(roles.cards) is not bool(roles.problems)
    for problem in roles.problems:
        assert problem.startswith(f"{file}: ")
        assert "accepted: " in problem
        assert len(problem.splitlines()) == 1
        problem.encode()


@given(pattern=st.text(min_size=1, max_size=30), name=st.text(max_size=30))
def test_any_pattern_answers(pattern: str, name: str) -> None:
    card = RoleCard.model_construct(name="a", description="A.", tools=(pattern,))

    assert card.allows(name) in {True, False}
    assert RoleCard.model_construct(tools=("*",)).allows(name)
