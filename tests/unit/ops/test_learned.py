"""What a process learns of secrets while it runs: known in what it stores and logs alike, and not without bound."""

import pytest

from worker.ops.learned import MAX_PASSING
from worker.ops.redaction import Learned, Redactor, _forms

KEY = "zq7-Wm4v9/LkTt2+Rr8Xx1"


@pytest.mark.parametrize("is_passing", [False, True])
def test_what_one_learns_all_that_share_it_redact(is_passing: bool) -> None:  # noqa: FBT001 - parametrized
    shared = Learned(_forms)
    services, log, another = Redactor(learned=shared), Redactor(["known-secret"], learned=shared), Redactor()

    services.learn([KEY, "short"], is_passing=is_passing)

    for redactor in (services, log):
        for form in (KEY, "zq7-Wm4v9%2FLkTt2%2BRr8Xx1"):
            assert redactor.scrub(f"sent {form}, short").startswith("sent [redacted:known:")
            assert redactor.scrub(f"sent {form}, short").endswith("], short")
    assert another.scrub(KEY) == KEY


def test_of_passing_ones_the_oldest_is_forgotten_and_learned_again_when_it_is_used() -> None:
    redactor = Redactor()
    redactor.learn(["a-lasting-secret"])
    redactor.learn([KEY], is_passing=True)
    for number in range(MAX_PASSING):
        redactor.learn([f"another-key-{number:06}"], is_passing=True)

    assert redactor.scrub(KEY) == KEY
    assert "lasting" not in redactor.scrub("a-lasting-secret")
    redactor.learn([KEY], is_passing=True)
    assert KEY not in redactor.scrub(KEY)
    assert len(redactor._learned._passing) == MAX_PASSING


def test_a_key_that_begins_with_another_is_taken_out_whole() -> None:
    redactor = Redactor()
    redactor.learn([KEY, KEY + "-and-more"])

    assert redactor.scrub(f"x {KEY}-and-more y").count("[redacted:known:") == 1
    assert "more" not in redactor.scrub(f"x {KEY}-and-more y")
