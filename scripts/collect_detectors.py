"""Collects the detectors that ship with the product from Kingfisher's catalogue, as `make detectors` does.

Kept are those that know a secret by how it begins (`ghp_`, `glpat-`): they need no name beside it, and a text that
holds none of the beginnings need not be searched. What needs a name is found by the names we know ourselves.
"""

import json
import re
import re._constants as sre
import re._parser as parser
import sys
import tempfile
from collections.abc import Iterable, Iterator
from importlib.metadata import version
from typing import Any

from kingfisher_sdk import Rules

NOTICE = (
    "Collected from the detectors of Betterleaks (MIT, Copyright (c) 2026 Zachary Rice) and Veles (Apache-2.0, "
    "Google LLC) as Kingfisher (Apache-2.0, Copyright 2025-2026 MongoDB, Inc.) ships them, with their spelling "
    "changed for Python's re."
)
LEAST_SECRET_CHARS = 16
MOST_BEGINNINGS = 16
OPEN_END = 4096
"""What `{20,}` and `+` become: no secret is longer, and a search has to end."""
NO_SECRETS = re.compile(r"(?i)client-id|account-id|username|-url|public-key|repository|-name\b|persona-|devcycle")
_TELLING = re.compile(r"(?=.{3})(?=.*[0-9_.~-]|.{4})(?![a-z]*$)[A-Za-z0-9][A-Za-z0-9_.~/-]*")
"""A beginning that is no word: `ghp_`, `A3T`, `AKCp`."""
_NAME = r"[ \t\w.-]{0,20}"
"""What stands between a name and its value in Betterleaks' expressions."""
_END = r"""(?:\\?['"\x60]|[\s;]|\\[nr]|$)"""
"""What has to follow a token there; here whatever is no part of it may."""
_REST = "[0-9A-Za-z_-]{0,256}"
_FEW = 4
_INLINE_FLAG = "(?i)"


def collect() -> dict[str, Any]:
    """Return the head of the file and the detectors, by name."""
    with tempfile.TemporaryDirectory() as cache:
        rules = Rules(confidence="low", cache_dir=cache)
        details = [rules.detail(rule["id"]) for rule in rules.metadata() if rule["visible"]]
    found = {d["id"]: detector for d in details if (detector := _read(d)) is not None}
    source = f"kingfisher-secret-scanner {version('kingfisher-secret-scanner')}"
    return {"source": source, "notice": NOTICE, "detectors": dict(sorted(found.items()))}


def render(collected: dict[str, Any]) -> str:
    """Return the file's text, one detector a line."""
    lines = ",\n".join(f"{json.dumps(name)}: {json.dumps(d)}" for name, d in collected["detectors"].items())
    head = {name: value for name, value in collected.items() if name != "detectors"}
    return json.dumps(head)[:-1] + ', "detectors": {\n' + lines + "\n}}\n"


def _read(detail: dict[str, Any]) -> dict[str, Any] | None:
    """Return the expression for Python and the beginnings in lower case; None for one that is not ours to use."""
    if NO_SECRETS.search(detail["id"]) or _NAME in detail["detection_regex"]:
        return None
    expression = _for_python(detail["detection_regex"])
    try:
        parsed = parser.parse(expression)
    except re.error:
        return None
    heads, _ = _beginnings(parsed)
    is_telling = all(_TELLING.fullmatch(head) for head in heads)
    if not is_telling or len(heads) > MOST_BEGINNINGS or parsed.getwidth()[0] < LEAST_SECRET_CHARS:
        return None
    return {"expression": expression, "beginnings": sorted({head.lower() for head in heads})}


def _for_python(expression: str) -> str:
    """Spell it for `re`: no flags in the middle, no group names, no repetition without end."""
    expression = expression.replace(r"\z", r"\Z").replace("[[:alnum:]]", "[0-9A-Za-z]").replace(_END, r"(?![\w-])")
    expression = re.sub(r"\(\?P<\w+>", "(", expression)
    expression = re.sub(r"(?<!\\)\{(\d+),\}", rf"{{\1,{OPEN_END}}}", expression)
    expression = re.sub(r"(?<=[\])])\+", f"{{1,{OPEN_END}}}", expression)
    while (at := expression.find(_INLINE_FLAG)) >= 0:
        end = _end_of_group(expression, at + len(_INLINE_FLAG))
        expression = f"{expression[:at]}(?i:{expression[at + len(_INLINE_FLAG) : end]}){expression[end:]}"
    ends_itself = expression.rstrip(")").endswith((r"\b", "(?![\\w-]", r"\Z"))
    return expression if ends_itself else expression + _REST


def _end_of_group(expression: str, start: int) -> int:
    """Return where the group ends that holds the position."""
    depth, in_class, at = 0, False, start
    while at < len(expression):
        char = expression[at]
        if char == "\\":
            at += 1
        elif in_class:
            in_class = char != "]"
        elif char == "[":
            in_class = True
        elif char == ")" and depth == 0:
            return at
        else:
            depth += (char == "(") - (char == ")")
        at += 1
    return at


def _beginnings(parsed: Iterable[Any]) -> tuple[set[str], bool]:
    """Return all literal texts that a match can begin with, and whether they are all of it."""
    heads = {""}
    for operation, value in parsed:
        if operation in {sre.AT, sre.ASSERT, sre.ASSERT_NOT}:
            continue
        parts, is_whole = _alternatives(operation, value)
        if not parts:
            return heads, False
        heads = {head + part for head in heads for part in parts}
        if not is_whole:
            return heads, False
    return heads, True


def _alternatives(operation: Any, value: Any) -> tuple[set[str], bool]:
    if operation is sre.LITERAL:
        return {chr(value)}, True
    if operation is sre.SUBPATTERN:
        return _beginnings(value[3])
    if operation is sre.BRANCH:
        branches = [_beginnings(branch) for branch in value[1]]
        return {head for heads, _ in branches for head in heads}, all(is_whole for _, is_whole in branches)
    if operation is sre.IN:
        chars = set(_chars(value))
        return (chars, True) if len(chars) == len(value) <= _FEW else (set(), False)
    return set(), False


def _chars(members: Iterable[Any]) -> Iterator[str]:
    return (chr(value) for operation, value in members if operation is sre.LITERAL)


if __name__ == "__main__":
    sys.stdout.write(render(collect()))
