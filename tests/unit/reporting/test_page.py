"""The page shows everything, runs nothing and leads nowhere that a model named."""

import os
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path

import pytest
from example_reports import (
    BEGAN,
    hostile_report,
    lowered_report,
    orchestrated_report,
    unverified_report,
    verified_report,
    whole_report,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from worker.domain.report import Citation, RootCause, TimelineEntry
from worker.domain.states import ReportVerdict
from worker.reporting.page import MAX_EXCERPT_CHARS, PageLinks, render_page, stylesheet
from worker.reporting.words import VERDICT_MEANINGS, VERDICT_TITLES, spread

LINKS = PageLinks(stylesheet_url="/static/report.css", home_url="/", json_url="/r.json", artifacts_url="/artifacts")
HOSTILE = [
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "' onmouseover='alert(1)",
    "</pre></title></style></svg><iframe src=//evil.example>",
    "javascript:alert(1)",
    "[click](javascript:alert(1)) ![x](https://evil.example/x.png) <https://evil.example>",
    "{{ 7 * 7 }} {% raw %} {{ report.title }}",
    "word" * 400,
    "\u202egnp.exe \u2066hidden\u200b \x1b[31mred\x07",
    "]]><!-- --> &lt;b&gt; &#x3c;script&#x3e;",
]


class Page(HTMLParser):
    """What a browser would make of the page: its elements, attributes and text."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.text = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs

    def handle_data(self, data: str) -> None:
        self.text += data

    def values(self, name: str) -> list[str]:
        return [value or "" for key, value in self.attributes if key == name]


def test_the_page_says_all_that_the_report_says() -> None:
    report = whole_report()

    text = Page(render_page(report)).text

    for said in (
        VERDICT_TITLES[report.verdict],
        VERDICT_MEANINGS[report.verdict],
        "high confidence",
        report.summary,
        report.root_causes[0].statement,
        *report.root_causes[0].causal_chain,
        *(g.wanted for g in report.gaps),
        *(t.text for t in report.timeline),
        report.ruled_out[0].hypothesis,
        report.suggestions[0].command or "",
        report.suggestions[0].undo or "",
        "low risk",
        report.denied[0].command,
        "at least $0.0931; some prices unknown",
        "2026-03-04 02:41:00 UTC",
        *(spread(e.excerpt) for e in report.evidence),
    ):
        assert said in text


def test_every_cited_result_has_an_anchor() -> None:
    page = Page(render_page(lowered_report()))

    targets = {href[1:] for href in page.values("href") if href.startswith("#")}
    assert {"e1.1", "e2.1", "e2.2", "failures"} <= targets <= set(page.values("id"))


def test_ids_are_unique() -> None:
    ids = Page(render_page(lowered_report())).values("id")

    assert len(ids) == len(set(ids))


def test_a_citation_of_nothing_is_shown_without_a_link() -> None:
    cause = whole_report().root_causes[0]
    unknown = RootCause(**(dict(cause) | {"evidence": (Citation(evidence_id="e9.9"),)}))
    entry = TimelineEntry(at=BEGAN, text="x", evidence_id="e8.8")

    page = Page(render_page(whole_report(root_causes=(unknown,), timeline=(entry,))))

    assert "e9.9" in page.text
    assert not {"#e9.9", "#e8.8"} & set(page.values("href"))


@pytest.mark.parametrize("verdict", list(ReportVerdict))
def test_every_verdict_says_what_it_means(verdict: ReportVerdict) -> None:
    assert VERDICT_MEANINGS[verdict] in Page(render_page(whole_report(verdict=verdict))).text


def test_a_lowered_and_a_partial_report_say_so_in_the_banner() -> None:
    lowered = Page(render_page(lowered_report())).text
    partial = Page(render_page(whole_report(partial="the budget is spent"))).text

    assert "Lowered by the checks." in lowered
    assert "1 claim did not hold" in lowered
    assert "This report is partial: the budget is spent." in partial


def test_the_verify_pass_is_shown_cause_by_cause() -> None:
    page = Page(render_page(verified_report()))

    for said in (
        "Verified by anthropic/claude-sonnet-4-5",
        "Claimed cause 1 (gateway): refuted",
        "orders rose three minutes earlier.",
        "Claimed cause 2 (orders): holds",
        "No word on claimed cause 3.",
        "Cited by root cause 1, root cause 2, check 1,",
    ):
        assert said in page.text


def test_why_nothing_was_verified_is_shown() -> None:
    text = Page(render_page(unverified_report("the budget of 5 $ is spent"))).text

    assert "Not verified by local/qwen3" in text
    assert "the budget of 5 $ is spent." in text
    assert "erified by" not in Page(render_page(whole_report())).text


def test_each_sub_agent_is_shown_with_what_it_found_or_why_it_did_not() -> None:
    text = " ".join(Page(render_page(orchestrated_report())).text.split())

    assert (
        "error_signal_investigator wave 1, 3 turns, local/qwen3 Which patterns in the logs are new?"
        " Strong finding: Waits for a connection began at 02:41."
    ) in text
    assert "What was rolled out? No finding: it was cancelled." in text
    assert "lead: anthropic/claude-sonnet-4-5, error_signal_investigator: local/qwen3, " in text
    assert "Sub-agents" not in Page(render_page(whole_report())).text


def test_a_report_with_nothing_in_it_still_renders() -> None:
    empty = dict.fromkeys(("root_causes", "gaps", "timeline", "ruled_out", "evidence", "usage", "suggestions"), ())

    text = Page(render_page(whole_report(**empty, models={}, prompt_versions={}, duration_s=None))).text

    assert "No gap was recorded." in text
    assert "No tool was called." in text


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_text_adds_no_element_and_no_address(text: str) -> None:
    tame, page = (
        Page(render_page(hostile_report("tame"), links=LINKS)),
        Page(render_page(hostile_report(text), links=LINKS)),
    )

    assert page.tags == tame.tags
    assert [name for name, _ in page.attributes] == [name for name, _ in tame.attributes]
    assert all(a.startswith(("#", "/")) and not a.startswith("//") for a in page.values("href"))


@given(st.text(min_size=1, max_size=60).filter(str.strip))
@settings(max_examples=40, deadline=None)
def test_no_text_changes_the_structure_of_the_page(text: str) -> None:
    tame, page = (
        Page(render_page(hostile_report("tame"), links=LINKS)),
        Page(render_page(hostile_report(text), links=LINKS)),
    )

    assert page.tags == tame.tags


def test_direction_marks_and_escapes_are_shown_not_obeyed() -> None:
    html = render_page(hostile_report("safe\u202egnp.exe\x1b[31m\u200b"))

    assert not {"\u202e", "\x1b", "\u200b"} & set(html)
    assert "safe⟨U+202E⟩gnp.exe⟨U+001B⟩[31m⟨U+200B⟩" in html


def test_the_page_needs_no_script_no_style_attribute_and_nothing_from_elsewhere() -> None:
    page = Page(render_page(whole_report(), links=LINKS))

    assert not {"script", "style", "iframe", "img", "form", "object"} & set(page.tags)
    assert not [name for name, _ in page.attributes if name == "style" or name.startswith("on")]
    assert not page.values("src")
    assert "@import" not in stylesheet()
    assert "url(" not in stylesheet()


def test_a_page_that_stands_alone_carries_its_style_under_the_nonce() -> None:
    page = Page(render_page(whole_report(), links=PageLinks(nonce="abc123")))

    assert page.values("nonce") == ["abc123"]
    assert stylesheet() in page.text


def test_charts_describe_themselves_in_words() -> None:
    text = Page(render_page(whole_report())).text

    assert "orders, billing, 2026-03-04" in text
    assert "orders: from 40 to" in text
    assert "times UTC, vertical line: the incident began" in text


def test_a_huge_excerpt_is_cut_and_says_so() -> None:
    evidence = whole_report().evidence[0].model_copy(update={"excerpt": "x" * (MAX_EXCERPT_CHARS + 7)})

    assert "… 7 more characters" in Page(render_page(whole_report(evidence=(evidence,)))).text


def test_an_artifacts_id_cannot_leave_its_address() -> None:
    evidence = whole_report().evidence[0].model_copy(update={"artifact_id": "../../admin?x=1"})

    page = Page(render_page(whole_report(evidence=(evidence,)), links=LINKS))

    assert "/artifacts/..%2F..%2Fadmin%3Fx%3D1" in page.values("href")


@pytest.mark.browser
def test_a_browser_draws_the_page(tmp_path: Path) -> None:
    chromium = shutil.which("chromium")
    if chromium is None:
        pytest.skip("no chromium here")
    (tmp_path / "page.html").write_text(render_page(hostile_report("<script>document.title='ran'</script>")))
    options = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking"]

    dom = subprocess.run(
        [
            chromium,
            *options,
            f"--user-data-dir={tmp_path / 'profile'}",
            "--dump-dom",
            (tmp_path / "page.html").as_uri(),
        ],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
        env={"PATH": os.defpath, "HOME": str(tmp_path)},
    ).stdout

    assert "<title>ran</title>" not in dom
    assert "<polyline" in dom
