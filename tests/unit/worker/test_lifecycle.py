"""A worker whose heartbeat or sweeper died of a defect does not live on without it."""

import threading

from worker.lifecycle import CRASHED, EndWithDuty


def crash_in_thread(name: str) -> list[object]:
    """Let a thread of this name die under the hook; return what the hook did, in order."""
    seen: list[object] = []
    before = threading.excepthook
    threading.excepthook = EndWithDuty(lambda crash: seen.append(crash.exc_type), leave=seen.append)
    try:
        thread = threading.Thread(target=lambda: 1 // 0, name=name)
        thread.start()
        thread.join()
    finally:
        threading.excepthook = before
    return seen


def test_a_dead_sweeper_ends_the_process_after_it_was_logged() -> None:
    assert crash_in_thread("sweeper") == [ZeroDivisionError, CRASHED]


def test_a_dead_heartbeat_ends_the_process() -> None:
    assert crash_in_thread("heartbeat")[-1] == CRASHED


def test_another_thread_that_dies_is_only_logged() -> None:
    assert crash_in_thread("act_3") == [ZeroDivisionError]
