"""The pages of the server's own: everything that is put into them is escaped."""

from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from worker.reporting import words
from worker.reporting.inert import show_hidden

TEMPLATES = Path(__file__).parent / "templates"


def render(template: str, **values: Any) -> str:
    return _environment().get_template(template).render(**values)


def stylesheet() -> str:
    """Return what the pages need beyond the report's stylesheet."""
    return (TEMPLATES / "pages.css").read_text(encoding="utf-8")


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals |= {"w": words, "t": show_hidden}
    return environment
