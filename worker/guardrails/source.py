"""What is refused before the grammar sees it: the grammar is quick with what it knows and may take for ever to mend.

Where quotes or brackets do not match, the parser tries all ways to mend the text, and those double with each bar of a
pipeline: 340 bytes took half a second, 1,000 bytes had no end, and nothing can stop it meanwhile (measured). So what
does not match never reaches it, and what is nested may hold only as much as people write.
"""

import re

from worker.errors import ToolDeniedError

MAX_BYTES = 4096
MAX_BARS, MAX_NESTED_BARS = 192, 16
"""Bars, quoted ones included; fewer where there are substitutions, groups or here-documents."""
MAX_LIVE_BARS = 16
"""`|` and `||` outside of quotes: one that stands wrong makes every further one dearer."""
MAX_OPENERS = 40
"""Opening brackets and here-documents outside of quotes."""

_MISREAD = re.compile(r"\n[ \t]*\\")
"""A newline before a backslash: the grammar takes it, and what a shell would run next, into the word before it."""
_TOKEN = re.compile(
    r"""
    (?P<plain> \\. | '[^']*' | (?<![^\s;|&(]) \#[^\n]* )
    | (?P<double> "(?:[^"\\]|\\.)*" )
    | (?P<live> ['"`(){}] | \|\|? | << )
    """,
    re.VERBOSE | re.DOTALL,
)
_NESTING = re.compile(r"(?<!\\)(?:`|\$\()")
_WORDS_OF_COMPOUNDS = re.compile(r"\b(case|if|for|while|until|select|function|coproc)\b|\[\[")


def check_source(command: str) -> None:
    """Raises `ToolDeniedError` for what must not reach the parser."""
    if len(command) > MAX_BYTES or len(command.encode(errors="replace")) > MAX_BYTES:  # cheap test first
        raise ToolDeniedError(f"the command is longer than {MAX_BYTES} bytes")
    if not all(c in "\n\t" or c.isprintable() for c in command):
        raise ToolDeniedError("the command holds characters that are not printable")
    if _MISREAD.search(command):
        raise ToolDeniedError("a line begins with a backslash; write its words on one line")
    live, is_nested = _outline(command)
    if "'" in live or '"' in live or live.count("`") % 2 or live.count("{") != live.count("}"):
        raise ToolDeniedError("the command is not valid shell syntax: quotes or brackets do not match")
    if live.count("(") != live.count(")") and "esac" not in command:
        raise ToolDeniedError("the command is not valid shell syntax: quotes or brackets do not match")
    most = MAX_NESTED_BARS if is_nested else MAX_BARS
    is_long = command.count("|") > most or live.count("|") + live.count("||") > MAX_LIVE_BARS
    if is_long or sum(map(live.count, ("(", "{", "`", "<<"))) > MAX_OPENERS:
        raise ToolDeniedError("the command is too complex to be read")


def _outline(command: str) -> tuple[list[str], bool]:
    """Return what stands outside of quotes and means something to a shell, and whether anything is nested."""
    live: list[str] = []
    is_nested = bool(_WORDS_OF_COMPOUNDS.search(command))
    for token in _TOKEN.finditer(command):
        if token.lastgroup == "live":
            live.append(token[0])
        elif token.lastgroup == "double":
            is_nested = is_nested or bool(_NESTING.search(token[0]))
    return live, is_nested or any(mark in live for mark in ("`", "(", "{", "<<"))
