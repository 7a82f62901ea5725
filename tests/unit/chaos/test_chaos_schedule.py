"""The schedule of faults: fixed by its seed, complete, in time."""

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from tests.benchmarks.chaos.schedule import COUNTS, FaultKind, plan


@given(seed=st.integers(min_value=0))
def test_a_seed_fixes_the_whole_schedule(seed: int) -> None:
    first = plan(seed, COUNTS, span_s=300, lease_s=4)

    assert plan(seed, COUNTS, span_s=300, lease_s=4) == first


def test_another_seed_is_another_schedule() -> None:
    assert plan(1, COUNTS, span_s=300, lease_s=4) != plan(2, COUNTS, span_s=300, lease_s=4)


@given(seed=st.integers(min_value=0), span_s=st.floats(min_value=1, max_value=1000))
def test_every_fault_comes_once_in_order_and_within_the_span(seed: int, span_s: float) -> None:
    faults = plan(seed, COUNTS, span_s=span_s, lease_s=4)

    assert Counter(f.kind for f in faults) == COUNTS
    assert [f.at_s for f in faults] == sorted(f.at_s for f in faults)
    assert all(0 <= f.at_s <= span_s + 0.001 for f in faults)


@given(seed=st.integers(min_value=0), lease_s=st.floats(min_value=0.5, max_value=10))
def test_a_freeze_outlasts_the_lease_and_a_stall_does_not(seed: int, lease_s: float) -> None:
    faults = plan(seed, COUNTS, span_s=300, lease_s=lease_s)

    assert all(f.lasts_s > lease_s for f in faults if f.kind is FaultKind.FREEZE)
    assert {f.lasts_s for f in faults if f.kind is FaultKind.STALL} == {3.0}
