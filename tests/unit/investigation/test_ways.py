"""Ways that a causal chain may go."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.investigation.ways import Ways, read_ways

NAMES = st.sampled_from(["web", "cart", "cart-db", "mail", "batch"])
EDGES = st.lists(st.tuples(NAMES, NAMES), max_size=8)


@given(EDGES, NAMES, NAMES)
def test_a_way_is_one_from_either_end(edges: list[tuple[str, str]], one: str, other: str) -> None:
    ways = Ways(edges)

    assert ways.joined(one, other) == ways.joined(other, one)
    assert ways.joined(one, one)
    assert all(ways.joined(a, b) for a, b in edges)


@given(EDGES, st.lists(st.text(max_size=30) | NAMES, max_size=5), NAMES)
def test_a_break_is_between_two_that_are_not_joined(edges: list[tuple[str, str]], hops: list[str], entity: str) -> None:
    ways = Ways(edges)
    found = ways.find_break(entity, hops)

    assert found is None or not ways.joined(*found)
    assert ways.find_break(entity, [entity]) is None


def test_two_that_share_a_caller_are_not_joined_by_it() -> None:
    assert not Ways([("web", "cart"), ("web", "mail")]).joined("cart", "mail")


def test_a_longer_name_is_not_the_shorter_one() -> None:
    ways = Ways([("web", "cart"), ("mail", "cart-db")])

    assert ways.find_break("web", ["cart is slow"]) is None
    assert ways.find_break("web", ["cart-db is slow"]) == ("web", "cart-db")


@pytest.mark.parametrize(
    "text", ["", "no json", "[]", '"edges"', '{"edges": 3}', '{"edges": [["a"], "ab", [1, 2], null]}', '{"rows": [{}]}']
)
def test_what_tells_no_ways_is_none(text: str) -> None:
    assert read_ways([("show_topology", text), ("rank_edge_latency", text)]).nodes == frozenset()


def test_what_another_tool_says_is_no_way() -> None:
    assert read_ways([("search_logs", json.dumps({"edges": [["a", "b"]]}))]).nodes == frozenset()
