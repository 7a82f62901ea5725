"""A turn's open commands before the judge: what it said before, what it says now, every way it may say nothing."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from tests.fakes import ScriptedModel, calls_tools, says
from tests.unit.spine.claims import first_claim
from worker import judging
from worker.domain.conversation import ModelAnswer, ModelRequest, Route
from worker.domain.states import JudgeVerdict, Purpose, ToolCallStatus
from worker.domain.transcript import Claim, ToolCall
from worker.errors import LeaseLostError, ProviderUnavailableError, StorageUnavailableError, WorkerError
from worker.judging import Judged
from worker.services import Services
from worker.storage import verdicts
from worker.storage.tables import UsageRow, VerdictRow

Open = Callable[..., Services]
Decision = dict[str, str]

JUDGE = Route(provider="test", model="judge", wire="openai_chat")


def call_of(seq: int, command: str, status: ToolCallStatus = ToolCallStatus.PROPOSED) -> ToolCall:
    arguments = {"command": command}
    return ToolCall(seq, f"e1.{seq}", f"call_{seq}", "run_command", arguments, status, command=command)


ONE, TWO = call_of(1, "kubectl exec web -- ls"), call_of(2, "helm test web")


def decides(**by_id: str) -> ModelAnswer:
    """Answer for the commands e1_1, e1_2 … with these verdicts."""
    decisions = [{"id": i.replace("_", "."), "verdict": v, "reason": f"it is {v}"} for i, v in by_id.items()]
    return calls_tools(("decide_commands", {"decisions": decisions}))


class Bench:
    """A judge that answers by a script, and the services around it."""

    def __init__(self, open_services: Open, *answers: ModelAnswer | WorkerError) -> None:
        self.answers = list(answers)
        self.asked: list[ModelRequest] = []
        self.model = ScriptedModel([], judge=self._answer)
        self.services = open_services(self.model)
        self.claim = first_claim(self.services, judge_route=JUDGE)

    def _answer(self, request: ModelRequest) -> ModelAnswer:
        self.asked.append(request)
        answer = self.answers.pop(0)
        if isinstance(answer, WorkerError):
            raise answer
        return answer

    def judge(self, *calls: ToolCall, user_path: str = "/", claim: Claim | None = None) -> Judged:
        return judging.judge(self.services, claim or self.claim, calls=calls, user_path=user_path)

    def store(self, judged: Judged) -> None:
        with self.services.database.transaction() as session:
            verdicts_only = replace(judged, calls=(), booking=None)
            judging.store(session, self.claim, verdicts_only)

    def usage(self) -> list[tuple[str, str]]:
        with self.services.database.transaction() as session:
            return [(row.purpose, row.outcome) for row in session.query(UsageRow)]


def verdicts_of(judged: Judged) -> list[tuple[str, str | None]]:
    return [(call.status.value, call.reason) for call in judged.calls]


def test_the_judge_is_asked_once_for_all_open_commands(open_services: Open) -> None:
    bench = Bench(open_services, decides(e1_1="allow", e1_2="deny"))

    judged = bench.judge(ONE, TWO)

    assert verdicts_of(judged) == [("allowed", "it is allow"), ("denied", "it is deny")]
    assert [call.layer for call in judged.calls] == ["judge", "judge"]
    assert judged.calls[1].text == "Denied by judge: it is deny"
    assert len(bench.asked) == 1


def test_calls_that_are_decided_stay_as_they_are(open_services: Open) -> None:
    decided = [call_of(n, "ls", s) for n, s in enumerate(ToolCallStatus, 2) if s is not ToolCallStatus.PROPOSED]
    bench = Bench(open_services, decides(e1_1="allow"))

    judged = bench.judge(ONE, *decided)

    assert list(judged.calls[1:]) == decided
    assert "e1.2" not in bench.asked[0].messages[-1].text


def test_nothing_open_is_no_call(open_services: Open) -> None:
    bench = Bench(open_services)

    judged = bench.judge(call_of(1, "ls", ToolCallStatus.ALLOWED))

    assert (bench.asked, judged.booking, dict(judged.fresh)) == ([], None, {})


def test_what_the_judge_said_before_is_not_asked_again(open_services: Open) -> None:
    bench = Bench(open_services, decides(e1_1="allow"), decides(e1_2="deny"))
    bench.store(bench.judge(ONE))

    judged = bench.judge(ONE, TWO)

    assert [status for status, _ in verdicts_of(judged)] == ["allowed", "denied"]
    assert "e1.1" not in bench.asked[1].messages[-1].text
    assert len(judged.fresh) == 1


def test_a_verdict_is_kept_for_its_user_path_its_policy_and_its_model_only(open_services: Open) -> None:
    bench = Bench(open_services, *[decides(e1_1="allow") for _ in range(4)])
    bench.store(bench.judge(ONE, user_path="/team/a"))
    elsewhere = replace(bench.claim.agent, judge_route=JUDGE.model_copy(update={"model": "another"}))

    bench.judge(ONE, user_path="/team/a")
    assert len(bench.asked) == 1

    bench.judge(ONE, user_path="/team/b")
    bench.judge(ONE, user_path="/team/a", claim=replace(bench.claim, agent=elsewhere))
    assert len(bench.asked) == 3


def test_a_verdict_that_has_expired_is_asked_for_again(open_services: Open) -> None:
    bench = Bench(open_services, decides(e1_1="allow"), decides(e1_1="deny"))
    bench.store(bench.judge(ONE))
    with bench.services.database.transaction() as session:
        row = session.query(VerdictRow).one()
        assert row.expires_at - row.created_at == verdicts.KEPT_FOR
        row.expires_at = row.created_at

    again = bench.judge(ONE)
    bench.store(again)

    assert verdicts_of(again) == [("denied", "it is deny")]
    assert [v for v, _ in verdicts_of(bench.judge(ONE))] == ["denied"]
    assert len(bench.asked) == 2


def test_without_a_judge_everything_open_is_denied_and_nothing_kept(open_services: Open) -> None:
    bench = Bench(open_services)
    alone = replace(bench.claim, agent=replace(bench.claim.agent, judge_route=None))

    judged = bench.judge(ONE, claim=alone)

    assert verdicts_of(judged) == [("denied", "no rule proves it read-only and there is no model to judge it")]
    assert dict(judged.fresh) == {}


def test_a_judge_that_fails_denies_and_the_call_is_booked(open_services: Open) -> None:
    bench = Bench(open_services, ProviderUnavailableError("down, key sk-hidden"))

    judged = bench.judge(ONE)

    assert verdicts_of(judged) == [("denied", "the judge did not answer (provider_unavailable)")]
    assert (dict(judged.fresh), judged.booking) == ({}, None)
    assert bench.usage() == [(Purpose.JUDGE, "provider_unavailable")]


@pytest.mark.parametrize(
    "nonsense",
    [
        says("I would allow all of it."),
        calls_tools(("decide_commands", {"decisions": "allow"})),
        calls_tools(("decide_commands", {"decisions": [{"id": "e1.1", "verdict": "perhaps", "reason": "x"}]})),
        calls_tools(("decide_commands", {"decisions": [{"id": "e1.1", "verdict": "allow", "reason": " "}]})),
        decides(e1_1="allow", e9_9="allow"),
        calls_tools(("another_tool", {"decisions": []})),
    ],
)
def test_nonsense_denies_is_paid_for_and_is_not_kept(open_services: Open, nonsense: ModelAnswer) -> None:
    bench = Bench(open_services, nonsense)

    judged = bench.judge(ONE)

    assert [status for status, _ in verdicts_of(judged)] == ["denied"]
    assert dict(judged.fresh) == {}
    assert judged.booking is not None


def test_a_command_the_judge_leaves_out_is_denied_and_asked_about_again(open_services: Open) -> None:
    bench = Bench(open_services, decides(e1_1="allow"), decides(e1_2="allow"))
    first = bench.judge(ONE, TWO)
    bench.store(first)

    second = bench.judge(ONE, TWO)

    assert verdicts_of(first) == [("allowed", "it is allow"), ("denied", "the judge did not decide this command")]
    assert [status for status, _ in verdicts_of(second)] == ["allowed", "allowed"]
    assert "e1.1" not in bench.asked[1].messages[-1].text


@pytest.mark.parametrize("error", [LeaseLostError("taken over"), StorageUnavailableError("away")])
def test_what_says_nothing_of_the_judge_is_no_denial(open_services: Open, error: WorkerError) -> None:
    bench = Bench(open_services, error)

    with pytest.raises(type(error)):
        bench.judge(ONE)


def test_a_spent_budget_denies_without_a_call(open_services: Open) -> None:
    model = ScriptedModel([])
    poor = open_services(model, rca_max_tokens=1)
    claim = first_claim(poor, judge_route=JUDGE)

    judged = judging.judge(poor, claim, calls=(ONE,), user_path="/")

    assert "budget leaves no room for the judge" in str(judged.calls[0].reason)
    assert model.judge_calls == 0


def test_a_verdict_is_kept_anew_over_an_older_one(open_services: Open) -> None:
    services: Any = open_services(ScriptedModel([]))

    for verdict in (JudgeVerdict.ALLOW, JudgeVerdict.DENY):
        with services.database.transaction() as session:
            verdicts.keep(session, "k", verdict=verdict, reason=f"now {verdict}", model="m")

    with services.database.transaction() as session:
        assert verdicts.find(session, ["k", "other"]) == {"k": (JudgeVerdict.DENY, "now deny")}
