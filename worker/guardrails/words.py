"""Takes the quotes off one word of a command and says whether its value is known before it runs."""

import re
import shlex
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from tree_sitter import Node

_GLOB = re.compile(r"[*?\[]")
_BRACES = re.compile(r"\{[^}]*(,|\.\.)[^}]*\}|\{[^}]*\{")
_ESCAPE_IN_QUOTES = re.compile(r'\\(["\\$`\n])')
_LIVE_DOLLAR = re.compile(r"(?<!\\)(?:\\\\)*(?:`|\$(?![\s|)/.,]|$))")
_ESCAPE = re.compile(r"\\(.)", re.DOTALL)
_UNQUOTED = re.compile(r"[$`;&|<>()\n]")
"""What ends a word unless it is quoted: the grammar takes a newline before a backslash for a part of the word."""


@dataclass(frozen=True)
class Word:
    """One word after quote removal.

    `is_static` means that `text` is its value whenever it runs. A pattern is an unquoted absolute path with
    `*`, `?` or `[`: not static, but expanded by us.
    """

    text: str
    is_static: bool = True
    is_pattern: bool = False


@dataclass(frozen=True)
class _Piece:
    text: str
    is_quoted: bool


def joined(words: Iterable[Word]) -> str:
    """Spell words so that a reader sees where each begins; what is not known stays as it was written."""
    return " ".join(shlex.quote(word.text) if word.is_static else word.text for word in words)


def read_word(node: Node, source: bytes) -> Word:
    raw = source[node.start_byte : node.end_byte].decode()
    pieces = list(_pieces(node, source))
    if any(piece is None for piece in pieces):
        return Word(raw, is_static=False)
    known = [piece for piece in pieces if piece is not None]
    text = "".join(piece.text for piece in known)
    # NUL stands for what was quoted: it is no printable character, so it can be in no command.
    bare = "".join("\0" if piece.is_quoted else piece.text for piece in known)
    if bare.startswith("~") or _BRACES.search(bare):
        return Word(raw, is_static=False)
    if not _GLOB.search(bare):
        return Word(text)
    return _read_pattern(raw, text, bare)


def _read_pattern(raw: str, text: str, bare: str) -> Word:
    """A relative pattern stands for itself: the working directory is empty, so nothing matches it."""
    if not text.startswith(("/", ".")):
        return Word(text)
    if text == bare and text.startswith("/") and ".." not in text.split("/"):
        return Word(text, is_static=False, is_pattern=True)
    return Word(raw, is_static=False)


def _pieces(node: Node, source: bytes) -> Iterator[_Piece | None]:
    """Yield the parts of a word; None for a part that is not known before it runs."""
    raw = source[node.start_byte : node.end_byte].decode()
    if node.type in {"word", "number", "test_operator"}:
        yield from _bare_pieces(raw)
    elif node.type == "raw_string":
        yield _Piece(raw[1:-1], is_quoted=True)
    elif node.type == "string":
        yield _quoted_piece(node, raw)
    elif node.type == "concatenation":
        yield from _joined_pieces(node, source)
    else:
        yield None


def _joined_pieces(node: Node, source: bytes) -> Iterator[_Piece | None]:
    position = node.start_byte
    for child in node.children:
        if child.start_byte != position:
            yield None
        yield from _pieces(child, source)
        position = child.end_byte


def _bare_pieces(raw: str) -> Iterator[_Piece | None]:
    position = 0
    for escape in _ESCAPE.finditer(raw):
        yield _bare(raw[position : escape.start()])
        if escape.group(1) != "\n":
            yield _Piece(escape.group(1), is_quoted=True)
        position = escape.end()
    yield _bare(raw[position:])


def _bare(text: str) -> _Piece | None:
    return None if _UNQUOTED.search(text) or "\\" in text else _Piece(text, is_quoted=False)


def _quoted_piece(node: Node, raw: str) -> _Piece | None:
    inner = raw[1:-1]
    if any(child.type not in {'"', "string_content", "$"} for child in node.children) or _LIVE_DOLLAR.search(inner):
        return None
    return _Piece(_ESCAPE_IN_QUOTES.sub(lambda m: "" if m[1] == "\n" else m[1], inner), is_quoted=True)
