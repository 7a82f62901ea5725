"""Requests of one moment are answered together: a storm costs the database one commit for many events, not one each.

What comes while a batch is worked on is the next batch, so nobody waits longer than for the work under way and then
the own. All of it happens in one thread beside the event loop: a thread for each request would cost more than its rows.
"""

import asyncio
from asyncio import Future, Task
from collections import deque
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

BATCH = 50

Asked = TypeVar("Asked")
Told = TypeVar("Told")
AnswerAll = Callable[[Sequence[Asked]], Sequence[Told | Exception]]
"""Answers a batch: what each one asked for, or the error that is its alone. What is raised is everybody's."""


class Gathering(Generic[Asked, Told]):
    """Answers many at once, one batch after the other. It belongs to one event loop."""

    def __init__(self, answer_all: AnswerAll[Asked, Told]) -> None:
        self._answer_all = answer_all
        self._waiting: deque[tuple[Asked, Future[Told]]] = deque()
        self._work: Task[None] | None = None

    @property
    def is_idle(self) -> bool:
        """Whether nobody waits and nothing is worked on."""
        return self._work is None

    def ask(self, asked: Asked) -> Future[Told]:
        """Return what will hold the answer. It is worked on whether anybody awaits it or not."""
        answer: Future[Told] = asyncio.get_running_loop().create_future()
        self._waiting.append((asked, answer))
        if self._work is None:
            self._work = asyncio.create_task(self._work_off())
        return answer

    async def _work_off(self) -> None:
        try:
            while self._waiting:
                batch = [self._waiting.popleft() for _ in range(min(BATCH, len(self._waiting)))]
                told = await self._told([asked for asked, _ in batch])
                for (_, answer), one in zip(batch, told, strict=True):
                    _settle(answer, one)
        finally:
            self._work = None

    async def _told(self, asked: Sequence[Asked]) -> Sequence[Told | BaseException]:
        work = asyncio.get_running_loop().run_in_executor(None, self._answer_all, asked)
        await asyncio.wait([work])
        error = work.exception()
        return [error] * len(asked) if error is not None else work.result()


def _settle(answer: Future[Told], told: Told | BaseException) -> None:
    if answer.done():
        return  # whoever asked was cancelled meanwhile
    if isinstance(told, BaseException):
        answer.set_exception(told)
    else:
        answer.set_result(told)
