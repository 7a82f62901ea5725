"""What is asked while a batch is worked on makes up the next batch, and nobody answers for another."""

import asyncio
import threading
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import pytest

from worker.web.gathering import BATCH, Gathering

ASKERS = 12


class Shelf:
    """Answers batches; the first waits until it is let go. What is named in `alone` fails alone, in `all` its batch."""

    def __init__(self, *, alone: Sequence[str] = (), whole: Sequence[str] = ()) -> None:
        self.batches: list[list[str]] = []
        self.alone, self.whole = alone, whole
        self.is_entered = threading.Event()
        self.is_let_go = threading.Event()

    def answer_all(self, asked: Sequence[str]) -> list[str | Exception]:
        self.batches.append(list(asked))
        self.is_entered.set()
        assert self.is_let_go.wait(10)
        assert not set(asked) & set(self.whole), "a defect"
        return [ValueError(one) if one in self.alone else one.upper() for one in asked]


def run(work: Callable[[], Awaitable[Any]]) -> Any:
    async def working() -> Any:
        return await asyncio.wait_for(work(), 10)

    with asyncio.Runner() as runner:
        return runner.run(working())


async def ask_all(gathering: Gathering[str, str], shelf: Shelf, names: Sequence[str]) -> list[asyncio.Future[str]]:
    """Ask the first, and the others while it is worked on."""
    first = gathering.ask(names[0])
    assert await asyncio.to_thread(shelf.is_entered.wait, 10)
    others = [gathering.ask(name) for name in names[1:]]
    shelf.is_let_go.set()
    return [first, *others]


def answers_of(shelf: Shelf, names: Sequence[str]) -> list[Any]:
    async def work() -> list[Any]:
        asked = await ask_all(Gathering(shelf.answer_all), shelf, names)
        return await asyncio.gather(*asked, return_exceptions=True)

    answers: list[Any] = run(work)
    return answers


def test_who_comes_meanwhile_shares_the_next_batch_and_gets_the_own_answer() -> None:
    shelf, names = Shelf(), [f"a{n}" for n in range(ASKERS)]

    answers = answers_of(shelf, names)

    assert answers == [name.upper() for name in names]
    assert [len(batch) for batch in shelf.batches] == [1, ASKERS - 1]


def test_a_batch_has_an_end_and_the_rest_is_answered_next() -> None:
    shelf, names = Shelf(), [f"a{n}" for n in range(BATCH + 6)]

    answers = answers_of(shelf, names)

    assert answers == [name.upper() for name in names]
    assert [len(batch) for batch in shelf.batches] == [1, BATCH, 5]


def test_an_error_of_one_is_told_to_nobody_else() -> None:
    answers = answers_of(Shelf(alone=["a3"]), [f"a{n}" for n in range(6)])

    assert [type(answer) for answer in answers] == [str] * 3 + [ValueError] + [str] * 2


def test_a_defect_leaves_nobody_waiting_and_what_comes_next_is_answered() -> None:
    shelf = Shelf(whole=["a1"])

    async def work() -> list[Any]:
        gathering = Gathering(shelf.answer_all)
        asked = await ask_all(gathering, shelf, ["a0", "a1", "a2"])
        answers = await asyncio.gather(*asked, return_exceptions=True)
        return [*answers, await gathering.ask("a3")]

    answers = run(work)

    assert [type(answer) for answer in answers] == [str, AssertionError, AssertionError, str]


def test_one_who_gives_up_harms_no_other() -> None:
    shelf = Shelf()

    async def work() -> list[str]:
        first, second, third = await ask_all(Gathering(shelf.answer_all), shelf, ["a0", "a1", "a2"])
        second.cancel()
        return [await first, await third]

    assert run(work) == ["A0", "A2"]


@pytest.mark.parametrize("awaited", [1, 2])
def test_it_is_idle_once_the_last_is_answered(awaited: int) -> None:
    shelf = Shelf()

    async def work() -> bool:
        gathering = Gathering(shelf.answer_all)
        asked = await ask_all(gathering, shelf, ["a0", "a1"])
        for answer in asked[:awaited]:
            await answer
        return gathering.is_idle

    assert run(work) is (awaited == 2)
