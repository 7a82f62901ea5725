"""Reads what models send as the arguments of a tool: tidies what they clearly mean, tells what is wrong."""

import json
from collections.abc import Collection
from datetime import UTC, datetime
from typing import Any

from pydantic import ValidationError

from worker.domain.conversation import JsonObject

MAX_ERRORS_TOLD = 15
"""More than a model mends in one turn."""


def explain(error: ValidationError, tool: str) -> str:
    """Tell which fields are wrong and how to go on."""
    details = error.errors(include_url=False, include_context=False)
    lines = [f"- {_path(d['loc'])}: {d['msg']}" for d in details[:MAX_ERRORS_TOLD]]
    if len(details) > MAX_ERRORS_TOLD:
        lines.append(f"- and {len(details) - MAX_ERRORS_TOLD} more")
    return "\n".join((f"It was not accepted. Call {tool} again with these fields mended:", *lines))


def _path(location: tuple[int | str, ...]) -> str:
    parts = [f"[{p}]" if isinstance(p, int) else f".{p}" for p in location]
    return "".join(parts).lstrip(".") or "(the whole of it)"


def tidied(
    arguments: JsonObject, *, lists: Collection[str], words: Collection[str] = (), cites: bool = True
) -> JsonObject:
    """Read lists sent as JSON text, null for nothing, and words of a vocabulary in any case.

    `cites`: the evidence of a list's items are citations, which may come as bare ids.
    """
    tidy = {name: _decoded(value) if name in lists else value for name, value in arguments.items()}
    tidy = {name: value for name, value in tidy.items() if value is not None}
    tidy |= {name: tidy[name].strip().lower() for name in words if isinstance(tidy.get(name), str)}
    for name in lists:
        if isinstance(tidy.get(name), list):
            tidy[name] = [_tidied_item(item, cites=cites) for item in tidy[name]]
    return tidy


def _decoded(value: Any) -> Any:
    if not isinstance(value, str) or not value.lstrip().startswith("["):
        return value
    try:
        return json.loads(value)
    except ValueError:
        return value  # the validation names the field


def _tidied_item(item: Any, *, cites: bool) -> Any:
    if not isinstance(item, dict):
        return item
    tidy = {name: value for name, value in item.items() if value is not None}
    if cites and isinstance(tidy.get("evidence"), list):
        tidy["evidence"] = cited(tidy["evidence"])
    if isinstance(tidy.get("at"), str):
        tidy["at"] = _with_zone(tidy["at"])
    return tidy


def cited(items: list[Any]) -> list[Any]:
    """Read a bare evidence id as a citation without a quote."""
    return [{"evidence_id": c} if isinstance(c, str) else c for c in items]


def _with_zone(text: str) -> Any:
    """Take a time without a zone as UTC, as every time told to the model is."""
    try:
        moment = datetime.fromisoformat(text.strip())
    except ValueError:
        return text
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
