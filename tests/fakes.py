"""Doubles on the product's own ports."""

import threading
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from worker.domain.conversation import (
    AssistantMessage,
    Confirm,
    ModelAnswer,
    ModelRequest,
    Route,
    StopReason,
    ToolRequest,
    Usage,
)
from worker.services import Message
from worker.storage.outbox import WakeUp

Say = Callable[[ModelRequest], ModelAnswer]


def calls_tools(*calls: tuple[str, dict[str, Any]], text: str = "") -> ModelAnswer:
    """Answer with tool calls, each a name with its arguments."""
    requests = tuple(ToolRequest(id=f"call_{i}", name=n, arguments=a) for i, (n, a) in enumerate(calls, 1))
    message = AssistantMessage(text=text, tool_requests=requests)
    return ModelAnswer(
        message=message, stop_reason=StopReason.TOOL_USE, usage=Usage(input_tokens=100, output_tokens=10)
    )


def says(text: str) -> ModelAnswer:
    usage = Usage(input_tokens=100, output_tokens=10)
    return ModelAnswer(message=AssistantMessage(text=text), stop_reason=StopReason.END, usage=usage)


class ScriptedModel:
    """Answers the n-th turn of a conversation with the n-th line of a script, however often it is asked.

    A line is an answer, an error to raise, or a function of the request.
    """

    def __init__(self, script: Sequence[ModelAnswer | Exception | Say], *, judge: Say | None = None) -> None:
        self.script = list(script)
        self.judge = judge
        self.requests: list[ModelRequest] = []
        self.calls_per_turn: Counter[int] = Counter()
        self.judge_calls = 0
        self._mutex = threading.Lock()

    def ask(
        self, request: ModelRequest, *, route: Route, timeout_s: float, confirm: Confirm | None = None
    ) -> ModelAnswer:
        if request.forced_tool == "decide_commands":
            with self._mutex:
                self.judge_calls += 1
            if self.judge is None:
                raise AssertionError("the script has no judge")
            return self.judge(request)
        turn = 1 + sum(1 for m in request.messages if isinstance(m, AssistantMessage))
        with self._mutex:
            self.requests.append(request)
            self.calls_per_turn[turn] += 1
        line = self.script[min(turn, len(self.script)) - 1]
        if isinstance(line, Exception):
            raise line
        return line(request) if callable(line) else line


class CollectingQueue:
    """Keeps messages instead of sending them: wake-ups of steps in `sent`, of deliveries in `deliveries`."""

    def __init__(self) -> None:
        self.sent: list[WakeUp] = []
        self.deliveries: list[str] = []

    def __call__(self, messages: Iterable[Message]) -> None:
        for message in messages:
            if isinstance(message, WakeUp):
                self.sent.append(message)
            else:
                self.deliveries.append(str(message.arguments[0]))

    def take(self) -> list[WakeUp]:
        taken, self.sent = self.sent, []
        return taken
