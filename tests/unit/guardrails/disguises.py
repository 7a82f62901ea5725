"""Constructs of the shell around a command that is not allowed: every one of them hides it, none may free it."""

import json
import shlex
from collections.abc import Callable

from worker.guardrails.source import MAX_BYTES

FORBIDDEN = (
    "rm -rf /srv",
    "cat /etc/shadow",
    "kubectl delete pod x",
    "touch /tmp/x",
    "frobnicate now",
    "git push",
    "env",
    "curl http://evil.example/x",
    "psql -c 'drop table x'",
)


def _braced(command: str) -> str:
    return f"{{{command.replace(' ', ',')}}}"


def _ansi(command: str) -> str:
    program, _, rest = command.partition(" ")
    return "$'" + "".join(f"\\x{ord(c):02x}" for c in program) + f"' {rest}"


def _look_alike(command: str) -> str:
    return command.translate(str.maketrans("aecop", "аесор"))


WRAPPERS: tuple[Callable[[str], str], ...] = (
    # lists, pipes, background
    lambda c: f"{c} &",
    lambda c: f"ls & {c}",
    lambda c: f"ls\n{c}",
    lambda c: f"ls\n\\{c}",
    lambda c: f"ls\n\\\n{c}",
    lambda c: f"ls # x\\\n{c}",
    lambda c: f"ls; {c}",
    lambda c: f"ls;{c}",
    lambda c: f"ls && {c}",
    lambda c: f"ls&&{c}",
    lambda c: f"false || {c}",
    lambda c: f"ls | {c}",
    lambda c: f"ls|{c}",
    lambda c: f"ls |& {c}",
    lambda c: f"ls |\n{c}",
    lambda c: f"{c}; ls",
    lambda c: f"{c} | ls",
    lambda c: f"! {c}",
    lambda c: f"time {c}",
    # substitutions and expansions
    lambda c: f'echo "$({c})"',
    lambda c: f"echo $({c})",
    lambda c: f"echo `{c}`",
    lambda c: f'echo "`{c}`"',
    lambda c: f"ls -la $({c})",
    lambda c: f"grep x <({c})",
    lambda c: f"ls >({c})",
    lambda c: f"echo $(( $({c}) ))",
    lambda c: f"echo $[ $({c}) ]",
    lambda c: f"(( x[$({c})] ))",
    lambda c: f"echo ${{A:-$({c})}}",
    lambda c: f"echo ${{A[$({c})]}}",
    lambda c: f"A=($({c})); ls",
    lambda c: f"A=$({c}) ls",
    lambda c: f"[[ -n $({c}) ]]",
    lambda c: f"[[ -v A[$({c})] ]]",
    lambda c: f"test -n $({c})",
    lambda c: f"let A=$({c})",
    _braced,
    lambda c: f"{{ls,-la}} ; {c}",
    lambda c: f"!! ; {c}",
    lambda c: f"!ls {c}",
    # compound commands, functions
    lambda c: f"({c})",
    lambda c: f"( ls; {c} )",
    lambda c: f"{{ {c}; }}",
    lambda c: f"f() {{ {c}; }}; f",
    lambda c: f"function f {{ {c}; }}; f",
    lambda c: f"ls() {{ {c}; }}; ls",
    lambda c: f"if true; then {c}; fi",
    lambda c: f"if {c}; then ls; fi",
    lambda c: f"for i in a; do {c}; done",
    lambda c: f"for ((;;)); do {c}; done",
    lambda c: f"while {c}; do ls; done",
    lambda c: f"until {c}; do ls; done",
    lambda c: f"case a in a) {c};; esac",
    lambda c: f"select x in a; do {c}; done",
    lambda c: f"coproc {c}",
    lambda c: f"coproc X {{ {c}; }}",
    lambda c: f"trap {shlex.quote(c)} EXIT",
    lambda c: f"alias ls={shlex.quote(c)}; ls",
    lambda c: f"eval {shlex.quote(c)}",
    lambda c: f"PROMPT_COMMAND={shlex.quote(c)} ls",
    lambda c: f"BASH_ENV=/tmp/x bash -c {shlex.quote(c)}",
    # shells and interpreters
    lambda c: f"sh -c {shlex.quote(c)}",
    lambda c: f"/bin/bash -c {shlex.quote(c)}",
    lambda c: f"bash <<< {shlex.quote(c)}",
    lambda c: f"bash <<X\n{c}\nX",
    lambda c: f"cat <<X | sh\n{c}\nX",
    lambda c: f"cat <<X\n$({c})\nX",
    lambda c: f"cat <<'X' | bash\n{c}\nX",
    lambda c: f"cat <<-X\n\t$({c})\n\tX",
    lambda c: f"echo {shlex.quote(c)} | sh",
    lambda c: f"printf '%s' {shlex.quote(c)} | bash",
    lambda c: f"awk {shlex.quote('BEGIN{system(' + json.dumps(c) + ')}')}",
    lambda c: f"sed {shlex.quote('1e ' + c)} /var/log/a.log",
    lambda c: f"find /var/log -exec {c} \\;",
    lambda c: f"python3 -c {shlex.quote(c)}",
    # programs that run programs
    *(
        (lambda c, prefix=prefix: f"{prefix} {c}")
        for prefix in (
            "env -i A=1",
            "A=1 B=2",
            "timeout 5",
            "nice -n 5",
            "ionice -c3",
            "nohup",
            "setsid",
            "stdbuf -o0",
            "sudo -u x",
            "command",
            "builtin",
            "exec",
            "xargs",
            "parallel",
            "busybox",
            "watch -n1",
            "strace -f",
            "flock /opt/x",
            "chrt 1",
            "taskset 1",
            "unshare",
            "script -c",
            "ssh localhost",
            "doas",
        )
    ),
    lambda c: f"echo x | xargs -I@ {c}",
    # spelling
    lambda c: f"{c} 2>&1",
    lambda c: f"{c} > /dev/null",
    lambda c: f"2>/dev/null {c}",
    lambda c: f"> /opt/x {c}",
    lambda c: f"\\{c}",
    lambda c: f"{c[0]}''{c[1:]}",
    lambda c: f'"{c[0]}"{c[1:]}',
    lambda c: f"{c[0]}\\\n{c[1:]}",
    lambda c: f"{c[0]}$@{c[1:]}",
    lambda c: f"{c[0]}$(){c[1:]}",
    lambda c: f"{c[0]}${{x}}{c[1:]}",
    lambda c: f"$'\\{ord(c[0]):03o}'{c[1:]}",
    _ansi,
    _look_alike,
    lambda c: c.replace(" ", "${IFS}"),
    lambda c: c.replace(" ", "$IFS"),
    lambda c: c.replace(" ", "\t"),
    lambda c: c.replace(" ", " \\\n "),
    lambda c: c.replace(" ", "\u00a0"),
    lambda c: f"{c}\r",
    lambda c: f"ls\r{c}",
    lambda c: f"ls\0{c}",
    lambda c: f"ls\u2028{c}",
    lambda c: f"ls\u200b; {c}",
    lambda c: f"/usr/bin/{c}",
    lambda c: f"/usr/../bin/{c}",
    lambda c: f"//bin/{c}",
    lambda c: f"./{c}",
    lambda c: f"~/{c}",
    lambda c: f"$X{c}",
    lambda c: f"ls$X; {c}",
    lambda c: f"{c} # kubectl get pods",
    lambda c: f"# x\n{c}",
    lambda c: f": ; {c}",
)

TANGLES = (
    *("a|", "$(", "(", "a;", "{ ", "a ", '"', "<", "[[", "$", "a=(", "if ", "((a", "a&&", "case x in "),
    *("!", "a>b", "'a'", "{a,", "f()", "`", "<<a ", "<<X\n", "\\\n", "${", "[", "*", "~", "\n", "\\"),
)
"""Repeated up to the longest command that is read, these are what a grammar could take for ever over."""

TRAPS = (
    ("ps -p 1234", " -o pips,pippid", " e"),
    ("ps -u ", "a,", "e"),
    ("ps aux ", "--sort=-rss ", "!"),
    ("ps -ef ", "--forest ", "-x"),
    ("ps ", "1,2,3,", "e"),
    ("sed '", " ", "x' /var/log/syslog"),
    ("sed -n '1p", ";1p", "e' /var/log/syslog"),
    ("sed 's/", "[a]", "/e' /var/log/syslog"),
    ("sed 's/", "[]a]", "x' /var/log/syslog"),
    ("sed '/", "[^][:a:]]", "x' /var/log/syslog"),
    ("awk '{ ", "(", "print > f }' /var/log/syslog"),
    ("echo '", "curl ", "' | sh"),
    ("curl x | ", "a/", " sh ; rm -rf /srv"),
    ("echo '", "base64 -d ", "' | rm"),
    ("docker", " run", " --privileged x"),
    ("docker inspect --format '", "{{.State}}", "{{.Config.Env}}' web"),
    ("cat ", "/.keytab", ""),
    ("cat ", "ssh_host_", ""),
    ("sysctl ", "net.", "."),
    ("gcloud compute instances list --format='value(", "name.basename(),", "metadata)'"),
)
"""What begins, is repeated and ends a command that the table's own expressions could take for ever over."""


def sprung(head: str, piece: str, tail: str, *, size: int = MAX_BYTES) -> str:
    """Return a trap of the longest command that is read; of 500 characters, the little languages are read too."""
    room = size - len(head) - len(tail)
    return head + piece * (room // len(piece)) + tail
