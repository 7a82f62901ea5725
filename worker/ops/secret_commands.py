"""Passwords in command lines, as histories, process lists and audit logs show them."""

import re
from collections.abc import Iterator

from worker.ops.secret_spans import ANY, Pattern, Span
from worker.ops.secret_values import is_generated, is_said

_SPACE = r"[\s\"',]"
_REST = r"[^\n;|]{0,300}?"
_VALUE = r"[\"']?(?!-)(?P<s>[^\s\"']{4,300})"


def _option(programs: str, option: str, hint: str) -> Pattern:
    """Return what finds the value after an option of some programs, also where the arguments are a list."""
    expression = rf"\b(?:{programs})(?={_SPACE}){_REST}{_SPACE}{option}{_VALUE}"
    return Pattern(ANY, re.compile(expression, re.MULTILINE), (hint,), is_said)


def _line(expression: str, *hints: str) -> Pattern:
    return Pattern(ANY, re.compile(expression, re.MULTILINE), hints, is_said)


_AN_OPTION = re.compile(r" -[a-z-]")
_APART = rf"{_SPACE}{{1,5}}"
_LOGIN = r"(?:docker|podman|nerdctl|buildah|skopeo|helm\sregistry|az|oras)\slogin"
_MONGO = r"mongo(?:sh|dump|restore|export|import)?"

_WITH_OPTIONS = (
    _option(r"mysql(?:dump|admin|import|check|show)?|mariadb(?:-\w{1,10})?|7za?|7zz", r"-p", "-p"),
    _option(rf"{_LOGIN}|{_MONGO}|rabbitmqadmin|cqlsh|twine|evil-winrm", rf"-p{_APART}", "-p"),
    _option(r"sqlcmd|bcp|ipmitool|zip|unzip|mosquitto_(?:pub|sub)", rf"-P{_APART}", "-p"),
    _option(r"useradd|usermod", rf"(?:-p|--password){_APART}", "-p"),
    _option(r"ldap(?:search|modify|add|delete|whoami|passwd|compare)", rf"-w{_APART}", "-w"),
    _option(r"redis-cli", rf"-a{_APART}", "redis-cli"),
    _option(r"sshpass", r"-p\s{0,5}", "sshpass"),
    _option(r"snmp\w{1,12}", rf"-[cAX]{_APART}", "snmp"),
    _option(r"openssl\senc", rf"-k{_APART}", "openssl"),
    _option(r"curl", r"(?:-u|--(?:proxy-)?user)[\s=]{0,5}[\"']?[^\s:\"'/]{1,100}:", "curl"),
    _option(r"curl", r"(?:-b|--cookie)[\s=]{1,5}[\"']?[^\s=\"']{1,100}=", "curl"),
    _option(r"https?", rf"-a{_APART}[^\s:\"'/]{{1,100}}:", " -a"),
    _option(r"etcdctl", r"--user[\s=]{1,5}[^\s:\"']{1,100}:", "--user"),
    _option(r"skopeo|crictl|podman|buildah", r"--(?:(?:src|dest)-)?creds[\s=]{1,5}[^\s:\"']{1,100}:", "creds"),
    _option(r"smbclient|rpcclient", r"-U\s{0,5}[^\s%\"']{1,100}%", " -u"),
    _line(r"\bhtpasswd\s{1,3}-\w{0,6}b\w{0,6}\s{1,3}(?:\S{1,200}\s{1,3}){1,2}" + _VALUE + r"(?=[ \t]*$)", "htpasswd"),
    _line(r"\bsecret\s[^\n]{0,300}?--from-literal[\s=][\"']?[\w.-]{1,100}=" + _VALUE, "--from-literal"),
    Pattern(ANY, re.compile(r"--from-literal[\s=][\"']?[\w.-]{1,100}=" + _VALUE), ("--from-literal",), is_generated),
    _line(
        r"\b(?:echo|printf)\s(?:-\w\s)?[\"']?(?:[\w.-]{1,64}:)?(?P<s>[^\s\"'|]{4,300})[\"']?\s{0,5}\|\s{0,3}"
        r"(?:sudo\s-S|[^\n|]{1,200}stdin)",
        *("sudo -s", "stdin"),
    ),
    _line(r"(?:^|\s)-pass(?:in|out)?\s{1,5}pass:(?P<s>[^\s'\"]{1,200})", "pass:"),
)
_WITHOUT = (
    _line(r"\brabbitmqctl\s(?:add_user|change_password)\s\S{1,100}\s" + _VALUE, "rabbitmqctl"),
    _line(r"\bvault\slogin\s(?:token=)?(?!-)" + _VALUE + r"(?=[ \t]*$)", "vault login"),
    _line(r"\bmc\salias\sset\s\S{1,100}\s\S{1,200}\s\S{1,100}\s" + _VALUE, "mc alias"),
    _line(
        r"\b(?:sqlplus|impdp|expdp|rman|sqlldr)\s[^\n;|@/]{0,100}?\b\w{1,64}/(?P<s>[^\s@/\"']{4,100})(?=[@\s\"']|$)",
        "sqlplus",
    ),
    _line(r"\b(?:login|kinit|passwd|su|sudo|token)\b[^\n|]{0,200}<<<\s{0,3}" + _VALUE, "<<<"),
    _line(r"\becho\s[\"']?[\w.-]{1,64}:(?P<s>[^\s\"'|]{4,300})[\"']?\s{0,5}\|\s{0,3}(?:sudo\s)?chpasswd", "chpasswd"),
)


def find_in_commands(text: str, lower: str) -> Iterator[Span]:
    """Yield the passwords; options are looked for only in a text that has some."""
    has_options = _AN_OPTION.search(lower) or '"-p' in lower
    for pattern in (*_WITHOUT, *(_WITH_OPTIONS if has_options else ())):
        yield from pattern.find(text, lower)
