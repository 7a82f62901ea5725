"""The report on a terminal: coloured where rich is installed (extra `demo`), plain text where it is not."""

from typing import Protocol

from worker.domain.report import Report
from worker.domain.states import ReportVerdict
from worker.reporting.plain import render_plain

try:
    from rich.text import Text
except ImportError:  # rich is optional: the plain text says the same
    Text = None  # type: ignore[assignment,misc]  # None stands for "not installed"

_VERDICT_STYLES = {
    ReportVerdict.CONFIRMED: "bold green",
    ReportVerdict.LIKELY: "bold yellow",
    ReportVerdict.INCONCLUSIVE: "bold magenta",
    ReportVerdict.NO_INCIDENT: "bold cyan",
    ReportVerdict.EXTERNAL: "bold blue",
}
_HEADINGS = (
    r"(?m)^(?:Root cause \d+.*|Not known|Claims that did not hold|(?:V|Not v)erified by .*|Impact|Contributing"
    r"|Timeline \(UTC\)|Ruled out|Sub-agents|Suggestions .*|Denied by .*)$"
)


class Console(Protocol):
    """What is asked of a console: `rich.console.Console` is one."""

    def print(self, *objects: object) -> None: ...


def render_terminal(report: Report, *, console: Console) -> None:
    """Print the report to the console, with colours where it can show them."""
    plain = render_plain(report)
    if Text is None:
        console.print(plain)
        return
    text = Text(plain)  # never markup: brackets in a model's words are only brackets
    text.stylize(_VERDICT_STYLES[report.verdict], 0, plain.index("\n"))
    text.highlight_regex(_HEADINGS, "bold")
    text.highlight_regex(r"\[(?:a\d+)?e\d+\.\d+\]", "cyan")
    text.highlight_regex(r"(?m)^    \$ .*$", "green")
    text.highlight_regex(r"(?m)^Open evidence: .*$", "dim")
    console.print(text)
