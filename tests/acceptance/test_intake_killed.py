"""The bridge killed with -9 between reading a message and acknowledging it: another takes it over, once."""

import json
from collections.abc import Callable

import psycopg

from tests.acceptance.system import System, reports, wait_for

Install = Callable[..., System]


def test_a_message_read_by_a_bridge_that_was_killed_becomes_one_incident(install: Install) -> None:
    system, marker = install(), "read, not acknowledged"
    system.provider.play(marker, [reports()])
    bridge = system.start_intake()
    system.start_worker()

    with psycopg.connect(system.database_dsn) as blocker:
        blocker.execute("LOCK TABLE alerts IN ACCESS EXCLUSIVE MODE")
        system.xadd(json.dumps({"title": marker}))
        wait_for(system.pending_messages, within_s=5, otherwise=bridge.log)
        bridge.kill()
    assert system.find(marker) == []
    system.start_intake()
    found = wait_for(lambda: system.find(marker), within_s=15, otherwise=lambda: "the message is lost")
    system.wait_until_completed(found[0].id)

    assert len(system.find(marker)) == 1
    assert system.provider.turns(marker) == {1: 1}
    wait_for(lambda: not system.pending_messages(), within_s=3, otherwise=lambda: "it is still pending")
