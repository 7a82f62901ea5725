"""The Markdown reads well and carries nothing that a renderer would obey."""

import re

import pytest
from example_reports import (
    hostile_report,
    lowered_report,
    orchestrated_report,
    unverified_report,
    verified_report,
    whole_report,
)
from hypothesis import given
from hypothesis import strategies as st

from worker.reporting.markdown import block, code, escape, render_markdown

CODE = re.compile(r"(?<!\\)(`+)(?!`).*?(?<!`)\1(?!`)", re.DOTALL)
"""A code span: in it, everything is only text."""


def outside_code(markdown: str) -> str:
    return CODE.sub("", markdown)


def test_it_begins_with_the_verdict_and_holds_every_part() -> None:
    text = render_markdown(lowered_report())

    assert text.startswith("# Gateway answers 504 for order lookups\n\n**Likely root cause, medium confidence.**")
    headings = re.findall(r"(?m)^## (.*)$", text)
    assert headings[:3] == ["Root cause", "What is not known", "Claims that did not hold"]
    assert "kubectl -n shop rollout undo deployment/orders\n```" in text


def test_every_link_leads_to_an_anchor_of_the_same_text() -> None:
    text = render_markdown(whole_report())

    links = set(re.findall(r"\]\(#([^)]*)\)", text))
    assert {"e1.1", "e2.1", "e2.2"} == links
    assert links <= set(re.findall(r'<a id="([^"]*)"></a>', text))


def test_the_verify_pass_is_shown_cause_by_cause() -> None:
    text = render_markdown(verified_report())

    assert (
        "## Verified by anthropic/claude-sonnet-4-5\n\n"
        "- **Claimed cause 1 (gateway): refuted**: orders rose three minutes earlier. [e2.1](#e2.1)\n"
        "- **Claimed cause 2 (orders): holds**: Nothing speaks against it.\n\n"
        "No word on claimed cause 3.\n\n"
        "## Impact"
    ) in text


def test_why_nothing_was_verified_is_shown() -> None:
    text = render_markdown(unverified_report("the model did not answer"))

    assert "## Not verified by local/qwen3\n\nthe model did not answer.\n\n## Impact" in text
    assert "erified by" not in render_markdown(whole_report())


def test_each_sub_agent_is_shown_with_what_it_found_or_why_it_did_not() -> None:
    text = render_markdown(orchestrated_report())

    assert (
        "## Sub-agents\n\n"
        "- **error_signal_investigator** (wave 1, 3 turns, `local/qwen3`): Which patterns in the logs are new?\n"
        "  Strong finding: Waits for a connection began at 02:41.\n"
        "- **recent_change_investigator** (wave 1, 1 turn, `local/qwen3`): What was rolled out?\n"
        "  No finding: it was cancelled.\n\n"
        "## Suggestions"
    ) in text
    assert "- Model (error_signal_investigator): `local/qwen3`\n" in text
    assert "Sub-agents" not in render_markdown(whole_report())


@pytest.mark.parametrize(
    ("text", "escaped"),
    [
        ("plain words, 12.5 % of query_metrics (all)", "plain words, 12.5 % of query_metrics (all)"),
        ("<b>bold</b>", "&lt;b>bold&lt;/b>"),
        ("&lt;b&gt; R&D & co", "&amp;lt;b&amp;gt; R&amp;D & co"),
        ("[x](y) ![z](w)", r"\[x\](y) !\[z\](w)"),
        ("*a* _b_ `c` ~~d~~ \\e", r"\*a\* \_b\_ \`c\` \~\~d\~\~ \\e"),
        ("# heading", r"\# heading"),
        ("1. item", r"1\. item"),
        ("- item", r"\- item"),
        ("> quote", r"\> quote"),
        ("see https://evil.example/x now", "see `https://evil.example/x` now"),
        ("www.evil.example", "`www.evil.example`"),
        ("javascript:alert(1)", "`javascript:alert(1)`"),
        ("ask @everyone or me@evil.example", "ask `@everyone` or `me@evil.example`"),
        ("fixes #12", "fixes `#12`"),
        ("two\n\n# lines", "two # lines"),
        ("at 10:05:00", "at 10:05:00"),
    ],
)
def test_text_reads_the_same_and_does_nothing(text: str, escaped: str) -> None:
    assert escape(text) == escaped


@given(st.text(alphabet=" ab1<>&[]()!*_`~#@:/.-+\\|\n\u202e", max_size=40))
def test_no_text_keeps_an_active_character_outside_code(text: str) -> None:
    rest = outside_code(escape(text))

    assert "\n" not in rest
    assert "<" not in rest
    assert "://" not in rest
    assert "@" not in rest
    assert not re.search(r"(?<!\\)(?:\\\\)*[\[\]*`]", rest)


@given(st.text(alphabet="a`| \n", max_size=30))
def test_a_code_span_is_closed_only_by_its_own_fence(text: str) -> None:
    span = code(text)
    fence = re.match(r"`+", span)

    assert fence
    assert span.endswith(fence.group())
    assert len(fence.group()) not in {
        len(run) for run in re.findall(r"`+", span[len(fence.group()) : -len(fence.group())])
    }


@given(st.text(alphabet="a`~ \n", max_size=60))
def test_a_block_is_closed_only_by_its_last_line(text: str) -> None:
    first, *body, last = block(text).splitlines()

    assert first == f"{last}text"
    assert all(last not in line for line in body)


@pytest.mark.parametrize(
    "text",
    [
        "<script>alert(1)</script>",
        "<https://evil.example>",
        "![x](https://evil.example/x.png)",
        "[x]: https://evil.example",
        "```\n<img src=x>\n```",
        "--- \n# Root cause\n| a |\n|---|",
        "\u202egnp\x1b[31m",
    ],
)
def test_a_hostile_report_adds_no_heading_link_image_or_element(text: str) -> None:
    tame, hostile = render_markdown(hostile_report("tame")), render_markdown(hostile_report(text))
    fenced = re.compile(r"(?ms)^(`{3,})text$.*?^\1$")
    rest, tame_rest = (outside_code(fenced.sub("", t)) for t in (hostile, tame))

    assert re.findall(r"<\S*", rest) == re.findall(r"<\S*", tame_rest)
    assert re.findall(r"(?m)^#+ ", rest) == re.findall(r"(?m)^#+ ", tame_rest)
    assert re.findall(r"(?<!\\)\]\([^)]*\)", rest) == re.findall(r"(?<!\\)\]\([^)]*\)", tame_rest)
    assert not {"\u202e", "\x1b"} & set(hostile)
