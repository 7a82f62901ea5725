"""Secrets that statements set or sentences quote: SQL, code, configuration of servers, requests, what logs say."""

import re
from collections.abc import Callable, Iterator

from worker.ops.secret_spans import ANY, Pattern, Span
from worker.ops.secret_values import is_generated, is_said, looks_random

_QUOTED = r"(?P<q>[\"'])(?P<s>(?:(?!(?P=q))[^\n]){4,200})(?P=q)"
_WHO = r"[\w@.'-]{1,60}"


def _statement(expression: str, *hints: str, is_secret: Callable[[str], bool] = is_said) -> Pattern:
    return Pattern(ANY, re.compile(expression, re.MULTILINE), hints, is_secret)


def _hash(expression: str, *hints: str) -> Pattern:
    return Pattern("hash", re.compile(expression), hints)


_SENTENCE = re.compile(
    r"(?:passphrase|password|token|secret|api[ _-]key|pass(?= '))"
    r"(?<![\w/.-]password)(?<![\w/.-]token)(?<![\w/.-]secret)"
    r"(?<!continue token)(?<!continuation token)(?<!page token)(?<!idempotency token)"
    rf"(?:\s(?:for|of)(?:\suser)?\s{_WHO})?(?:\s(?:is|was|value|provided|key|to|generated\sfor\s{_WHO})){{0,3}}"
    r"\s?:?\s[\"']?(?P<s>[^\s\"'`,;<>()]{8,300})"
)
"""Searched for in lower case, which is faster than to search for either case."""


def _find_quoted(text: str, lower: str, place: tuple[int, int]) -> Iterator[Span]:
    """Yield what a sentence calls a secret: `invalid token …`, `password for user elastic is: …`."""
    for match in _SENTENCE.finditer(lower, *place):
        if is_generated(text[slice(*match.span("s"))]):
            yield Span(match.start(), *match.span("s"), ANY)


def find_stated(text: str, lower: str, place: tuple[int, int]) -> Iterator[Span]:
    """Yield what these lines, which hold the name of a secret, set or quote."""
    yield from _find_quoted(text, lower, place)
    for needed, patterns in _NAMED.items():
        if lower.find(needed, *place) >= 0:
            for pattern in patterns:
                yield from pattern.find_within(text, lower, place)


_PAIR = _statement(
    r"(?i:(?:auth|credentials)\s{0,3}=?\s{0,3}\(\s{0,3})[\"'][^\"'\n]{1,100}[\"']\s{0,3},\s{0,3}"
    r"[\"'](?P<s>[^\"'\n]{8,200})(?=[\"']\s{0,3}\))",
    *("auth(", "auth=(", "auth = (", "credentials("),
    is_secret=looks_random,
)
_NAMED = {
    "password": (
        _statement(r"\bnmcli\s[^\n]{0,200}?\spassword\s[\"']?(?P<s>[^\s\"']{8,200})", "nmcli"),
        _statement(r"\bPASSWORD \w{1,40} = (?P<s>\S{8,100})", "password "),
        _statement(rf"(?i:password\s{{0,3}}=?\s{{0,3}}\(\s{{0,3}}){_QUOTED}(?=\s{{0,3}}\))", "password"),
        _statement(
            r"(?i:\bset\s{1,5}password\s{1,5}for\s{1,5}[^\n=]{1,150}=\s{0,3})'(?P<s>[^'\n]{1,200})'", "set password"
        ),
        _statement(r"\binsecure-password\s{1,5}(?P<s>\S{4,200})", "insecure-password"),
    ),
    "auth": (
        _statement(r"(?<=:_authToken)\s{1,3}[\"']?(?P<s>[^\s\"']{8,200})", ":_authtoken"),
        _PAIR,
        _statement(
            r"(?i:\bauthorization\\{0,15}[\"']?\s{0,3}[:=]\s{0,3}\\{0,15}[\"']?digest\s)(?P<s>[^\r\n]{8,1000})",
            "digest ",
        ),
        _statement(r"\bstats\s{1,5}auth\s{1,5}[^\s:]{1,64}:(?P<s>\S{1,100})", "stats auth"),
        _statement(
            r"(?i:(?:[>\]]|^)\s{0,3}\"?auth\"?\s{1,3}(?:\"[^\"\n]{1,64}\"\s)?\"?)(?P<s>[^\s\"]{6,200})(?=\"?[ \t]*$)",
            *('auth" "', "> auth "),
        ),
    ),
    "credential": (
        _PAIR,
        _statement(r"(?i:\bcredentials?\s)[\w.@-]{1,64}:(?P<s>[^\s:/\"']{8,200})", "cred", is_secret=is_generated),
    ),
    "jsessionid": (_statement(r"(?i:[;?&]jsessionid=)(?P<s>[\w.!-]{16,200})", "jsessionid"),),
    "wpa_passphrase": (_statement(r"\bwpa_passphrase\s\S{1,64}\s[\"']?(?P<s>[^\s\"']{8,200})", "wpa_passphrase"),),
}
"""By what has to stand in the lines: they are many, and looked at one by one."""
_SQL = (
    _statement(
        r"(?i:\bidentified\s{1,5}(?:with\s{1,5}\S{1,40}\s{1,5})?by\s{1,5}(?:password\s{1,5})?)"
        r"(?P<q>[\"'])(?P<s>(?:(?!(?P=q))[^\n]){1,200})(?P=q)",
        "identified",
    ),
    _statement(
        r"(?i:\b(?:user|role|grant|to)\s[^\n;]{1,200}?\sidentified\s{1,5}by\s{1,5})(?P<s>[^\s\"';]{1,200})",
        "identified by",
    ),
)
_REQUESTS = (
    _statement(
        r"(?i:\bSAML(?:Response|Request)[\"']?\s{0,3}(?:value=|[=:])\s{0,3}[\"']?)(?P<s>[\w+/%=-]{40,30000})",
        "samlre",
    ),
    _statement(r"[?&]code=(?P<s>[\w%/.~-]{20,2000})", "?code=", "&code=", is_secret=looks_random),
    _statement(
        r"\b(?:webhook\.office\.com/webhookb2/|hooks\.zapier\.com/hooks/catch/|webhook/send\?key=)(?P<s>[\w@/-]{6,300})",
        "hook",
        is_secret=looks_random,
    ),
    _statement(r"(?<![\w/.-])[\w.-]{1,64}:(?P<s>[^\s@/]{1,200})(?=@tcp\()", "@tcp("),
)
_SERVERS = (
    _statement(r"\br[ow]community6?\s{1,5}(?P<s>[^\s\"']{4,100})", "community"),
    _statement(
        r"(?i:^user|\bsetuser)\s\S{1,64}\s(?:[^\n]{0,100}?\s)?>(?P<s>[^\s>/]{4,200})(?=\s[^\n]{0,200}?[~+&@])", "on >"
    ),
)
_HASHES = (
    _hash(r"\{S?SHA\}[A-Za-z0-9+/]{20,200}={0,2}", "sha}"),
    _hash(r"\"(?P<s>md5[0-9a-f]{32})\"", '"md5'),
)

STATEMENTS = (*_SQL, *_REQUESTS, *_SERVERS, *_HASHES)
