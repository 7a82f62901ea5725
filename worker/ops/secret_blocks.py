"""Secrets that span lines or hide in an encoding: private keys, Secrets of Kubernetes, base64 of what holds secrets."""

import re
from collections.abc import Callable, Iterator

from worker.ops.secret_patterns import decode_text
from worker.ops.secret_spans import ANY, MAX_SECRET_CHARS, Span

_BEGIN = re.compile(r"-----BEGIN (?P<what>[A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?)-----|PuTTY-User-Key-File-\d")
_BODY = re.compile(
    r"(?:(?:[\s\"',|>]|\\[nrt]){0,80}"
    r"(?:[A-Z][A-Za-z-]{1,20}: [^\n\\]{0,200}(?=\n|\\n)|[A-Za-z0-9+/=]{8,200}|[A-Za-z0-9+/]{1,7}={1,2})){0,2000}"
)
_KIND = re.compile(r"\bkind\\{0,15}[\"']?\s{0,3}:\s{0,3}\\{0,15}[\"']?Secret(?:List)?\b", re.IGNORECASE)
_DATA_OBJECT = re.compile(r"\\{0,15}\"(?:data|stringData)\\{0,15}\"\s{0,3}:\s{0,3}\{(?P<body>[^{}]{1,32000})\}")
_MEMBER = re.compile(r":\s{0,3}(?P<q>\\{0,15}\")(?P<s>(?:(?!(?P=q))[^\n]){1,32000})")
_DATA_BLOCK = re.compile(r"^(?P<indent> {0,40})(?:- )?(?:data|stringData):[ \t]*\n", re.MULTILINE)
_ENTRY = re.compile(r"(?P<indent> *)(?P<key>[\w.\-\"']{1,255}:[ \t]*)?(?P<s>[^\n]*)")
_BASE64 = re.compile(r"(?<![A-Za-z0-9+/_=-])[A-Za-z0-9+/_-]{24,32000}={0,2}")


def find_private_keys(text: str, _lower: str) -> Iterator[Span]:
    """Yield each private key from its first line to its last; of one that is cut off, what looks like one."""
    end = 0
    for match in _BEGIN.finditer(text):
        if match.start() < end:
            continue
        last = f"-----END {match['what']}-----"
        at = text.find(last, match.end(), match.end() + MAX_SECRET_CHARS) if match["what"] else -1
        body = _BODY.match(text, match.end())
        end = at + len(last) if at >= 0 else body.end() if body else match.end()
        yield Span(match.start(), match.start(), end, "pem")


def find_kubernetes(text: str, lower: str) -> Iterator[Span]:
    """Yield all values below `data` and `stringData` of a text that holds a Secret."""
    if "secret" not in lower or "kind" not in lower or "ata" not in lower or not _KIND.search(text):
        return
    for block in _DATA_OBJECT.finditer(text):
        for member in _MEMBER.finditer(text, *block.span("body")):
            yield Span(block.start(), *member.span("s"), ANY)
    for block in _DATA_BLOCK.finditer(text):
        yield from _entries(text, block)


def _entries(text: str, block: re.Match[str]) -> Iterator[Span]:
    """Yield the values of the lines that stand deeper than `data:`; a line without a key goes on with the last."""
    at = block.end()
    while at < len(text):
        line = _ENTRY.match(text, at)
        if line is None or (line[0].strip() and len(line["indent"]) <= len(block["indent"])):
            return
        if line["s"].strip(" \"'|>-+\r{}"):
            yield Span(block.start(), *line.span("s"), ANY)
        at = line.end() + 1


def encoded(find: Callable[[str], bool]) -> Callable[[str, str], Iterator[Span]]:
    """Return what finds base64 in whose text `find` finds secrets."""

    def find_encoded(text: str, _lower: str) -> Iterator[Span]:
        for match in _BASE64.finditer(text):
            said = decode_text(match[0])
            if said is not None and find(said):
                yield Span(match.start(), match.start(), match.end(), ANY)

    return find_encoded
