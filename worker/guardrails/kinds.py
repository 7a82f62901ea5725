"""What the value of an option or an operand may be, by the name the table gives it."""

import re
from collections.abc import Callable, Collection, Mapping

from worker.guardrails import hosts, kubernetes, paths, programs, sql
from worker.guardrails.patterns import PATTERNS
from worker.guardrails.words import Word

_CHOICE = re.compile(r"\[([^\]])[^\]]*\]")
_HUNTED = re.compile(
    r"passw|pwd|passphrase|secret|credential|private.?key|api.?key|access.?key|BEGIN|AKIA|auth.?token|bearer",
    re.IGNORECASE,
)

_REFUSED = re.compile(
    r"(failed|invalid|incorrect|wrong|bad|expired) (password|credentials?)|password (authentication failed|expired)",
    re.IGNORECASE,
)
"""What a log says of a refusal, without what was refused."""


def _text(_: str) -> bool:
    return True


def _searched(value: str) -> bool:
    """A pattern to search for, unless it asks for credentials: `api[_-]key` and `[p]assword` are read as meant."""
    value = _REFUSED.sub("", value)
    return not _HUNTED.search(value) and not _HUNTED.search(_CHOICE.sub(r"\1", value))


def _listing(value: str) -> bool:
    return not value.startswith(("-", "+")) and paths.may_be_listed(value)


def _open_files(value: str) -> bool:
    return value == "+L1" or _listing(value)


def _content(value: str) -> bool:
    return value == "-" or (not value.startswith(("-", "+")) and paths.may_be_read(value))


def _file_pattern(value: str) -> bool:
    """A pattern for names, as in `find -name`, unless it is one of secrets."""
    return not value.startswith("-") and not paths.looks_secret(value)


def _find_operand(value: str) -> bool:
    return bool(_COMPILED["find_operand"].fullmatch(value)) and paths.may_be_listed(value)


def _revision(value: str) -> bool:
    """A revision, a range, a path, or `revision:path`; never out of the repository: `git diff` reads any two files."""
    if value.startswith(("-", "~")) or ".." in value.split("/") or paths.looks_secret(value):
        return False
    return bool(re.fullmatch(r"[\w./:@^~{}+=* -]+", value)) and not value.startswith("/")


def _line_range(value: str) -> bool:
    """`10,20:path` or `:name:path`, as `git log -L` has it."""
    lines, colon, path = value.rpartition(":")
    return bool(colon and re.fullmatch(r"\d+,\+?\d+|:\w+", lines)) and _revision(path)


def _repository(value: str) -> bool:
    """A folder that a repository may be in: anywhere but where a system keeps its own files."""
    return bool(_COMPILED["repository"].fullmatch(value)) and _listing(value)


def _resource_or_name(value: str) -> bool:
    """What follows a type is a name, which may be any; with a slash it is a type again."""
    return kubernetes.is_open(value) if "/" in value else bool(_COMPILED["name"].fullmatch(value))


_COMPILED = {name: re.compile(pattern, re.DOTALL) for name, pattern in PATTERNS.items()}
_CHECKS: Mapping[str, Callable[[str], bool]] = {
    "text": _text,
    "search": _searched,
    "listing": _listing,
    "open_files": _open_files,
    "content": _content,
    "file_pattern": _file_pattern,
    "find_operand": _find_operand,
    "revision": _revision,
    "resource": kubernetes.is_open,
    "line_range": _line_range,
    "repository": _repository,
    "resource_or_name": _resource_or_name,
    "sed_script": programs.is_read_only_sed,
    "awk_program": programs.is_read_only_awk,
    "jq_program": programs.is_read_only_jq,
    "yq_program": programs.is_read_only_yq,
    "psql_statement": sql.is_read_only_psql,
    "mysql_statement": sql.is_read_only_mysql,
}
_OF_PATHS = {"listing", "content", "find_operand"}


_HOST_CHECKS: Mapping[str, Callable[[str, Collection[str]], bool]] = {
    "own_host": hosts.is_own,
    "inside_host": hosts.is_inside,
    "network_end": hosts.is_network_end,
    "db_name_or_conninfo": hosts.is_database,
    "inside_hosts": hosts.are_inside,
    "fetched_url": hosts.may_be_fetched,
}
"""Kinds that depend on the hosts that the operator lists."""


def is_known(kind: str) -> bool:
    return kind in _CHECKS or kind in _COMPILED or kind in _HOST_CHECKS


def fits(word: Word, kind: str, listed_hosts: Collection[str] = ()) -> bool:
    """Say whether a word is proven to be a value of this kind."""
    if word.is_pattern and kind != "raw_state":
        return kind in _OF_PATHS and paths.may_be_expanded(word.text)
    if not word.is_static and not word.is_pattern:
        return False
    if kind in _HOST_CHECKS:
        return _HOST_CHECKS[kind](word.text, listed_hosts)
    check = _CHECKS.get(kind)
    return check(word.text) if check else bool(_COMPILED[kind].fullmatch(word.text))
