"""A worker asked to end: it finishes what fits its grace, puts the rest back, and leaves with 0."""

import time
from collections.abc import Callable

from tests.acceptance.system import System, reports, runs
from worker.domain.states import AgentStatus

Install = Callable[..., System]


def test_a_call_longer_than_the_grace_is_put_back_without_counting_as_a_loss(install: Install) -> None:
    system, marker = install(RCA_GRACE_S="1"), "longer than the grace"
    system.provider.play(marker, [runs("uptime"), reports()], slow_once={1: 30})
    worker = system.start_worker()

    investigation = system.open(marker)
    system.wait_for_turn(marker, 1)
    asked_at = time.monotonic()
    exit_code = worker.terminate(within_s=10)
    took_s = time.monotonic() - asked_at
    put_back = system.agent(investigation)
    system.start_worker()
    system.wait_until_completed(investigation)

    assert exit_code == 0
    assert 0.9 < took_s < 4
    assert (put_back.status, put_back.claim_token) == (AgentStatus.READY, None)
    assert (put_back.losses, put_back.attempts, put_back.outage_since) == (0, 0, None)
    assert '"put_back": 1' in worker.log()
    assert system.provider.turns(marker) == {1: 2, 2: 1}


def test_a_call_within_the_grace_is_finished_and_its_worker_starts_nothing_after_it(install: Install) -> None:
    system, marker = install(RCA_GRACE_S="10"), "within the grace"
    system.provider.play(marker, [runs("uptime"), reports()], slow_once={1: 1.5})
    worker = system.start_worker()

    investigation = system.open(marker)
    system.wait_for_turn(marker, 1)
    exit_code = worker.terminate(within_s=8)
    left = system.agent(investigation)
    system.start_worker()
    system.wait_until_completed(investigation)

    assert exit_code == 0
    assert (left.status, left.claim_token) == (AgentStatus.READY_TO_ACT, None)
    assert system.provider.turns(marker) == {1: 1, 2: 1}


def test_an_idle_worker_leaves_at_once(install: Install) -> None:
    worker = install().start_worker()

    assert worker.terminate(within_s=5) == 0
