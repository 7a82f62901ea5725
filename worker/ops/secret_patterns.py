"""Secrets that are known by their look or by what stands around them, whatever they are called.

Every expression takes time that grows with the text only: bounded repetitions, none inside another, each begun by a
literal or a boundary.
"""

import re

from worker.ops.secret_spans import ANY, Pattern
from worker.ops.secret_values import decode_text, is_said, is_user_and_password, looks_random

_PORT = re.compile(r"\d{1,5}(?:/.*)?")
_LONG_PART = re.compile(r"[a-z0-9]{16}")


def _is_password_in_url(value: str) -> bool:
    return not _PORT.fullmatch(value)


def _is_private_key(encoded: str) -> bool:
    """Say whether base64 begins a PEM file of a private key."""
    return "PRIVATE KEY" in (decode_text(encoded[:64]) or "")


def _is_no_resource(token: str) -> bool:
    """Say whether a token that begins like a key is none of a pod called so."""
    return not token.islower() or _LONG_PART.search(token) is not None


def _pattern(kind: str, expression: str, *hints: str) -> Pattern:
    return Pattern(kind, re.compile(expression, re.MULTILINE), hints)


_TOKENS = (
    _pattern(
        "jwt",
        r"\beyJ[A-Za-z0-9_-]{8,4096}\.[A-Za-z0-9_-]{8,8192}(?:\.[A-Za-z0-9_-]{0,4096}){0,3}",
        "eyj",
    ),
    _pattern("anthropic", r"\bsk-ant-[A-Za-z0-9_-]{8,300}", "sk-ant-"),
    _pattern("openrouter", r"\bsk-or-[A-Za-z0-9_-]{8,300}", "sk-or-"),
    Pattern("openai", re.compile(r"\bsk-[A-Za-z0-9_-]{16,300}"), ("sk-",), _is_no_resource),
    _pattern("google", r"\bAIza[A-Za-z0-9_-]{30,50}", "aiza"),
    _pattern("google", r"\bya29\.[A-Za-z0-9_.-]{20,2000}", "ya29."),
    _pattern("google", r"\bGOCSPX-[A-Za-z0-9_-]{20,60}", "gocspx-"),
    _pattern("google", r"\b1//0[A-Za-z0-9_-]{30,200}", "1//0"),
    _pattern("groq", r"\bgsk_[A-Za-z0-9]{20,200}", "gsk_"),
    _pattern("xai", r"\bxai-[A-Za-z0-9]{20,200}", "xai-"),
    _pattern("huggingface", r"\bhf_[A-Za-z0-9]{20,100}", "hf_"),
    _pattern("github", r"\b(?:gh[pousr]_[A-Za-z0-9]{20,300}|github_pat_[A-Za-z0-9_]{20,300})",
             "ghp_", "gho_", "ghu_", "ghs_", "ghr_", "github_pat_"),
    _pattern("gitlab", r"\bgl(?:pat|dt|rt|cbt|ptt|ft|soat|imt|agent)-[A-Za-z0-9_.-]{16,300}",
             *(f"gl{kind}-" for kind in ("pat", "dt", "rt", "cbt"))),
    _pattern("slack", r"\bxox[abeoprs]-[A-Za-z0-9-]{8,300}|\bxapp-[A-Za-z0-9-]{8,300}", "xox", "xapp-"),
    _pattern("slack", r"\bhooks\.slack\.com/(?:services|workflows)/[A-Za-z0-9/_-]{8,200}", "hooks.slack"),
    _pattern("discord", r"\bdiscord(?:app)?\.com/api/webhooks/(?P<s>\d{15,21}/[\w-]{40,90})", "/webhooks/"),
    _pattern("telegram", r"(?:(?<![\w:])|(?<=/bot))\d{8,10}:AA[\w-]{32,34}(?![\w-])", ":aa"),
    _pattern("stripe", r"\b(?:[rs]k_(?:live|test)_|whsec_)[A-Za-z0-9]{10,200}", "k_live_", "k_test_", "whsec_"),
    _pattern("npm", r"\bnpm_[A-Za-z0-9]{30,100}", "npm_"),
    _pattern("pypi", r"\bpypi-[A-Za-z0-9_-]{30,500}", "pypi-"),
    _pattern("vault", r"\bhv[sbr]\.[A-Za-z0-9_-]{20,300}", "hv"),
    _pattern("terraform", r"\b[A-Za-z0-9]{14}\.atlasv1\.[A-Za-z0-9_-]{60,70}", ".atlasv1."),
    _pattern("sendgrid", r"\bSG\.[A-Za-z0-9_-]{16,64}\.[A-Za-z0-9_-]{16,128}", "sg."),
    _pattern("aws", r"\b(?:AKIA|ASIA|ABIA|ACCA)[A-Z0-9]{16}\b", "akia", "asia", "abia", "acca"),
    _pattern("aws", r"\b(?:FwoG|FQoG|IQoJ)[A-Za-z0-9/+=]{80,3000}", "fwog", "fqog", "iqoj"),
    _pattern("aws", r"\bABSK[A-Za-z0-9+/]{20,300}={0,2}", "absk"),
    _pattern("databricks", r"\bdapi[0-9a-f]{32}(?:-\d)?", "dapi"),
    _pattern("azure", r"(?<![\w~.-])[A-Za-z0-9_~.-]{3}\dQ~[A-Za-z0-9_~.-]{31,34}(?![\w~.-])", "q~"),
    _pattern("k3s", r"\bK10[0-9a-f]{64}::[a-z:]{0,40}[0-9a-zA-Z.]{16,80}", "k10"),
    _pattern("hash", r"\$(?:1|apr1|2[abxy]?|5|6|y|7|argon2(?:id?|d)|scrypt)\$[./A-Za-z0-9=,$+-]{20,300}", "$"),
    _pattern(
        "hash",
        r"\b(?:pbkdf2_sha\d{1,3}\$\d{1,8}\$[\w+/=]{4,64}|SCRAM-SHA-\d{1,3}\$\d{1,8}:[\w+/=]{4,64})"
        r"\$[\w+/=:]{20,200}",
        "$",
    ),
    Pattern(
        "pem",
        re.compile(r"\bLS0tLS1CRUdJTi[A-Za-z0-9+/=]{20,32000}"),
        ("ls0tls1crudjti",),
        _is_private_key,
    ),
)  # fmt: skip

_PLACES = (
    Pattern(
        ANY,
        re.compile(r"\b[a-zA-Z][a-zA-Z0-9+.-]{0,30}://[^\s:/@\"'<>]{0,200}:(?P<s>[^\s\"'<>]{1,500})(?=@[\w.\[%*$-])"),
        ("://",),
        _is_password_in_url,
    ),
    _pattern(ANY, r"\bjdbc:oracle:thin:[^\s/:@]{1,100}/(?P<s>[^\s@]{1,200})(?=@)", "jdbc:oracle"),
    _pattern(ANY, r"\b(?:https?|git)://(?P<s>[A-Za-z0-9_-]{20,300})(?=(?::x-oauth-basic)?@)", "://"),
    _pattern(ANY, r"(?:[?&]|[ ,](?=Signature=))(?i:sig|signature|x-(?:amz|goog)-(?:signature|security-token))="
             r"(?P<s>[\w%+/=.-]{16,4096})",
             "sig=", "signature=", "security-token="),
    Pattern(
        ANY,
        re.compile(r"(?i:\b(?:proxy-)?authorization\\{0,15}[\"']?\s{0,3}[:=]\s{0,3}\\{0,15}[\"']?(?:(?:basic|bearer|token|digest|apikey|"
        r"negotiate|ntlm|splunk|genie[kK]ey|bot|aws4-hmac-sha256)\s{1,3}))(?P<s>[^\s\"',;<>\\]{4,8192})"),
        ("authorization",),
        is_said,
    ),
    Pattern(
        ANY,
        re.compile(r"(?i:\b(?:proxy-)?authorization\\{0,15}[\"']?\s{0,3}[:=]\s{0,3}\\{0,15}[\"']?)(?P<s>[^\s\"',;<>\\]{8,8192})"),
        ("authorization",),
        looks_random,
    ),
    Pattern(ANY, re.compile(r"(?i:\bbearer\s{1,3})(?P<s>[A-Za-z0-9._~+/=-]{8,8192})"), ("bearer",), looks_random),
    Pattern(
        ANY,
        re.compile(r"(?i:\bbasic\s{1,3})(?P<s>[A-Za-z0-9+/]{6,2000}={0,2})"),
        ("basic",),
        is_user_and_password,
    ),
    _pattern(
        ANY,
        r"(?i:\b(?:set-)?cookie\\{0,15}[\"']?\s{0,3}[:=]\s{0,3}\\{0,15}[\"']?)(?P<s>[^\s=;\"']{1,100}=[^\r\n\"']{4,4096})",
        "cookie",
    ),
    _pattern(ANY, r"(?i:\bpassword\s{1,5})'(?P<s>[^'\n]{4,200})'", "password"),
    _pattern(
        ANY,
        r"(?i:\bmachine\s{1,5}\S{1,200}\s{1,5}login\s{1,5}\S{1,200}\s{1,5}password\s{1,5})(?P<s>\S{1,300})",
        "machine",
    ),
    _pattern(ANY, r"^(?:[\w.*-]{1,200}):(?:\d{4,5}|\*):[\w*-]{1,64}:[\w*.-]{1,64}:(?P<s>[^\s:]{4,200})(?=[ \t]*$)",
             ":*:", "432:", "433:"),
    _pattern(
        ANY,
        r"\b(?:AKIA|ASIA)[A-Z0-9]{16}\\{0,15}[\"']?[\s,:|]{1,4}[\\\"']{0,9}(?P<s>[A-Za-z0-9/+]{40})(?![A-Za-z0-9/+=])",
        "akia",
        "asia",
    ),
    _pattern(
        ANY,
        r"(?i:aws.{0,20}secret.{0,20}?[\"'=:\s])(?<![A-Za-z0-9/+])(?P<s>[A-Za-z0-9/+]{40})(?![A-Za-z0-9/+=])",
        "aws",
    ),
    _pattern(ANY, r"(?i:\bunseal\s{1,3}key\s{1,3}\d{1,2}\s{0,3}:\s{1,3})(?P<s>\S{16,200})", "unseal"),
)  # fmt: skip

PATTERNS = (*_TOKENS, *_PLACES)
