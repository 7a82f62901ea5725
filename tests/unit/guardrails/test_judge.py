"""The judge: asked once for all, told no more than it needs, and believed only where it is clear."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.domain.conversation import AssistantMessage, ModelAnswer, StopReason, ToolRequest
from worker.domain.states import JudgeVerdict
from worker.guardrails.judge import (
    TOOL_NAME,
    JudgedCommand,
    cache_key,
    denied_all,
    judge_request,
    parse_verdicts,
    prompt_version,
)


def answer(arguments: Any = None, *, text: str = "", name: str = TOOL_NAME, times: int = 1) -> ModelAnswer:
    requests = tuple(ToolRequest(id=f"t{i}", name=name, arguments=arguments) for i in range(times)) if times else ()
    return ModelAnswer(message=AssistantMessage(text=text, tool_requests=requests), stop_reason=StopReason.TOOL_USE)


def decided(*decisions: Any) -> ModelAnswer:
    return answer({"decisions": list(decisions)})


ALLOW_1 = {"id": "1", "verdict": "allow", "reason": "only reads"}
DENY_2 = {"id": "2", "verdict": "deny", "reason": "writes"}


def test_all_open_commands_go_into_one_forced_call() -> None:
    request = judge_request([JudgedCommand("1", "ls $X # trust me"), JudgedCommand("2", "frob")])

    assert request.forced_tool == TOOL_NAME
    assert [t.name for t in request.tools] == [TOOL_NAME]
    asked = request.messages[1].text
    assert "ls $X" in asked
    assert "frob" in asked
    assert "trust me" not in asked


def test_each_decision_is_read_with_its_reason() -> None:
    verdicts = parse_verdicts(decided(ALLOW_1, DENY_2), ["1", "2"])

    assert verdicts["1"].is_allowed
    assert verdicts["2"].verdict is JudgeVerdict.DENY
    assert verdicts["2"].reason == "writes"


def test_the_same_object_as_text_is_read_too() -> None:
    text = '{"decisions": [{"id": "1", "verdict": "allow", "reason": "only reads"}]}'

    assert parse_verdicts(answer(text=text, times=0), ["1"])["1"].is_allowed


@pytest.mark.parametrize(
    "nonsense",
    [
        answer(None),
        answer({}),
        answer({"decisions": "allow"}),
        answer({"decisions": {}}),
        answer(text="allow", times=0),
        answer(text="", times=0),
        answer(text="[" * 5000, times=0),
        answer({"decisions": [ALLOW_1]}, name="other"),
        answer({"decisions": [ALLOW_1]}, times=2),
        decided(),
        decided(None),
        decided("allow"),
        decided([]),
        decided(ALLOW_1, ALLOW_1),
        decided(ALLOW_1, {**ALLOW_1, "verdict": "deny"}),
        decided({**ALLOW_1, "id": 1}),
        decided(ALLOW_1, {**ALLOW_1, "id": "9"}),
        decided({**ALLOW_1, "verdict": "ALLOW"}),
        decided({**ALLOW_1, "verdict": True}),
        decided({**ALLOW_1, "verdict": ["allow"]}),
        decided({**ALLOW_1, "reason": ""}),
        decided({**ALLOW_1, "reason": None}),
        decided({"id": "1", "verdict": "allow"}),
        decided({"id": "1", "reason": "x"}),
        decided({**ALLOW_1, "id": ["1"]}),
    ],
)
def test_whatever_is_not_clear_is_a_denial(nonsense: ModelAnswer) -> None:
    verdicts = parse_verdicts(nonsense, ["1"])

    assert set(verdicts) == {"1"}
    assert not verdicts["1"].is_allowed
    assert not verdicts["1"].is_answered
    assert verdicts["1"].reason


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda c: (
        st.lists(c, max_size=4)
        | st.dictionaries(st.sampled_from(["id", "verdict", "reason", "decisions", "x"]), c, max_size=4)
    ),
    max_leaves=12,
)


@given(st.dictionaries(st.sampled_from(["decisions", "x"]), JSON, max_size=2))
def test_any_answer_gives_one_judgement_per_command(arguments: dict[str, Any]) -> None:
    verdicts = parse_verdicts(answer(arguments), ["1", "2"])

    assert set(verdicts) == {"1", "2"}


def test_all_are_denied_for_one_reason() -> None:
    assert {j.reason for j in denied_all(["1", "2"], "the judge did not answer").values()} == {
        "the judge did not answer"
    }


def key(
    command: str = "ls $X", *, role: str = "single", user_path: str = "/a", policy: str = "p", model: str = "m"
) -> str:
    judged = JudgedCommand("1", command, role=role)
    return cache_key(judged, user_path=user_path, policy_version=policy, model=model)


def test_a_kept_verdict_is_found_again_under_another_id_or_comment() -> None:
    assert key("ls $X # a") == key("ls $X # b")


@pytest.mark.parametrize(
    "change", [{"command": "ls $Y"}, {"role": "sub"}, {"user_path": "/b"}, {"policy": "q"}, {"model": "n"}]
)
def test_whatever_may_change_a_verdict_changes_its_key(change: dict[str, str]) -> None:
    assert key(**change) != key()


def test_the_prompt_has_a_version() -> None:
    assert len(prompt_version()) == 12
