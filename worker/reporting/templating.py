"""Where the templates live, and the strict environments they are rendered in."""

from functools import cache
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from worker.reporting.inert import show_hidden
from worker.reporting.quoting import readable

TEMPLATES = Path(__file__).parent / "templates"


@cache
def environment(*, html: bool) -> Environment:
    """Return the environment for pages (everything escaped) or for plain text (the caller escapes)."""
    made = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=html,  # noqa: S701 - off only for Markdown, whose filters escape every value
        undefined=StrictUndefined,
        finalize=_without_hidden,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    made.filters["readable"] = readable
    return made


def _without_hidden(value: object) -> object:
    """Show what hides in any text a template prints, so that no place can be forgotten."""
    return show_hidden(value) if isinstance(value, str) and not isinstance(value, Markup) else value
