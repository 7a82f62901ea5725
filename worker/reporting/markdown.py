"""The report as Markdown: for issues, chats and files, with nothing in it that a renderer would obey."""

import re

from worker.domain.report import Citation, Report
from worker.reporting import words
from worker.reporting.inert import one_line, show_hidden
from worker.reporting.quoting import readable
from worker.reporting.templating import environment

_SPECIAL = re.compile(r"[\\`*\[\]|~$]|(?<![^\W_])_|_(?![^\W_])")  # an underscore inside a word is harmless
_ENTITY = re.compile(r"&(?=#|\w)|<")
_LINE_START = re.compile(r"^(\d*)([.)+\-#=>])")
_ACTS = re.compile(r"://|www\.|@|#\d|[a-z]:\S|\bGH-\d", re.IGNORECASE)
"""In words that renderers link or notify on their own, escaped or not: addresses, mail, mentions, issue numbers."""


def escape(text: str) -> str:
    """Return text as one line of Markdown that reads the same and does nothing.

    What a renderer may link by itself goes into a code span, the one place where none does.
    """
    inert = [code(w) if _ACTS.search(w) else _escape_words(w) for w in one_line(text).split(" ")]
    return _LINE_START.sub(r"\1\\\2", " ".join(inert))


def _escape_words(text: str) -> str:
    entities = _ENTITY.sub(lambda found: "&amp;" if found.group() == "&" else "&lt;", text)
    return _SPECIAL.sub(r"\\\g<0>", entities)


def code(text: str) -> str:
    """Return text as a code span; its fence is longer than any run of backticks in it."""
    line = one_line(text).replace("|", "¦") or " "  # a bar would end the cell of a table
    fence = "`" * (_longest_run(line) + 1)
    pad = " " if line[0] in "` " or line[-1] in "` " else ""
    return f"{fence}{pad}{line}{pad}{fence}"


def block(text: str) -> str:
    """Return text as a fenced block that its own backticks cannot close."""
    body = show_hidden(text).strip("\n")
    fence = "`" * max(3, _longest_run(body) + 1)
    return f"{fence}text\n{body}\n{fence}"


def _longest_run(text: str) -> int:
    return max(map(len, re.findall(r"`+", text)), default=0)


def anchor(evidence_id: str) -> str:
    return re.sub(r"[^A-Za-z0-9_.-]", "_", evidence_id)


def render_markdown(report: Report) -> str:
    """Render the report; every cited result links to its block below."""
    known = words.evidence_ids(report)

    def cite(citation: Citation) -> str:
        label = link(citation.evidence_id)
        return f"{label} “{escape(readable(citation.quote))}”" if citation.quote else label

    def link(evidence_id: str) -> str:
        if evidence_id not in known:
            return f"{code(evidence_id)} (not in this report)"
        return f"[{_escape_words(one_line(evidence_id))}](#{anchor(evidence_id)})"

    template = environment(html=False).get_template("report.md.j2")
    filters = {"e": escape, "code": code, "block": block, "anchor": anchor}
    text = template.render(report=report, w=words, cite=cite, link=link, **filters)
    return re.sub(r"\n{3,}", "\n\n", text).strip() + "\n"
