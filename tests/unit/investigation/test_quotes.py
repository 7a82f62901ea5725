"""Quotes are looked up as words and whole numbers, in whatever spelling."""

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from worker.investigation.quotes import QuotedText, fold

RESULT = (
    '{"query": "latency_p99", "rows": [{"entity": "orders", "p99_ms": 1250.50, "share": 0.120},'
    ' {"entity":"billing","p99_ms":45}], "note": "rose at 10:05\\nfrom host-7, 1,234 requests, delta -5"}'
)


@pytest.mark.parametrize(
    "quote",
    [
        '"entity": "orders"',
        "ENTITY: Orders",
        "\u201centity\u201d: \u201corders\u201d",
        '"entity":"orders"',
        "p99_ms: 1250.5",
        "p99_ms: 1,250.50",
        "share: 0.12",
        "1234 requests",
        "1,234 requests",
        "rose  at\n10:05 from host\u20117",
        "`latency_p99`",
        "\u2026rose at 10:05\u2026",
        "rose at 10:05 ... 1,234 requests",
        "delta -5",
        "45",
    ],
)
def test_a_quote_holds_in_another_spelling(quote: str) -> None:
    assert QuotedText(RESULT).holds(quote)


@pytest.mark.parametrize(
    "quote",
    [
        "p99_ms: 125",
        "p99_ms: 1250",
        "250.50",
        "1,23 requests",
        "234 requests",
        "delta 5",
        "5",
        "entity: order",
        "ntity: orders",
        "entity: payments",
        "rose at 10:0",
        "requests ... rose",
        "",
        "...",
        '", "',
    ],
)
def test_a_quote_with_other_words_or_numbers_does_not_hold(quote: str) -> None:
    assert not QuotedText(RESULT).holds(quote)


def test_an_ellipsis_does_not_join_rows_far_apart() -> None:
    text = QuotedText(f"orders is fine {'x ' * 300} errors 95 %")

    assert not text.holds("orders ... errors 95 %")
    assert text.holds("errors ... 95 %")


def test_a_later_place_may_hold_what_the_first_place_does_not() -> None:
    text = QuotedText(f"orders starts {'x ' * 300} orders says errors 95 %")

    assert text.holds("orders ... errors 95 %")


def test_addresses_and_versions_are_not_shortened_like_numbers() -> None:
    text = QuotedText("from 10.0.0.10 running 1.20.10")

    assert not text.holds("10.0.0.1")
    assert not text.holds("1.20.1")
    assert text.holds("10.0.0.10 running 1.20.10")


def test_the_noise_of_binary_fractions_is_no_difference() -> None:
    text = QuotedText(f"p99_ms: {5999 * 1.37}")

    assert text.holds("p99_ms: 8218.630000000001")
    assert text.holds("p99_ms: 8218.63")
    assert not text.holds("p99_ms: 8218.6")


def test_a_list_of_numbers_holds_each_in_its_own_place() -> None:
    assert QuotedText('{"values": [1, 2, 3]}').holds("values: [1,2,3]")
    assert QuotedText('{"values": [100,200]}').holds("[100,200]")


def test_wrong_numbers_are_told_from_wrong_words() -> None:
    text = QuotedText("p99 rose from 45 to 945 ms")

    assert text.holds_but_for_numbers("p99 rose from 40 to 900 ms")
    assert not text.holds_but_for_numbers("p50 fell to 900 ms")


def test_a_name_is_not_found_in_a_longer_known_name() -> None:
    text = QuotedText("cart-db is slow, cartographer too")

    assert not text.names("cart", other_names=frozenset({"cart", "cart-db"}))
    assert text.names("cart-db", other_names=frozenset({"cart", "cart-db"}))
    assert QuotedText("cart-db waits for cart").names("cart", other_names=frozenset({"cart-db"}))


def test_an_enormous_exponent_is_not_written_out() -> None:
    assert len(fold("1e999999999")) < 20


@given(st.text(max_size=200))
def test_a_text_with_words_holds_itself(text: str) -> None:
    assume(any(c.isalnum() for c in fold(text)))

    assert QuotedText(f"before\n{text}\nafter").holds(text)


@given(
    st.lists(st.sampled_from(["orders", "errors", "rose", "12", "1250", "4.5"]), max_size=12),
    st.lists(st.sampled_from(["orders", "rose", "125", "4", "5", "50", "err"]), min_size=1, max_size=3),
)
def test_a_quote_holds_exactly_where_its_words_stand_in_a_row(text: list[str], quote: list[str]) -> None:
    stands = any(text[i : i + len(quote)] == quote for i in range(len(text)))

    assert QuotedText(" ".join(text)).holds(" ".join(quote)) == stands


@given(st.integers(-(10**9), 10**9), st.integers(-(10**9), 10**9))
def test_a_number_is_only_itself(written: int, quoted: int) -> None:
    assume(written != quoted)

    assert QuotedText(f"count = {written} rows").holds(f"count = {written:,} rows")
    assert not QuotedText(f"count = {written} rows").holds(f"count = {quoted} rows")


@given(st.text(max_size=80), st.text(max_size=80))
def test_no_input_breaks_the_lookup(text: str, quote: str) -> None:
    looked_up = QuotedText(text)

    assert looked_up.holds(quote) in {True, False}
    assert looked_up.names(quote, other_names=frozenset({text, "orders"})) in {True, False}


def test_a_long_text_holds_what_stands_across_its_pieces() -> None:
    rows = [f'{{"entity": "svc-{n}", "p99_ms": {n}.50}}' for n in range(20_000)]
    text = QuotedText("\n".join(rows))

    assert all(text.holds(f"{rows[n]}\n{rows[n + 1]}") for n in range(5_000, 5_800, 7))
    assert not text.holds("svc-20000")
    assert not text.holds("entity ... p99_ms ... invented")
