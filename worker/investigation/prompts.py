"""Prompts: files with a version, so that every turn can say which words it was asked with."""

import hashlib
from functools import cache
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

FOLDER = Path(__file__).parent / "prompts"


@cache
def _environment() -> Environment:
    # Plain text for a model: HTML escaping would only corrupt it, and what is untrusted is fenced.
    return Environment(  # noqa: S701  # see above
        loader=FileSystemLoader(FOLDER), undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )


def render_prompt(name: str, **values: object) -> str:
    """Return the prompt with its values filled in; a missing value is an error."""
    return _environment().get_template(f"{name}.md.j2").render(**values).strip()


@cache
def prompt_version(name: str) -> str:
    """Return the first 12 hex digits of the file's SHA-256."""
    return hashlib.sha256((FOLDER / f"{name}.md.j2").read_bytes()).hexdigest()[:12]
