"""Secrets that are known by their name: `DB_PASSWORD=…`, `"clientSecret": "…"`, `--token …`, `<password>…`.

A name ends with what it is: `secret_name`, `token_count` and `key` alone are none. Where the name leaves no doubt any
value is a secret that is no word of the usual ones; where it does (`token:`, `secret:`), only what looks random.
"""

import re
from collections.abc import Callable, Iterator
from functools import lru_cache

from worker.ops.secret_spans import ANY, Span, lines_near
from worker.ops.secret_statements import find_stated
from worker.ops.secret_values import is_said, is_user_and_password, looks_random

_HINTS = (
    *("pass", "pwd", "secret", "key", "token", "cred", "auth", "sas", "dockercfg", "dockerconfigjson", "otp"),
    *("bindpw", "_cookie", "sessionid"),
)
_WORD = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])|\d+")

_SURE = re.compile(
    r"(?:.*[ ])?(?:\w*(?:password|passwd|passphrase|passcode|passwort)|pwd|dbpass|pgpass|sshpass"
    r"|(?:db|user|my|root|admin|mysql|redis|smtp|mail|ftp|ldap|http|proxy|basic|auth)[ ]pass(?:[ ]?(?:word|wd))?"
    r"|pass[ ](?:phrase|word|code)"
    r"|(?:client|app|api|auth|consumer|shared|signing|webhook|oauth|session|jwt|token|hmac)[ ]?secret"
    r"|(?:secret|private|api|access|auth|account|encryption|decryption|signing|master|shared|storage|subscription"
    r"|webhook|license|service|admin|deploy|functions?|integration|ssh|rsa|hmac|jwt|consumer|server|fernet|vault"
    r"|recovery)[ ]?key(?:[ ](?:data|base|base 64|b 64))?|client[ ]key[ ]data|private[ ]key[ ]id"
    r"|secret[ ]access[ ]key|key[ ]base"
    r"|secret[ ](?:id|string)|unseal[ ]key|dockercfg|dockerconfigjson|sas[ ]token|password[ ]hash|(?:otp|mfa)[ ]secret"
    r"|totp|requirepass|masterauth|bindpw|pre[ ]?shared[ ]key|(?:store|key|user|become)[ ]?pass"
    r"|erlang[ ]cookie|j ?sessionid|phpsessid|session ?id cookie|secret[ ]bytes|(?:auth|logged[ ]in|nonce)[ ]salt"
    r"|(?:logged[ ]in|nonce)[ ]key)"
    r"(?:[ ]\d{1,2})?"
)
_UNSURE = re.compile(
    r"(?:.*[ ])?(?:\w*token|\w*secret|pass|otp|credentials?|\w*passkey|(?:auth|app)[ ]key|key[ ]data)(?:[ ]\d{1,2})?"
)
_NAMES_THINGS = re.compile(r"(?:secret|credentials?|key)(?: \d+)?$")
"""A resource is called so too: `secret: checkout-tls-2`."""
_HARMLESS = re.compile(
    r"(?:.*[ ])?(?:next|continue|continuation|page|pagination|sync|resume|idempotency|cursor|invalid|unexpected"
    r"|cancellation|fencing|claim|client request|by)[ ]token"
    r"|ask[ ].*"
    r"|.*(?:public|primary|foreign|partition|sort|cache|routing|host|dedup|idempotency|object|group|shard)[ ]key.*"
)
_ENCODED = re.compile(r"(?:.*[ ])?auth")
_ROUTING = re.compile(r"(?:.*[ ])?routing[ ]key")
"""An exchange has some, of words; the one of an alert's receiver is its password."""
_VARIABLE = re.compile(r"[A-Z][A-Z0-9_]{1,60}_KEY")
_LONG_KEY = re.compile(r"[A-Za-z0-9+/_=-]{24,200}")
_HEX_KEY = re.compile(r"[0-9a-f]{32}")

_LEAST_DIGITS = 4
_NUMBER = re.compile(r"\d{1,12}(?:\.\d+)?%?|\d{1,6}(?:ms|s|m|h|d|kb|mb|gb|k|m)", re.IGNORECASE)
_RESOURCE = re.compile(r"[a-z0-9]{1,20}(?:[-./][a-z0-9]{1,20}){1,12}(?:-[A-Za-z0-9]{6})?")
_UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)

_NAME = r"(?P<name>[A-Za-z_.][\w.-]{1,100}+)"
_IS = (
    r"(?:\\{0,15}[\"'])?(?:\](?=\s{0,3}=))?(?:[ \t]{1,40}|\s{0,3})(?:=>|:=|[:=]|;s:\d{1,5}:)"
    r"[ \t]{0,20}(?:\n[ \t]{2,40})?"
    r"(?:\[\]string\{|\[(?!redacted:|withheld)(?=[\"']?[^\s\"']{1,8192}[\"'\]])"
    r"|N(?=')|string\(\d{1,5}\)[ ]|(?:!!|&)\w{1,20}[ ])?"
)
_Q = r"\\{0,15}[\"']?"
_PLAIN = r"(?P<q>[\"'`])(?P<s>(?:(?!(?P=q))[^\n\\]|\\[^\n]){1,4096})"
_ESCAPED = r"(?P<e>\\{1,15}[\"'`])(?P<t>(?:(?!(?P=e))[^\n]){1,4096})"
_QUOTED = f"{_PLAIN}|{_ESCAPED}"
_BARE = r"(?:[|>][-+]?\s{1,40})?(?P<b>[^\s\"'`,;&|<>\\]{2,8192})"
_VALUE = f"{_QUOTED}|{_BARE}"
_PATH = r"(?:/(?:[\w.-]{1,100}/){0,8})?"
_MEMBER = r"(?:[\"']\w{1,20}[\"']:\s{0,3}[\"']?\w{1,40}[\"']?,\s{0,40})?"
_STARTS = r"^[ \t]{0,40}(?:-[ \t]{1,4}|export[ \t]{1,4}|set[ \t]{1,4}|ENV[ \t]{1,4})?"

_ALONE = r"(?P<r>[^\s=:|<>(){}\[\]\"'\\]{8,200})(?=[ \t]*\|?[ \t]*$)"
_INNER = r"(?P<s>[^<\n]{2,4096})(?=</)"

_SEARCHES = (
    ("", rf"{_STARTS}{_NAME}(?:=|[ \t]{{0,3}}:[ \t]{{1,3}})", r"(?P<b>[^\s\"'`\\][^\s\\]{2,8191})(?=[ \t]*$)"),
    ("", rf"(?<![\w.-])(?<!checksum/)(?:(?P<before>[A-Za-z]{{2,20}}+)[ ])?{_NAME}{_IS}", _VALUE),
    ("env", rf"^[ \t]{{0,40}}(?:ENV|setenv)[ \t]{{1,3}}{_NAME}[ \t]{{1,3}}", rf"{_QUOTED}|(?P<b>\S{{2,8192}})"),
    ("", rf"^[ \t]{{0,40}}(?:\|[ \t]{{1,3}})?{_NAME}[ \t]{{1,20}}(?:\|[ \t]{{1,3}})?", _ALONE),
    (
        "-",
        rf"(?<![^\s\"'`])--?{_NAME}(?:[ \t]{{1,3}}(?!-)|=|[ \t]*\n[ \t]{{0,40}}-[ \t]{{1,3}})",
        rf"{_QUOTED}|(?P<b>[^\s\"'`]{{2,8192}})",
    ),
    (
        "value",
        rf"(?i:(?<![\w.-])(?:name|key){_IS}{_Q}{_PATH}{_NAME}{_Q}\s{{0,3}},?\s{{0,40}}{_MEMBER}{_Q}value{_IS})",
        _VALUE,
    ),
    ("</", rf"<(?:\w{{1,20}}:)?{_NAME}(?:\s[^<>]{{0,200}})?>", _INNER),
    ("</", rf"<\w{{1,40}}\s[^<>]{{0,80}}?(?:name|key)=[\"']{_NAME}[\"'][^<>]{{0,80}}>", _INNER),
    ("</", rf"<name>{_NAME}</name>\s{{0,40}}<value>", _INNER),
    ("value=", rf"\b(?:name|key)=[\"']{_NAME}[\"']\s{{1,40}}value=", _PLAIN),
    (
        ",",
        rf"[\"']-{{0,2}}{_NAME}[\"']\s{{0,3}},\s{{0,40}}(?=[\"'])",
        r"(?P<q>[\"'])(?P<r>(?:(?!(?P=q))[^\n]){8,4096})",
    ),
)
"""What has to stand in a text for a search to be worth it; a name with what makes it one; the value that follows."""
_SEARCHED = tuple(
    (needed, re.compile(head, re.MULTILINE), re.compile(v, re.MULTILINE)) for needed, head, v in _SEARCHES
)


def find_named(text: str, lower: str) -> Iterator[Span]:
    """Yield the values of all names that a secret has."""
    for start, end in lines_near(lower, _HINTS):
        yield from find_stated(text, lower, (start, end))
        for needed, head, value in _SEARCHED:
            if lower.find(needed, start, end) >= 0:
                yield from filter(None, (_value(found, value) for found in head.finditer(text, start, end)))


def _value(found: re.Match[str], expression: re.Pattern[str]) -> Span | None:
    """Return what stands under the name if it is a secret. The group tells how it is written."""
    name, longer = found["name"], f"{found.groupdict().get('before') or ''} {found['name']}"
    match = expression.match(found.string, found.end(), found.endpos) if _check(longer) else None
    if match is None:
        return None
    group = next(g for g in "stbr" if match.groupdict().get(g) is not None)
    value = _bare(match[group]) if group == "b" else match[group]
    if not is_secret(longer, value) or not (looks_random(value) or (group != "r" and is_secret(name, value))):
        return None
    return Span(found.start(), match.start(group), match.start(group) + len(value), ANY)


def is_secret(name: str, value: str) -> bool:
    """Say whether a value under this name is to be hidden."""
    check = _check(name)
    return check is not None and check(value) and is_said(value.strip())


def is_secret_member(name: str, value: str) -> bool:
    """Say the same of a member of an object, where a name is a name: there only what a thing could be called stays."""
    is_doubtful = _check(name) in {_is_random, _is_random_or_resource} and is_said(value)
    is_thing = _RESOURCE.fullmatch(value) is not None or _NUMBER.fullmatch(value) is not None
    return is_secret(name, value) or (is_doubtful and not is_thing)


@lru_cache(maxsize=4096)
def _check(name: str) -> Callable[[str], bool] | None:
    words = " ".join(_WORD.findall(name)).lower()
    if _ROUTING.fullmatch(words):
        return _is_hex_key
    if _HARMLESS.fullmatch(words):
        return None
    if _SURE.fullmatch(words):
        return _is_any
    if _UNSURE.fullmatch(words):
        return _is_random if _NAMES_THINGS.search(words) else _is_random_or_resource
    if _VARIABLE.fullmatch(name.rpartition(" ")[2]):
        return _is_long_key
    return is_user_and_password if _ENCODED.fullmatch(words) else None


def _is_any(value: str) -> bool:
    return any(map(str.isalnum, value)) and not (_NUMBER.fullmatch(value) and len(value) < _LEAST_DIGITS)


def _is_long_key(value: str) -> bool:
    return _LONG_KEY.fullmatch(value) is not None and _is_random(value)


def _is_hex_key(value: str) -> bool:
    return _HEX_KEY.fullmatch(value) is not None


def _is_random(value: str) -> bool:
    if _NUMBER.fullmatch(value):
        return False
    return bool(_UUID.fullmatch(value)) or (looks_random(value) and not _RESOURCE.fullmatch(value))


def _is_random_or_resource(value: str) -> bool:
    return _is_random(value) or (looks_random(value) and not _NUMBER.fullmatch(value))


def _bare(value: str) -> str:
    """Leave the bracket that closes what stands around a value without quotes, and the end of a sentence."""
    for opening, closing in ("()", "[]", "{}"):
        if value.endswith(closing) and opening not in value:
            value = value[:-1]
    return value.rstrip(".") or value
