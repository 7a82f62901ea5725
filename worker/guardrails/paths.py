"""Which files hold secrets, and which are known to hold none worth keeping."""

import re

_SECRET_PARTS = re.compile(
    r"""
    (^|/)\.(ssh|aws|azure|gnupg|kube|docker|config/gcloud|vault-token|netrc|pgpass|my\.cnf|npmrc|pypirc|git-credentials
        |env(\.[\w.-]+)?|htpasswd|boto|s3cfg|mozilla|password-store|terraform\.d|(\w*_)?history|rediscli_history)(/|$)
    |(^|/)\.config(/|$)
    |(^|/)(g?shadow|sudoers|opasswd|master\.passwd|security/passwd|krb5\.keytab|passwd)[-~.\w]*(/|$)
    |(^|/)id_(rsa|dsa|ecdsa|ed25519)|(^|/)ssh_host_|authorized_keys|(^|/)authinfo
    |secret|credential|passw|private|token|keystore|keychain|wallet|kubeconfig|_history$|api[._-]?key
    |serviceaccount|service[._-]account
    |\.(pem|key|p12|pfx|jks|kdbx?|keytab|ppk|asc|gpg|ovpn|tfstate|tfvars|env|cred|ldif)([.\-~\w]*)$
    |^/proc/[^/]+/(environ|mem|maps|fd|fdinfo|root|cwd|exe|auxv|stack|pagemap|map_files|task|cmdline)(/|$)
    |^/proc/(kcore|kmem|keys|key-users|kallsyms|sysrq-trigger|config\.gz)
    |^/dev/(?!null$)|^/etc/(ssl/private|kubernetes|pki|ssh|letsencrypt|rancher|openvpn|wireguard|ppp)(/|$)
    |^/(var/)?run/(secrets|containerd|docker\.sock|credentials)
    |^/var/lib/(kubelet|docker|containerd|etcd|rancher|postgresql|mysql|redis|vault|jenkins|cloud|sss|samba|NetworkManager)
    |^/var/(backups|spool|mail|db|tmp)(/|$)
    |^/var/log/(auth|secure|audit|btmp|wtmp|lastlog|faillog|tallylog|sudo|cloud-init|installer|anaconda|private)
    |fastopen_key
    |^/(tmp|boot|root|lost\+found)(/|$)
    """,
    re.IGNORECASE | re.VERBOSE,
)
"""Names of files and folders whose content, or whose very listing, is looked for by those who steal."""

_OPEN_CONTENT = re.compile(
    r"""
    /var/log/[\w.@%+=:,/~\ -]+
    |/(opt|srv|app|data|home|usr/local|var/lib|var/opt|mnt|logs?)(/[\w.@+-]+)+\.(log|out|err)(\.\d+|-\d+)?(\.gz|\.\d+)?
    |/proc/(\d+|self)/(status|stat|statm|limits|io|sched|schedstat|cgroup|oom_score|oom_score_adj|wchan|net/.+|comm)
    |/proc/(meminfo|cpuinfo|loadavg|uptime|stat|vmstat|version|mounts|partitions|diskstats|interrupts|softirqs|slabinfo
        |buddyinfo|zoneinfo|filesystems|swaps|devices|cgroups|mdstat|net/[\w./]+|pressure/\w+|self/mounts
        |sys/(fs|kernel|vm|net/(core|ipv4|ipv6|netfilter|unix))/[\w./-]+)
    |/sys/(class/(net|block|bdi|thermal|hwmon|power_supply|dmi|fc_host|infiniband)|block|fs/cgroup|kernel/mm|module
        |devices/system/(cpu|node|memory|edac)|devices/(virtual|pci)[\w:.]*/([\w:.-]+/)*(net|block|thermal|bdi|dmi))(/.*)?
    |/etc/(hosts|hostname|resolv\.conf|os-release|lsb-release|timezone|localtime|services|protocols|nsswitch\.conf
        |host\.conf|gai\.conf|sysctl\.conf|sysctl\.d/[\w.-]+|security/limits\.conf|security/limits\.d/[\w.-]+|debian_version
        |redhat-release|alpine-release|issue|motd|machine-id|chrony\.conf|chrony/chrony\.conf|ntp\.conf|logrotate\.conf
        |logrotate\.d/[\w.-]+|systemd/\w+\.conf|rsyslog\.conf|hosts\.allow|hosts\.deny|mtab)
    """,
    re.VERBOSE,
)
"""Absolute paths whose content is for an investigation to read; a path that is not here is not proven."""

_OPEN_LISTING = re.compile(
    r"/proc/\d+/fd/?|/(var/)?tmp/?|/boot/?|/var/lib/(docker|containerd|kubelet|etcd|postgresql|mysql|redis|rabbitmq)/?"
)
"""Folders whose names and sizes are asked for every day, though what is in them is not for reading."""

_RELATIVE_NAME = re.compile(r"[\w.,:@%=/ *?\[\]{}-]+")
_GLOB = re.compile(r"[*?\[\]!^]")
_PATTERN_ROOTS = ("/var/log/", "/sys/class/", "/sys/fs/cgroup/")


def may_be_listed(path: str) -> bool:
    """Say whether the names, sizes and owners below a path are proven to be no secret."""
    if _OPEN_LISTING.fullmatch(path):
        return True
    return not _climbs(path) and not path.startswith("~") and not _SECRET_PARTS.search(path)


def may_be_read(path: str) -> bool:
    """Say whether the content of a path is proven to be no secret. Relative: the working directory is empty."""
    if not may_be_listed(path):
        return False
    return bool((_OPEN_CONTENT if path.startswith("/") else _RELATIVE_NAME).fullmatch(path))


def may_be_expanded(pattern: str) -> bool:
    """Say whether whatever an absolute pattern matches may be read; the matches are checked again one by one."""
    one_match = _GLOB.sub("x", pattern)
    return pattern.startswith(_PATTERN_ROOTS) and may_be_read(one_match) and may_be_listed(pattern)


def looks_secret(text: str) -> bool:
    """Say whether a file name, or a pattern for one, is what those who steal look for."""
    return bool(_SECRET_PARTS.search(text.replace("*", "").replace("?", "")) or _SECRET_PARTS.search(text))


def _climbs(path: str) -> bool:
    """`..` is not followed: through a link it leads elsewhere than it reads. Nor are other roundabout spellings."""
    segments = path.split("/")
    return ".." in segments or "//" in path or (path.startswith("/") and "." in segments)
