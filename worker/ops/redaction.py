"""Takes secrets out of text before it is stored, shown or sent: the values we know, and what looks like one.

Every expression is linear: bounded or single repetitions, no nested ones, each begun by a literal or a boundary.
"""

import base64
import hashlib
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, quote_plus

from worker.ops.learned import Learned

MIN_SECRET_CHARS = 6
"""A shorter known value is ignored: it would blank out ordinary words."""
_TAG_CHARS = 4
_PART_CHARS = 32_768
"""Text is searched in parts cut at line ends, so that no single search holds the interpreter for long."""
_BASE64_MARGIN = 2

_VALUE = r"""[^\s"'`,;&|<>()\[\]{}\\]{4,4096}"""
_NAMED = (
    r"pass(?:word|wd|phrase|code)?|pwd|secret(?:[_-]?(?:key|access[_-]?key))?|(?:api|access|private|secret|auth|account|encryption)"
    r"[_-]?key|token|(?:access|auth|refresh|id|session|bearer|client)[_-]?token|client[_-]?secret|credentials?"
)
_IS = r"\s{0,3}(?:=>|:=|[:=])\s{0,3}"
_BODY = r"(?:[^-]|-(?!----)){0,20000}"
_SCHEME = r"(?:(?:basic|bearer|token|digest|apikey|negotiate)\s{1,3})?"
_HINTS = {
    "pem": ("-----begin",),
    "jwt": ("eyj",),
    "anthropic": ("sk-ant-",),
    "openrouter": ("sk-or-",),
    "openai": ("sk-",),
    "google": ("aiza", "ya29."),
    "groq": ("gsk_",),
    "xai": ("xai-",),
    "huggingface": ("hf_",),
    "github": ("gh", "github_pat_"),
    "gitlab": ("gl",),
    "slack": ("xox", "xapp-", "hooks.slack"),
    "stripe": ("k_live_", "k_test_"),
    "npm": ("npm_",),
    "pypi": ("pypi-",),
    "vault": ("hvs.", "hvb.", "hvr."),
    "sendgrid": ("sg.",),
    "aws_id": ("akia", "asia", "agpa", "aida", "aroa", "anpa", "anva", "a3t"),
    "url": ("://",),
    "header": ("authorization",),
    "bearer": ("bearer",),
    "cookie": ("cookie",),
    "named": ("pass", "pwd", "secret", "key", "token", "credential"),
    "aws": ("aws",),
}
"""By kind, what a text in lower case must hold at least one of: most texts hold none, and looking is cheap."""
_ALL_HINTS = tuple(sorted({hint for hints in _HINTS.values() for hint in hints}))
_PATTERNS: tuple[tuple[str, str], ...] = (
    (
        "pem",
        rf"-----BEGIN (?P<kind>[A-Z0-9 ]{{0,40}}PRIVATE KEY(?: BLOCK)?)-----{_BODY}(?:-----END (?P=kind)-----)?",
    ),
    ("jwt", r"\beyJ[A-Za-z0-9_-]{8,4096}\.[A-Za-z0-9_-]{8,8192}(?:\.[A-Za-z0-9_-]{0,4096})?"),
    ("anthropic", r"\bsk-ant-[A-Za-z0-9_-]{8,300}"),
    ("openrouter", r"\bsk-or-[A-Za-z0-9_-]{8,300}"),
    ("openai", r"\bsk-[A-Za-z0-9_-]{16,300}"),
    ("google", r"\bAIza[A-Za-z0-9_-]{30,50}"),
    ("google", r"\bya29\.[A-Za-z0-9_.-]{20,2000}"),
    ("groq", r"\bgsk_[A-Za-z0-9]{20,200}"),
    ("xai", r"\bxai-[A-Za-z0-9]{20,200}"),
    ("huggingface", r"\bhf_[A-Za-z0-9]{20,100}"),
    ("github", r"\b(?:gh[pousr]_[A-Za-z0-9]{20,300}|github_pat_[A-Za-z0-9_]{20,300})"),
    ("gitlab", r"\bgl(?:pat|dt|rt|cbt|ptt|ft|soat|imt|agent)-[A-Za-z0-9_.-]{16,300}"),
    ("slack", r"\bxox[abeoprs]-[A-Za-z0-9-]{8,300}|\bxapp-[A-Za-z0-9-]{8,300}"),
    ("slack", r"\bhooks\.slack\.com/(?:services|workflows)/[A-Za-z0-9/_-]{8,200}"),
    ("stripe", r"\b[rs]k_(?:live|test)_[A-Za-z0-9]{10,200}"),
    ("npm", r"\bnpm_[A-Za-z0-9]{30,100}"),
    ("pypi", r"\bpypi-[A-Za-z0-9_-]{30,500}"),
    ("vault", r"\bhv[sbr]\.[A-Za-z0-9_-]{20,300}"),
    ("sendgrid", r"\bSG\.[A-Za-z0-9_-]{16,64}\.[A-Za-z0-9_-]{16,128}"),
    ("aws_id", r"\b(?:AKIA|ASIA|AGPA|AIDA|AROA|ANPA|ANVA|A3T[A-Z0-9])[A-Z0-9]{16}\b"),
    ("url", r"(?P<keep>\b[a-zA-Z][a-zA-Z0-9+.-]{0,30}://[^\s:/@\"'<>]{0,200}:)[^\s/@\"'<>]{1,500}(?=@)"),
    (
        "header",
        rf"(?i:(?P<keep>\b(?:proxy-)?authorization[\"']?\s{{0,3}}[:=]\s{{0,3}}[\"']?{_SCHEME}))[^\s\"',;<>]{{4,8192}}",
    ),
    ("bearer", r"(?i:(?P<keep>\bbearer\s{1,3}))[A-Za-z0-9._~+/=-]{8,8192}"),
    ("cookie", r"(?i:(?P<keep>\b(?:set-)?cookie[\"']?\s{0,3}:\s{0,3}[\"']?))[^\r\n\"']{4,4096}"),
    (
        "named",
        rf"(?i:(?P<keep>(?:^|\s)--?(?:{_NAMED})(?:\s{{1,3}}|=)[\"']?))(?!-|\[redacted:){_VALUE}",
    ),
    (
        "named",
        rf"(?i:(?P<keep>(?:{_NAMED})(?:\\?[\"'])?{_IS}))(?P<quote>\\?[\"'])(?!\[redacted:)(?:(?!(?P=quote)).){{4,4096}}",
    ),
    ("named", rf"(?i:(?P<keep>(?:{_NAMED}){_IS}))(?!\[redacted:){_VALUE}"),
    (
        "aws",
        r"(?i:(?P<keep>aws.{0,20}secret.{0,20}?[\"'=:\s]))(?<![A-Za-z0-9/+])[A-Za-z0-9/+]{40}(?![A-Za-z0-9/+=])",
    ),
)
_SECRET_NAME = re.compile(rf"(?i)(?:^|[._-]|(?<=[a-z]))(?:{_NAMED})$")
_PLAIN_NUMBER = re.compile(r"\d{1,12}|true|false|null|none", re.IGNORECASE)


@dataclass(frozen=True)
class _Rule:
    pattern: re.Pattern[str]
    replace: Callable[[re.Match[str]], str]
    hints: frozenset[str]

    def apply(self, text: str) -> str:
        return self.pattern.sub(self.replace, text)


class Redactor:
    """Replaces secrets with `[redacted:KIND:abcd]`.

    The four characters are a keyed hash of the secret: equal secrets stay equal, in every process with the
    same settings, and a reader cannot test guesses without the key.
    """

    def __init__(
        self, known_secrets: Iterable[str] = (), *, key: bytes | None = None, learned: Learned | None = None
    ) -> None:
        known = sorted({s for s in known_secrets if len(s) >= MIN_SECRET_CHARS}, key=lambda s: (-len(s), s))
        self._key = key or hashlib.sha256("\0".join(["redaction", *known]).encode()).digest()
        self._originals = {form: s for s in known for form in _forms(s)}
        spelled = sorted(self._originals, key=len, reverse=True)
        self._known = re.compile("|".join(map(re.escape, spelled))) if spelled else None
        self._learned = learned or Learned(_forms)
        self._rules = tuple(
            _Rule(re.compile(p, re.MULTILINE), self._replacer(kind), frozenset(_HINTS[kind])) for kind, p in _PATTERNS
        )

    def learn(self, secrets: Iterable[str], *, is_passing: bool = False) -> None:
        """Know these secrets from now on too; passing ones until many others have come after them."""
        self._learned.add((s for s in secrets if len(s) >= MIN_SECRET_CHARS), is_passing=is_passing)

    def scrub(self, text: str) -> str:
        """Return the text without its secrets."""
        if self._known is not None:
            text = self._known.sub(lambda m: self._placeholder("known", self._originals[m[0]]), text)
        for form, secret in self._learned.forms:
            if form in text:
                text = text.replace(form, self._placeholder("known", secret))
        if "-----BEGIN" in text:  # the one kind of secret that spans lines
            text = self._rules[0].apply(text)
        return self._scrub_part(text) if len(text) <= _PART_CHARS else "".join(map(self._scrub_part, _parts(text)))

    def _scrub_part(self, part: str) -> str:
        lower = part.lower()
        found = [hint for hint in _ALL_HINTS if hint in lower]
        if not found:
            return part
        for rule in self._rules:
            if not rule.hints.isdisjoint(found):
                part = rule.apply(part)
        return part

    def scrub_json(self, value: Any) -> Any:
        """Return a JSON value scrubbed: every string in it, and whole values under names such as `password`."""
        if isinstance(value, str):
            return self.scrub(value)
        if isinstance(value, dict):
            return {self._scrub_key(k): self._scrub_named(k, v) for k, v in value.items()}
        if isinstance(value, (list, tuple)):
            return [self.scrub_json(item) for item in value]
        return value

    def _scrub_key(self, key: Any) -> Any:
        return self.scrub(key) if isinstance(key, str) else key

    def _scrub_named(self, name: Any, value: Any) -> Any:
        is_secret = isinstance(name, str) and isinstance(value, str) and _SECRET_NAME.search(name)
        if not is_secret or not value or value.startswith("[redacted:") or _PLAIN_NUMBER.fullmatch(value):
            return self.scrub_json(value)
        return self._placeholder("named", value)

    def _replacer(self, kind: str) -> Callable[[re.Match[str]], str]:
        def replace(match: re.Match[str]) -> str:
            groups = match.groupdict()
            kept = (groups.get("keep") or "") + (groups.get("quote") or "")
            secret = match[0][len(kept) :]
            if _PLAIN_NUMBER.fullmatch(secret) or secret.startswith("[redacted:"):
                return match[0]  # `tokens: 1200` is a count, and what is redacted is redacted
            return kept + self._placeholder(kind, secret)

        return replace

    def _placeholder(self, kind: str, secret: str) -> str:
        tag = hashlib.blake2b(secret.encode(errors="surrogatepass"), key=self._key, digest_size=8).hexdigest()[
            :_TAG_CHARS
        ]
        return f"[redacted:{kind}:{tag}]"


def _parts(text: str) -> Iterator[str]:
    """Cut a text at line ends into parts that are not much longer than `_PART_CHARS`."""
    start = 0
    while len(text) - start > _PART_CHARS:
        end = text.find("\n", start + _PART_CHARS) + 1
        if not end:
            break
        yield text[start:end]
        start = end
    yield text[start:]


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
