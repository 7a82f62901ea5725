"""Lines that hold a secret, each with what must not be left of it, made from random values."""

import base64
import json
import random
import string
from collections.abc import Iterator
from pathlib import Path

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

ALNUM = string.ascii_letters + string.digits
URLSAFE = ALNUM + "-_"
HEX = "0123456789abcdef"
UPPER = string.ascii_uppercase + "234567"

Line = tuple[str, str]
"""The line, and the secret in it."""


class Values:
    """Random values of the shapes that keys have."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)  # noqa: S311 - a test's values come again

    def of(self, count: int, chars: str = ALNUM) -> str:
        """Return a value that has letters and digits, as generated ones have."""
        value = "".join(self._random.choices(chars, k=count))
        is_mixed = any(c.isdigit() for c in value) and any(c.isalpha() for c in value)
        return value if is_mixed else self.of(count, chars)

    def uuid(self) -> str:
        return "-".join(self.of(n, HEX) for n in (8, 4, 4, 4, 12))

    def base64(self, count: int) -> str:
        return base64.b64encode(self._random.randbytes(count)).decode()

    def jwt(self) -> str:
        parts = ({"alg": "RS256", "typ": "JWT"}, {"sub": self.of(8), "exp": 1772366400})
        said = [base64.urlsafe_b64encode(json.dumps(p).encode()).decode().rstrip("=") for p in parts]
        return ".".join([*said, self.of(86, URLSAFE)])


def tokens(v: Values) -> Iterator[str]:
    """Yield what is a secret wherever it stands: providers of models, clouds, forges, and others."""
    yield from (
        f"sk-ant-api03-{v.of(93, URLSAFE)}AA",
        f"sk-or-v1-{v.of(64, HEX)}",
        f"sk-proj-{v.of(74, URLSAFE)}",
        f"sk-{v.of(48)}",
        f"sk-svcacct-{v.of(60, URLSAFE)}",
        f"sk-{v.of(32, HEX)}",
        f"AIza{v.of(35, URLSAFE)}",
        f"ya29.{v.of(120, URLSAFE)}",
        f"gsk_{v.of(52)}",
        f"xai-{v.of(80)}",
        f"hf_{v.of(34)}",
        f"GOCSPX-{v.of(28, URLSAFE)}",
        f"ABSK{v.of(128)}",
        f"pplx-{v.of(48)}",
        f"nvapi-{v.of(64, URLSAFE)}",
        f"AKIA{v.of(16, UPPER)}",
        f"ASIA{v.of(16, UPPER)}",
        f"IQoJb3JpZ2luX2Vj{v.of(400)}",
        v.jwt(),
        f"ghp_{v.of(36)}",
        f"gho_{v.of(36)}",
        f"ghs_{v.of(36)}",
        f"github_pat_{v.of(22)}_{v.of(59)}",
        f"glpat-{v.of(20, URLSAFE)}",
        f"gldt-{v.of(20)}",
        f"glrt-{v.of(20)}",
        f"glsa_{v.of(32)}_{v.of(8, HEX)}",
        f"xoxb-{v.of(12, '123456789a')[:11]}-{v.of(24)}",
        f"xoxp-{v.of(50, ALNUM)}",
        f"xapp-1-{v.of(60)}",
        f"https://hooks.slack.com/services/T{v.of(8, UPPER)}/B{v.of(8, UPPER)}/{v.of(24)}",
        f"sk_live_{v.of(24)}",
        f"rk_test_{v.of(24)}",
        f"whsec_{v.of(32)}",
        f"npm_{v.of(36)}",
        f"pypi-AgEIcHlwaS5vcmc{v.of(120, URLSAFE)}",
        f"hvs.{v.of(90, URLSAFE)}",
        f"dop_v1_{v.of(64, HEX)}",
        f"SG.{v.of(22, URLSAFE)}.{v.of(43, URLSAFE)}",
        f"dckr_pat_{v.of(27)}",
        f"{v.of(14)}.atlasv1.{v.of(67)}",
        f"{v.of(3)}8Q~{v.of(34)}",
        f"shpat_{v.of(32, HEX)}",
        f"lin_api_{v.of(40)}",
        f"PMAK-{v.of(24, HEX)}-{v.of(34, HEX)}",
        f"dapi{v.of(32, HEX)}",
        f"sha256~{v.of(43)}",
        f"glc_{v.of(80)}",
        f"ATATT3x{v.of(180)}",
        f"rubygems_{v.of(48, HEX)}",
        f"AGE-SECRET-KEY-1{v.of(58, 'QPZRY9X8GF2TVDW0S3JN54KHCE6MUA7L')}",
        f"tskey-api-{v.of(30)}",
        f"pul-{v.of(40, HEX)}",
        f"812345678:AA{v.of(33, URLSAFE)}",
        f"SWMTKN-1-{v.of(50, HEX)}-{v.of(25, HEX)}",
        f"K10{v.of(64, HEX)}::server:{v.of(32, HEX)}",
        f"$6${v.of(16)}${v.of(86)}",
        f"$2b$12${v.of(53)}",
        f"dt0c01.{v.of(24, UPPER)}.{v.of(64, UPPER)}",
    )


AROUND = (
    "{}",
    'level=error msg="upstream refused" value={} attempt=3',
    '{{"seen": "{}", "n": 1}}',
    "used ({}), then gone",
    "- {}\n- other",
)
"""What stands around a token."""

NAMED = tuple(
    line.encode().decode("unicode_escape")
    for line in (Path(__file__).parent / "named_secrets.txt").read_text().splitlines()
)
"""Names of secrets, and what is written around their values, one a line."""

SCHEMES = (
    *("postgres", "postgresql", "postgresql+psycopg", "mysql", "mysql+pymysql", "mariadb", "mongodb", "mongodb+srv"),
    *("redis", "rediss", "amqp", "amqps", "kafka", "ldap", "ldaps", "ftp", "sftp", "smtp", "smtps", "http", "https"),
    *("mssql", "sqlserver", "clickhouse", "nats", "mqtt", "couchbase", "neo4j+s", "cockroachdb", "ssh", "git+https"),
)


def private_keys() -> Iterator[tuple[str, str]]:
    """Yield a name and a PEM file of each kind that is in use."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    form = serialization.PrivateFormat
    locked = serialization.BestAvailableEncryption(b"a passphrase")
    plain = serialization.NoEncryption()
    for name, one, shape, lock in (
        ("pkcs8", key, form.PKCS8, plain),
        ("rsa", key, form.TraditionalOpenSSL, plain),
        ("encrypted", key, form.TraditionalOpenSSL, locked),
        ("ec", ec.generate_private_key(ec.SECP256R1()), form.TraditionalOpenSSL, plain),
        ("openssh", ed25519.Ed25519PrivateKey.generate(), form.OpenSSH, plain),
    ):
        yield name, one.private_bytes(serialization.Encoding.PEM, shape, lock).decode()


def spellings(pem: str) -> Iterator[str]:
    """Yield how a key file stands in other texts."""
    yield pem
    yield json.dumps({"type": "service_account", "private_key": pem})
    yield json.dumps(json.dumps({"private_key": pem}))
    yield "tls.key: |\n" + "".join(f"    {line}\n" for line in pem.splitlines())
    yield "".join(f"2026-03-01T12:00:00Z {line}\n" for line in pem.splitlines())
    yield "client-key-data: " + base64.b64encode(pem.encode()).decode()


def kubernetes(v: Values) -> Iterator[tuple[str, list[str]]]:
    """Yield Secrets and other files of clusters, each with the secrets in it."""
    a, b = base64.b64encode(v.of(18).encode()).decode(), base64.b64encode(v.of(40).encode()).decode()
    plain = v.of(14)
    yield f"apiVersion: v1\ndata:\n  username: {a}\n  config.yaml: {b}\nkind: Secret\nmetadata:\n  name: x\n", [a, b]
    yield f"apiVersion: v1\nkind: Secret\nstringData:\n  dsn: {plain}\ntype: Opaque\n", [plain]
    yield f"kind: Secret\ndata:\n  file: |-\n    {a}\n    {b}\nmetadata: {{}}\n", [a, b]
    yield json.dumps({"apiVersion": "v1", "data": {"u": a, "p": b}, "kind": "Secret"}), [a, b]
    yield json.dumps({"items": [{"data": {"u": a, "p": b}, "kind": "Secret"}], "kind": "List"}, indent=4), [a, b]
    yield json.dumps(json.dumps({"data": {"u": a}, "kind": "Secret"})), [a]
    auth = base64.b64encode(f"ci:{v.of(20)}".encode()).decode()
    yield json.dumps({"auths": {"registry.example": {"auth": auth}}}), [auth]
    yield json.dumps({"auths": {"registry.example": {"auth": auth}}}, indent=2), [auth]
    yield f".dockerconfigjson: {b}", [b]
    token = v.of(40)
    yield f"users:\n- name: admin\n  user:\n    client-key-data: {b}\n    token: {token}\n", [b, token]
    yield f"env:\n- name: SMTP_PASSWORD\n  value: {plain}\n- name: LOG\n  value: info\n", [plain]
    yield f"Environment:\n      DB_PASSWORD:  {plain}\n      LOG_LEVEL:    info\n", [plain]


TANGLES = (
    *(
        "a",
        "password=",
        "eyJ",
        "eyJa.",
        "-----BEGIN PRIVATE KEY-----",
        "://:",
        "a://b:",
        "Authorization: ",
        "aws secret ",
    ),
    *(
        "cookie: ",
        " --token ",
        "password = '",
        "secret_access",
        " ",
        "bearer ",
        "sk-",
        "secret='",
        "a.",
        "pass\n",
        "aA0",
    ),
    *(
        "kind: Secret\ndata:\n",
        "kind: Secret\n  a: b\n",
        '{"data":{"a":"',
        '"data": {',
        "name: password value: ",
        "\\n",
    ),
    *(
        "<password>",
        "'token', '",
        "token:\n",
        "key key ",
        '\\\\\\"token',
        "AAAA=",
        "====",
        "mysql -p",
        "curl -u a:",
        "$6$",
    ),
    *("machine a login b password ", "identified by '", "1//0", "?sig=", "ghp_", "xoxb-1", "a-", "a_b.", "http://a:b@"),
    *(
        "LS0tLS1CRUdJTi",
        "-----BEGIN RSA PRIVATE KEY-----\nAAAA\n",
        "redis-cli -a",
        "[redacted:named:ab12]",
        "\u0130token=",
    ),
    *(
        "curl ",
        "http://a:",
        "@",
        "'",
        '"',
        "a@b:c//",
        "password=[redacted:",
        "unseal key 1: ",
        "docker login",
        "\ud800",
    ),
    *(
        "MY_KEY=",
        "requirepass ",
        "token is ",
        "mysql -p'",
        "echo a:b | ",
        "login <<<",
        "%3D",
        "&quot;",
        "\x1b[0m",
        'auth("a","',
    ),
    *(
        '"sensitive": true,',
        '"kty""d":"',
        "$ANSIBLE_VAULT;1 aaaaaaaaaa ",
        'variable "db_password" { default = ',
        "a:b@tcp(",
    ),
    *(
        '<add key="password" value=',
        "[password] => ",
        "user a on >",
        "SAMLResponse=",
        "[redacted:named:ab12cd34]password=",
    ),
)
"""Repeated, these are what an expression could take for ever over."""
