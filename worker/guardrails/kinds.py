"""What the value of an option or an operand may be, by the name the table gives it."""

import re
from collections.abc import Callable, Collection, Mapping

from worker.guardrails import hosts, kubernetes, paths, programs, sql
from worker.guardrails.words import Word

_HUNTED = re.compile(
    r"passw|pwd|passphrase|secret|credential|private.?key|api.?key|access.?key|BEGIN|AKIA|auth.?token|bearer",
    re.IGNORECASE,
)

_INSPECTED = (
    r"\.(State|Name|Id|Image|Created|RestartCount|Driver|Platform|NetworkSettings|Mounts|SizeRw|SizeRootFs)\b"
    r"|\.HostConfig\.(Memory\w*|NanoCpus|Cpu\w+|RestartPolicy|NetworkMode|PidsLimit|OomKillDisable|LogConfig)\b"
    r"|\.Config\.(Image|Hostname|Healthcheck|ExposedPorts)\b"
)
_FIELD = rf"\{{\{{ *(json +)?({_INSPECTED})[\w.]* *\}}\}}"
_RANGE = (
    r"\{\{ *range +(\$\w+, *\$\w+ *:= *)?\.(NetworkSettings\.(Networks|Ports)|Mounts) *\}\}[^{}]*"
    r"(\{\{ *(json +)?(\$\w+|\.\w+|\.) *\}\}[^{}]*)+\{\{ *end *\}\}"
)
_LAMBDA = r"(FunctionName|FunctionArn|Runtime|State|StateReason\w*|LastUpdate\w*|LastModified|Timeout|MemorySize|CodeSize|Version|Handler)"
_GCLOUD_HIDDEN = (
    r"metadata|env|secret|passw|key|token|cert|auth|\*|config\b|\b(spec|template|containers|settings|items|value)\b(?![.\w])"
)
_CHOICE = re.compile(r"\[([^\]])[^\]]*\]")
_PATTERNS: Mapping[str, str] = {
    "plain": r"[\w.,:/@%+=~^-]*",
    "number": r"[+-]?\d+(\.\d+)?[a-zA-Z%]*",
    "word": r"[\w.:@%+=,^~][\w.,:/@%+=~^-]*",
    "words": r"[\w.:@%+=,^~\"'(][^\x00\n]*",
    "time": r"[\w@+:.-][\w :.,+/-]*",
    "name": r"[\w.@:\[\]*?-][\w.@:/*?\[\]\\-]*",
    "selector": r"[\w.(!][\w./=!,() -]*",
    "host": r"(?!.*(169\W?254|metadata))[\w:][\w.:-]*",
    "record_type": r"(?i:a|aaaa|any|caa|cname|mx|ns|ptr|soa|srv|txt|ds|dnskey)",
    "dig_operand": r"(?i)(?![ai]xfr)\+[a-z]+(=\w+)?|@[\w.:-]+|(?!([ai]xfr)(=|$))[\w.:*-]+\.?",
    "date_format": r"\+.*",
    "bsd_letters": r"-?[aAcfglmrSTuvwxXjhL]+o?|\d+(,\d+)*|(?!.*env)[\w%]{2,}[\w=%:]*(,[\w%]{2,}[\w=%:]*)+",
    "process_columns": r"(?!.*env)[\w,=%:.-]+",
    "process_pattern": r"[^\x00]+",
    "sysctl_name": r"(?!.*\.\.)[a-z][\w-]*([./][\w*-]+)*",
    "unit": r"[\w.@:\\*?-]+",
    "unit_property": r"(?!.*(?i:environment|credential))[\w,]+",
    "journal_match": r"_[A-Z_]+=[\w./@:-]+|\+",
    "output_format": r"wide|json|yaml|yml|name|table|text|short[\w-]*|cat|verbose|with-unit|json-\w+|csv|tsv|plain",
    "kube_format": r"(wide|json|yaml|name|(jsonpath|jsonpath-as-json|go-template|custom-columns)=[^\x00]*)",
    "sort_key": r"-?[\w:.,]+",
    "socket_filter": r"[\w(!:.*\[][\w.:/()=<>!,*\[\] -]*",
    "az_query": r"(?!.*(?i:secret|password|connectionstring|primarykey|accesskey|env|settings))[^@\x00-][^\x00]*",
    "terraform_address": r"[\w.\[\]\"-]+",
    "tool_filter": r"[\w|.*:/-]+",
    "raw_state": r"/(readyz|livez|healthz)(/[\w-]+)*(\?verbose)?|/version|/metrics",
    "log_group": r"/?[\w.#/-]+",
    "queue_url": r"https://sqs\.[\w-]+\.amazonaws\.com/\d+/[\w.-]+",
    "lambda_fields": rf"(Functions|Versions)\[[^\]&@]*\](\.{_LAMBDA}|\.\[{_LAMBDA}(, ?{_LAMBDA})*\])|{_LAMBDA}|\[{_LAMBDA}(, ?{_LAMBDA})*\]",
    "gcloud_fields": rf"(value|table|csv|json|yaml|get)\[?[\w,-]*\]?\((?!.*(?i:{_GCLOUD_HIDDEN}))[a-z][\w.,:=() \[\]/-]*\)|table|none",
    "gcloud_setting": r"project|account|(compute|run|container|functions|dataproc)/(zone|region|cluster|location)|core/project",
    "certificate": r"(?!.*(\.\.|//|(?i:key|private|secret)))[\w./@+-]*[\w-]\.(crt|cer|cert|pem|der)",
    "network_end": r"(?!.*(169\W?254|metadata))[\w.-]+:\d+",
    "curl_print": r"(?!.*%(output|\{?stderr))[^@\x00-][^\x00]*",
    "curl_header": r"(?i:accept|accept-encoding|accept-language|user-agent|cache-control): ?[\w.,;/=*+ -]*",
    "curl_parameter": r"\w+=[^\x00]*",
    "curl_method": r"GET|HEAD",
    "null_device": r"/dev/null",
    "db_name": r"[A-Za-z_][\w-]*",
    "redis_key": r"[\w:.{}-]+",
    "redis_setting": r"(?!.*(pass|auth|acl|user|\*))[a-z-]+",
    "device": r"/dev/(sd[a-z]|nvme\d+(n\d+)?|vd[a-z]|xvd[a-z])",
    "dpkg_path": r"[\w./+:-]+",
    "container": r"[\w][\w.:/@-]*",
    "docker_format": r"[^\x00]*",
    "inspect_format": rf"[^{{}}]*({_FIELD}[^{{}}]*|{_RANGE}[^{{}}]*)+",
    "remote_value": r"(?!(?i:file|fileb|https?|s3)://)[^@\x00-][^\x00]*",
    "region": r"[\w-]+",
    "jmespath": r"(?!.*(?i:userdata|user_data|password|secret|environment))[^\x00]+",
    "gcloud_format": r"(?!.*(?i:metadata|env|secret|password|key))[^\x00-][^\x00]*",
    "s3_place": r"s3://[\w./=-]*",
    "tr_set": r"[^\x00]*",
    "signal_list": r"\d*",
    "interface": r"[\w.@-]+",
    "size": r"[+-]?\d+[bcwkKMGT]?",
    "file_type": r"[fdlpsbc](,[fdlpsbc])*",
    "find_operand": r"[()!,]|\./?|/[\w./@+-]*|[\w.@+][\w./@+-]*",
    "bracket": r"[()!,]",
}


def _text(_: str) -> bool:
    return True


def _searched(value: str) -> bool:
    """A pattern to search for, unless it asks for credentials: `api[_-]key` and `[p]assword` are read as meant."""
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


def _resource_or_name(value: str) -> bool:
    """What follows a type is a name, which may be any; with a slash it is a type again."""
    return kubernetes.is_open(value) if "/" in value else bool(_COMPILED["name"].fullmatch(value))


_COMPILED = {name: re.compile(pattern, re.DOTALL) for name, pattern in _PATTERNS.items()}
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
    "inside_hosts": hosts.are_inside,
    "fetched_url": hosts.may_be_fetched,
}
"""Kinds that depend on the hosts that the operator lists."""


def is_known(kind: str) -> bool:
    return kind in _CHECKS or kind in _COMPILED or kind in _HOST_CHECKS


def fits(word: Word, kind: str, listed_hosts: Collection[str] = ()) -> bool:
    """Say whether a word is proven to be a value of this kind."""
    if word.is_pattern:
        return kind in _OF_PATHS and paths.may_be_expanded(word.text)
    if not word.is_static:
        return False
    if kind in _HOST_CHECKS:
        return _HOST_CHECKS[kind](word.text, listed_hosts)
    check = _CHECKS.get(kind)
    return check(word.text) if check else bool(_COMPILED[kind].fullmatch(word.text))
