"""A command that is not allowed is allowed in no construct of the shell, however deep; whatever comes in is decided."""

import random
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.guardrails.disguises import FORBIDDEN, TANGLES, TRAPS, WRAPPERS, sprung
from tests.unit.guardrails.mutations import mutated
from worker.guardrails.pipeline import DecisionVerdict, decide
from worker.guardrails.policy import Policy
from worker.guardrails.shell import parse
from worker.guardrails.source import MAX_BYTES

NO_POLICY = Policy()
EVERYDAY = [
    line
    for line in (Path(__file__).parent / "everyday.txt").read_text().split("\n")
    if line and not line.startswith("#")
]
SPLICES = (
    "{e}; {c}",
    "{e} & {c}",
    "{e}\n{c}",
    "{e} && {c}",
    "{e} | {c}",
    "{c}; {e}",
    '{e} "$({c})"',
    "{e} `{c}`",
    "{e} <({c})",
)


def is_allowed(command: str) -> bool:
    return decide(command, policy=NO_POLICY).verdict is DecisionVerdict.ALLOW


@given(st.sampled_from(FORBIDDEN), st.lists(st.sampled_from(WRAPPERS), max_size=3))
@settings(max_examples=1000, deadline=None)
def test_a_forbidden_command_is_forbidden_in_every_construct(command: str, wrappers: list) -> None:
    for wrap in wrappers:
        command = wrap(command)

    assert not is_allowed(command)


@pytest.mark.parametrize("command", FORBIDDEN)
def test_each_construct_alone_does_not_help(command: str) -> None:
    assert [wrapped for wrap in WRAPPERS if is_allowed(wrapped := wrap(command))] == []


@given(st.sampled_from(EVERYDAY), st.sampled_from(FORBIDDEN), st.sampled_from(SPLICES))
@settings(max_examples=1000, deadline=None)
def test_an_everyday_command_carries_nothing_along(everyday: str, command: str, splice: str) -> None:
    assert not is_allowed(splice.format(e=everyday, c=command))


@given(st.sampled_from(EVERYDAY), st.integers(0, 4000), st.sampled_from([*"$`;&|<>(){}\\\n'\"!*?[~#\0\r", "$(", "<("]))
@settings(max_examples=1000, deadline=None)
def test_one_character_more_never_makes_a_substitution_static(everyday: str, place: int, more: str) -> None:
    place %= len(everyday) + 1
    command = everyday[:place] + more + everyday[place:]

    if is_allowed(command):
        script = parse(command)
        assert script.is_static
        assert not {"\0", "\r"} & set(command)


@given(st.text(st.sampled_from("lscatgrep -|;&$(){}<>'\"`\\\n*?/.e=kubtd"), max_size=60))
def test_random_syntax_is_decided_and_static_where_it_is_allowed(command: str) -> None:
    if is_allowed(command):
        assert "`" not in command or "'" in command


def test_no_input_breaks_the_guardrail() -> None:
    chance = random.Random(7)  # noqa: S311 -- a repeatable test
    verdicts = {decide(mutated(chance, EVERYDAY), policy=NO_POLICY).verdict for _ in range(3000)}

    assert verdicts == set(DecisionVerdict)


@pytest.mark.parametrize("tangle", TANGLES)
def test_no_tangle_hides_a_forbidden_command(tangle: str) -> None:
    hidden = "\nrm -rf /srv"
    room = MAX_BYTES - len(hidden)

    assert not is_allowed((tangle * room)[:room] + hidden)


@pytest.mark.parametrize("trap", TRAPS)
def test_no_trap_holds_up_the_guardrail(trap: tuple[str, str, str]) -> None:
    """One that did would not end in hours: `make bench-guardrail` prints the times."""
    assert not is_allowed(sprung(*trap))
    assert not is_allowed(sprung(*trap, size=500))
