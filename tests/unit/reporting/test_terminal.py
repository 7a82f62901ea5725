"""The terminal shows the cause first and cannot be driven by what a model wrote."""

import io

import pytest
from example_reports import (
    hostile_report,
    lowered_report,
    orchestrated_report,
    unverified_report,
    verified_report,
    whole_report,
)
from rich.console import Console

from worker.errors import NotFoundError
from worker.reporting import terminal
from worker.reporting.plain import WIDTH, citing_claims, render_evidence_plain, render_plain
from worker.reporting.terminal import render_terminal


class FakeConsole:
    def __init__(self) -> None:
        self.printed: list[object] = []

    def print(self, *objects: object) -> None:
        self.printed += objects


def test_the_cause_and_its_evidence_come_first() -> None:
    text = render_plain(whole_report())

    order = [
        "ROOT CAUSE CONFIRMED (high confidence)",
        "Root cause 1: orders",
        "evidence [e1.1]",
        "Not known",
        "Timeline",
    ]
    places = [text.index(part) for part in order]
    assert places == sorted(places)


def test_no_line_is_wider_than_the_screen_but_for_commands() -> None:
    lines = render_plain(lowered_report()).splitlines()

    assert all(len(line) <= WIDTH for line in lines if not line.lstrip().startswith(("$", "undo:")))


def test_the_verify_pass_is_shown_cause_by_cause() -> None:
    text = render_plain(verified_report())

    assert (
        "\n\nVerified by anthropic/claude-sonnet-4-5\n"
        "  - Claimed cause 1 (gateway): refuted: orders rose three minutes earlier. [e2.1]\n"
        "  - Claimed cause 2 (orders): holds: Nothing speaks against it.\n"
        "  - No word on claimed cause 3\n\n"
    ) in text


def test_one_turn_is_one() -> None:
    assert "; 1 turn, " in render_plain(whole_report().model_copy(update={"turns": 1}))
    assert "; 6 turns, " in render_plain(whole_report())


def test_why_nothing_was_verified_is_shown() -> None:
    text = render_plain(unverified_report("the model did not answer", model="local/\x1b[2Jqwen3"))

    assert "\n\nNot verified by local/⟨U+001B⟩[2Jqwen3\n  - the model did not answer\n\n" in text
    assert "erified by" not in render_plain(whole_report())


def test_each_sub_agent_is_shown_with_what_it_found_or_why_it_did_not() -> None:
    text = " ".join(render_plain(orchestrated_report()).split())

    assert (
        "Sub-agents - error_signal_investigator (wave 1, 3 turns, local/qwen3): Which patterns in the logs are new?"
        " Strong finding: Waits for a connection began at 02:41. - recent_change_investigator (wave 1, 1 turn,"
        " local/qwen3): What was rolled out? No finding: it was cancelled. Suggestions"
    ) in text
    assert "lead anthropic/claude-sonnet-4-5, error_signal_investigator local/qwen3, " in text


def test_it_says_how_to_open_the_evidence() -> None:
    assert "rca report show inv_0193ab --evidence e1.1" in render_plain(whole_report())


def test_evidence_opens_with_its_source_and_who_cites_it() -> None:
    text = render_evidence_plain(whole_report(), "e2.1")

    assert text.startswith("e2.1 query_metrics: succeeded\n")
    assert 'arguments: query=latency_p99, entities=["orders", "billing"]' in text
    assert "window: 2026-03-04 01:41:00 to 03:11:00 UTC" in text
    assert "whole result: art_77" in text
    assert "cited by: root cause 1, timeline 02:41:00" in text
    assert "p99 rose from 45 to 945 ms" in text


def test_unknown_evidence_is_refused_with_the_ids_there_are() -> None:
    with pytest.raises(NotFoundError, match=r"no evidence e9\.9 .* it has: e1\.1, e2\.1"):
        render_evidence_plain(whole_report(), "e9.9")


def test_every_claim_is_listed_under_what_it_cites() -> None:
    assert citing_claims(whole_report()) == {
        "e1.1": ["root cause 1", "timeline 02:38:00"],
        "e2.1": ["root cause 1", "timeline 02:41:00"],
        "e2.2": ["root cause 1", "factor 1", "ruled out 1"],
    }


def test_no_escape_sequence_reaches_the_terminal() -> None:
    report = hostile_report("\x1b]0;owned\x07 \x1b[2J\u202e\r[bold red]x[/] \x9b31m")

    for text in (render_plain(report), render_evidence_plain(report, "e1.1")):
        assert not {"\x1b", "\x07", "\u202e", "\r", "\x9b"} & set(text)


def test_rich_colours_the_text_and_leaves_brackets_alone() -> None:
    out = io.StringIO()
    report = whole_report(summary="[bold red]not markup[/] [link=https://evil.example]x[/link]")

    render_terminal(report, console=Console(file=out, force_terminal=True, width=120, color_system="truecolor"))

    assert "[bold red]not markup[/] [link=https://evil.example]x[/link]" in out.getvalue()
    assert "\x1b[1;32mROOT CAUSE CONFIRMED" in out.getvalue()
    assert "\x1b]8;" not in out.getvalue()


def test_without_rich_the_same_text_is_printed_plain(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(terminal, "Text", None)
    console = FakeConsole()

    render_terminal(whole_report(), console=console)

    assert console.printed == [render_plain(whole_report())]
