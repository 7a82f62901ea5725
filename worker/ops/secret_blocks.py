"""Secrets that span lines or hide in an encoding: private keys, Secrets of Kubernetes, base64 of what holds secrets."""

import re
from collections.abc import Callable, Iterator
from html import unescape

from worker.ops.secret_spans import ANY, MAX_SECRET_CHARS, Span, lines_near
from worker.ops.secret_values import decode_text

_BEGIN = re.compile(
    r"-----?[ ]?BEGIN (?P<what>[A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?)[ ]?-----?|PuTTY-User-Key-File-\d:[^\n\\]{0,100}"
)
_BODY = re.compile(
    r"(?:(?:[\s\"',|>]|\\[nrt]){0,80}"
    r"(?:[A-Z][A-Za-z0-9-]{1,20}: [^\n\\]{0,200}(?=\n|\\n)|[A-Za-z0-9+/=]{8,200}|[A-Za-z0-9+/]{1,7}={1,2})){0,2000}"
)
_KIND = re.compile(r"\bkind\\{0,15}[\"']?\s{0,3}:\s{0,3}\\{0,15}[\"']?Secret(?:List)?\b", re.IGNORECASE)
_DATA_OBJECT = re.compile(r"\\{0,15}\"(?:data|stringData)\\{0,15}\"\s{0,3}:\s{0,3}\{(?P<body>[^{}]{1,32000})\}")
_MEMBER = re.compile(r":\s{0,3}(?P<q>\\{0,15}\")(?P<s>(?:(?!(?P=q))[^\n]){1,32000})")
_DATA_BLOCK = re.compile(r"^(?P<indent> {0,40})(?:- )?(?:data|stringData):[ \t]*\n", re.MULTILINE)
_ENTRY = re.compile(r"(?P<indent> *)(?P<key>[\w.\-\"']{1,255}:[ \t]*)?(?P<s>[^\n]*)")
_SENSITIVE = (
    r"\"sensitive\"\s{0,3}:\s{0,3}true,\s{0,40}(?:\"type\"\s{0,3}:\s{0,3}\"\w{1,20}\",\s{0,40})?"
    r"\"value\"\s{0,3}:\s{0,3}\"(?P<s>(?:[^\"\\\n]|\\[^\n]){1,8192})"
)
_VARIABLE = (
    r"\bvariable \"\w{0,60}(?:password|passwd|secret|token|api_key)\" \{[^{}]{0,300}?\bdefault\s{0,20}=\s{0,3}"
    r"\"(?P<s>[^\"\n]{4,1000})\""
)
_STATE = (
    (("sensitive",), re.compile(_SENSITIVE)),
    (('"kty',), re.compile(r"\"(?:d|p|q|dp|dq|qi|k)\\{0,15}\"\s{0,3}:\s{0,3}\\{0,15}\"(?P<s>[\w-]{12,2000})")),
    (
        ("$ansible_vault",),
        re.compile(r"\$ANSIBLE_VAULT;[\w.;-]{1,100}(?P<s>(?:\s{1,40}[0-9a-f]{10,80}){1,350})"),
    ),
    (("default", 'variable "'), re.compile(_VARIABLE)),
    (("password", "proceed to installation"), re.compile(r"installation:\s{1,8}(?P<s>[0-9a-f]{32})\b")),
)
_ESCAPE = re.compile(
    r"%(?P<url>[0-7][0-9A-Fa-f])|\\{1,15}u00(?P<json>[0-7][0-9a-f])|&(?:quot|amp|apos|lt|gt|#\d{2,3});"
)
_ESCAPED = re.compile(r"[^\s\"'<>]{4,16000}")
_MARKS = ("%2", "%3", "&quot;", "u00")
_WORTH = ("pass", "pwd", "secret", "key", "token", "://", "begin")
_BASE64 = re.compile(r"(?<![A-Za-z0-9+/_-])[A-Za-z0-9+/_-]{24,32000}={0,2}")


def find_private_keys(text: str, lower: str) -> Iterator[Span]:
    """Yield each private key from its first line to its last; of one that is cut off, what looks like one."""
    if "private key" not in lower and "putty-user" not in lower:
        return
    end = 0
    for match in _BEGIN.finditer(text):
        if match.start() < end:
            continue
        last = match[0].replace("BEGIN", "END")
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


def find_state(text: str, lower: str) -> Iterator[Span]:
    """Yield what Terraform calls sensitive, private members of a JWK, and what a vault of Ansible keeps."""
    for hints, expression in _STATE:
        if all(hint in lower for hint in hints):
            for match in expression.finditer(text):
                yield Span(match.start(), *match.span("s"), ANY)


def escaped(find: Callable[[str], list[Span]]) -> Callable[[str, str], Iterator[Span]]:
    """Return what finds secrets in words that are escaped for URLs, HTML or JSON, as `find` does in what they say."""

    def find_escaped(text: str, lower: str) -> Iterator[Span]:
        for place in lines_near(lower, _MARKS):
            for word in _ESCAPED.finditer(text, *place):
                said, places = _unescape(word)
                if len(said) < len(word[0]) and any(hint in said.lower() for hint in _WORTH):
                    yield from (Span(word.start(), places[s.start], places[s.end], s.kind) for s in find(said))

    return find_escaped


def _unescape(word: re.Match[str]) -> tuple[str, list[int]]:
    """Return what a word says, and where in the text each of its characters begins, and the end."""
    said, places, at = [], [], word.start()
    for match in _ESCAPE.finditer(word.string, *word.span()):
        said += [*word.string[at : match.start()], unescape(_character(match))[:1]]
        places += [*range(at, match.start() + 1)]
        at = match.end()
    return "".join([*said, word.string[at : word.end()]]), [*places, *range(at, word.end() + 1)]


def _character(match: re.Match[str]) -> str:
    digits = match["url"] or match["json"]
    return chr(int(digits, 16)) if digits else match[0]


def encoded(find: Callable[[str], bool]) -> Callable[[str, str], Iterator[Span]]:
    """Return what finds base64 in whose text `find` finds secrets."""

    def find_encoded(text: str, _lower: str) -> Iterator[Span]:
        for match in _BASE64.finditer(text):
            said = decode_text(match[0])
            if said is not None and find(said):
                yield Span(match.start(), match.start(), match.end(), ANY)

    return find_encoded
