"""Takes secrets out of text before it is stored, shown or sent: the values we know, and what looks like one.

A text of any length is searched in parts whose borders no secret crosses. What cannot be searched is withheld.
"""

import base64
import hashlib
import os
import re
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cached_property
from typing import Any
from urllib.parse import quote, quote_plus

from worker.ops import metrics
from worker.ops.detectors import find_catalogued
from worker.ops.learned import Learned
from worker.ops.secret_blocks import encoded, escaped, find_kubernetes, find_private_keys, find_state
from worker.ops.secret_commands import find_in_commands
from worker.ops.secret_names import find_named, is_secret_member
from worker.ops.secret_patterns import PATTERNS
from worker.ops.secret_spans import ANY, MAX_SECRET_CHARS, Detector, Span
from worker.ops.secret_statements import STATEMENTS

MIN_SECRET_CHARS = 6
"""A shorter known value is ignored: it would blank out ordinary words."""
PART_CHARS = 4 * MAX_SECRET_CHARS
"""Text is searched in parts, so that no single search holds the interpreter for long."""
MAX_DEPTH = 100
"""JSON that is nested deeper is withheld."""
_TAG_BYTES = 4
_BASE64_MARGIN = 2
_LINE_BREAK = re.compile(r"\\{1,15}[nrt]")
_COLOUR = re.compile(r"(?:\x1b|\\{1,15}u001b)\[[\d;]{0,20}m")
_PLACEHOLDER = re.compile(r"\[redacted:\w{1,40}:[0-9a-f]{8}\]")
_KDF = {"n": 2**14, "r": 8, "p": 1, "dklen": 32}
"""About 40 ms a guess: what known secrets the key is made of cannot be guessed from a placeholder."""


def _own_detectors() -> tuple[Detector, ...]:
    patterns = (pattern.find for pattern in (*PATTERNS, *STATEMENTS))
    own = (find_private_keys, find_kubernetes, find_state, *patterns, find_in_commands, find_catalogued, find_named)
    return (*own, encoded(lambda text: bool(find_spans(text, own))), escaped(lambda text: find_spans(text, own)))


def find_spans(text: str, detectors: Iterable[Detector], known: Iterable[Span] = ()) -> list[Span]:
    """Return what any of them finds, in order, apart from each other; of the same span the first one's kind counts."""
    searched = _LINE_BREAK.sub(_as_break, text) if "\\" in text else text
    if "\x1b[" in text or ("\\" in text and "u001b[" in text):
        searched = _COLOUR.sub(_as_spaces, searched)
    lower = _lower(searched)
    found = [*known, *(span for find in detectors for span in find(searched, lower))]
    merged: list[Span] = []
    for span in sorted(found, key=lambda s: (s.start, -s.end)):
        if merged and span.start < merged[-1].end:
            merged[-1] = _union(merged[-1], span)
        else:
            merged.append(span)
    return list(_beside_placeholders(text, merged)) if merged and "[redacted:" in text else merged


def _beside_placeholders(text: str, spans: Iterable[Span]) -> Iterator[Span]:
    """Yield what is left of the spans outside of placeholders, so that scrubbing again changes nothing."""
    placeholders = [match.span() for match in _PLACEHOLDER.finditer(text)]
    for span in spans:
        at = span.start
        for start, end in placeholders[max(bisect_right(placeholders, (at, at)) - 1, 0) :]:
            if start >= span.end:
                break
            if end > at:
                yield from _pieces(text, span._replace(start=at, end=min(start, span.end)))
                at = end
        yield from _pieces(text, span._replace(start=at))


def _pieces(text: str, span: Span) -> Iterator[Span]:
    """Yield the span unless it is empty, or what stands between two placeholders."""
    if span.start < span.end and any(map(str.isalnum, text[span.start : span.end])):
        yield span


def _as_break(escaped: re.Match[str]) -> str:
    """Return a real line break of the same length: in JSON there are none, and names and values stand on lines."""
    return "\n".rjust(len(escaped[0]))


def _as_spaces(colour: re.Match[str]) -> str:
    return " " * len(colour[0])


def _union(one: Span, other: Span) -> Span:
    """Name a secret by its look where its look is all of it: it is then called the same wherever it stands."""
    is_same = (one.start, one.end) == (other.start, other.end)
    kind = other.kind if is_same and one.kind == ANY else one.kind
    return Span(min(one.begin, other.begin), one.start, max(one.end, other.end), kind)


def _lower(text: str) -> str:
    """Return the text in lower case, each character where it was."""
    lower = text.lower()
    return lower if len(lower) == len(text) else "".join(c.lower() if len(c.lower()) == 1 else c for c in text)


class Redactor:
    """Replaces secrets with `[redacted:KIND:abcd1234]`.

    The digits are a keyed hash of the secret: equal secrets stay equal, in every process with the same secrets and
    salt, and a reader cannot test guesses without the key. Knowing no secret and no salt, the key is random.
    """

    def __init__(
        self,
        known_secrets: Iterable[str] = (),
        *,
        key: bytes | None = None,
        salt: bytes = b"",
        learned: Learned | None = None,
        detectors: Sequence[Detector] | None = None,
    ) -> None:
        known = sorted({s for s in known_secrets if len(s) >= MIN_SECRET_CHARS}, key=lambda s: (-len(s), s))
        self._given_key, self._material = key, ("\0".join(known).encode(errors="surrogatepass"), salt)
        self._known = Learned(_forms)
        self._known.add(known, is_passing=False)
        self._learned = learned or Learned(_forms)
        self._detectors = tuple(detectors or _own_detectors())

    @cached_property
    def _key(self) -> bytes:
        secrets, salt = self._material
        if self._given_key or not (secrets or salt):
            return self._given_key or os.urandom(32)
        return hashlib.scrypt(secrets, salt=b"redaction" + salt, **_KDF)

    def learn(self, secrets: Iterable[str], *, is_passing: bool = False) -> None:
        """Know these secrets from now on too; passing ones until many others have come after them."""
        self._learned.add((s for s in secrets if len(s) >= MIN_SECRET_CHARS), is_passing=is_passing)

    def scrub(self, text: str) -> str:
        """Return the text without its secrets."""
        stream = self.stream()
        return stream.feed(text) + stream.close()

    def stream(self) -> "RedactedStream":
        """Return what takes secrets out of a text that comes in pieces, wherever those begin and end."""
        return RedactedStream(self._find, self._replace)

    def scrub_json(self, value: Any) -> Any:
        """Return a JSON value scrubbed: every string in it, and whole values under names such as `password`."""
        return self._scrub_value(value, MAX_DEPTH)

    def _scrub_value(self, value: Any, depth: int) -> Any:
        if isinstance(value, str):
            return self.scrub(value)
        if not isinstance(value, (dict, list, tuple)):
            return value
        if not depth:
            return _withheld("it is nested too deep")
        if not isinstance(value, dict):
            return [self._scrub_value(item, depth - 1) for item in value]
        is_manifest = value.get("kind") == "Secret"
        names = ((_named(value, key, is_manifest=is_manifest), key) for key in value)
        return {self._scrub_key(key): self._scrub_named(name, value[key], depth - 1) for name, key in names}

    def _scrub_key(self, key: Any) -> Any:
        return self.scrub(key) if isinstance(key, str) else key

    def _scrub_named(self, name: Any, value: Any, depth: int) -> Any:
        """Hide a value under a secret's name whole; of what is nested there, every text."""
        if isinstance(value, dict) and name is _EVERYTHING:
            return {self._scrub_key(k): self._scrub_named(_EVERYTHING, v, depth) for k, v in value.items()}
        if isinstance(value, list) and depth:
            return [self._scrub_named(name, item, depth - 1) for item in value]
        if not isinstance(value, str) or not value or _PLACEHOLDER.fullmatch(value):
            return self._scrub_value(value, depth)
        if name is _EVERYTHING or (isinstance(name, str) and is_secret_member(name, value)):
            return self._placeholder(*self._kind_of(value))
        return self.scrub(value)

    def _kind_of(self, secret: str) -> tuple[str, str]:
        """Return kind and text of a secret that stands alone, as they are where it stands in a text."""
        spans = self._find(secret)
        if [(s.start, s.end) for s in spans] != [(0, len(secret))]:
            return ANY, secret
        return spans[0].kind, dict(self._spelled()).get(secret, secret)

    def _find(self, text: str) -> list[Span]:
        return find_spans(text, self._detectors, self._find_known(text))

    def _find_known(self, text: str) -> Iterator[Span]:
        for form, _ in self._spelled():
            at = text.find(form)
            while at >= 0:
                yield Span(at, at, at + len(form), "known")
                at = text.find(form, at + len(form))

    def _spelled(self) -> tuple[tuple[str, str], ...]:
        """Return each spelling of a known secret with the secret."""
        return self._known.forms + self._learned.forms

    def _replace(self, text: str, spans: Sequence[Span]) -> str:
        pieces, at, originals = [], 0, dict(self._spelled()) if spans else {}
        for span in spans:
            secret = text[span.start : span.end]
            pieces += [text[at : span.start], self._placeholder(span.kind, originals.get(secret, secret))]
            at = span.end
        return "".join([*pieces, text[at:]])

    def _placeholder(self, kind: str, secret: str) -> str:
        raw = secret.encode(errors="surrogatepass")
        return f"[redacted:{kind}:{hashlib.blake2b(raw, key=self._key, digest_size=_TAG_BYTES).hexdigest()}]"


class RedactedStream:
    """Takes secrets out of a text that comes in pieces; never holds back more than one part of it."""

    def __init__(self, find: Callable[[str], list[Span]], replace: Callable[[str, Sequence[Span]], str]) -> None:
        self._find, self._replace = find, replace
        self._held = ""

    def feed(self, piece: str) -> str:
        """Take the next piece; return what is free of secrets by now, which may be nothing."""
        text, at, said = self._held + piece, 0, []
        while len(text) - at > PART_CHARS:
            part = text[at : at + PART_CHARS]
            clean, taken = self._cleaned(part, _border(part))
            said.append(clean)
            at += taken
        self._held = text[at:]
        return "".join(said)

    def close(self) -> str:
        """Return the rest."""
        rest, self._held = self._held, ""
        return self._cleaned(rest, len(rest))[0] if rest else ""

    def _cleaned(self, part: str, border: int) -> tuple[str, int]:
        """Return the part without secrets up to the border, or to the secret that crosses it, and where that is."""
        try:
            spans = self._find(part)
            border = _before_secrets(spans, border)
            return self._replace(part[:border], _up_to(spans, border)), border
        except Exception as error:  # noqa: BLE001 - whatever is wrong with a detector, the text must not get through
            metrics.WITHHELD.inc()
            return _withheld(f"{type(error).__name__} while it was searched for secrets, {border} characters"), border


def _border(part: str) -> int:
    """Return where to part the text: at the end of a line, else of a word, far enough from the end of the part."""
    most = len(part) - MAX_SECRET_CHARS
    return next((at + 1 for at in (part.rfind(c, most // 2, most) for c in "\n ,") if at >= 0), most)


def _before_secrets(spans: list[Span], border: int) -> int:
    """Return the border, or where the first secret begins that would cross it. One that fills all is parted."""
    place, last = border, -1
    while place != last:
        last = place
        for span in reversed(spans):
            place = span.begin if span.begin < place < span.end else place
    return place or border


def _up_to(spans: list[Span], border: int) -> list[Span]:
    return [span._replace(end=min(span.end, border)) for span in spans if span.start < border]


def _withheld(reason: str) -> str:
    return f"[withheld: {reason}]"


_EVERYTHING = object()
"""The name of what is secret whatever it is called."""


def _named(value: dict[Any, Any], key: Any, *, is_manifest: bool) -> Any:
    """Return the name that tells of a member: its key, `name` beside `value`, or that all below is secret."""
    if is_manifest and key in {"data", "stringData"}:
        return _EVERYTHING
    return value.get("name", key) if key == "value" else key


def _forms(secret: str) -> set[str]:
    """Return how a secret may be spelled: as it is, in a URL, in JSON, in base64 alone or inside something longer."""
    escaped = secret.replace("\\", "\\\\").replace('"', '\\"')
    return {secret, quote(secret, safe=""), quote(secret), quote_plus(secret), escaped, *_base64_forms(secret)}


def _base64_forms(secret: str) -> set[str]:
    """Return the part of its base64 that is the same whatever stands around it, for each of the three alignments."""
    raw = secret.encode(errors="surrogatepass")
    forms = set()
    for shift in range(3):
        encoded = base64.b64encode(b"\0" * shift + raw).decode().rstrip("=")
        first = -(-shift * 8 // 6)  # characters that also hold bits of what stands before
        last = len(encoded) - (1 if (shift + len(raw)) % 3 else 0)
        stable = encoded[first:last]
        if len(stable) >= MIN_SECRET_CHARS + _BASE64_MARGIN:
            forms |= {stable, stable.replace("+", "-").replace("/", "_")}
    return forms


LEARNED = Learned(_forms)
"""What the services of this process and its log have learned."""
