"""Tokens that say by their beginning what they are, and that the kept catalogue lacks or takes for shorter ones."""

import re

from worker.ops.secret_spans import Pattern
from worker.ops.secret_values import looks_random


def _token(kind: str, expression: str, *beginnings: str) -> Pattern:
    return Pattern(kind, re.compile(rf"{expression}(?![\w-])"), beginnings, looks_random)


TOKENS = (
    _token("google", r"AQ\.Ab[\w-]{30,100}", "aq.ab"),
    _token("google", r"GOOG1[A-Z0-9]{20,60}", "goog1"),
    _token("google", r"4/0A[\w-]{40,200}", "4/0a"),
    _token("fireworks", r"fw_[A-Za-z0-9]{22,24}", "fw_"),
    _token("tavily", r"tvly-(?:[a-z]{2,5}-)?[A-Za-z0-9_-]{20,60}", "tvly-"),
    _token("elevenlabs", r"sk_[0-9a-f]{48}", "sk_"),
    _token("alibaba", r"LTAI[A-Za-z0-9]{12,24}", "ltai"),
    _token("yandex", r"t1\.[\w-]{40,400}={0,2}\.[\w-]{80,100}={0,2}", "t1."),
    _token("mailgun", r"key-[0-9a-f]{32}", "key-"),
    _token("sentry", r"sntrys_eyJ[\w+/=-]{60,500}", "sntrys_"),
    _token("newrelic", r"NR(?:AK|II|IQ|RA|SP)-[A-Za-z0-9_-]{24,40}", "nrak-", "nrii-", "nriq-", "nrra-", "nrsp-"),
    _token("newrelic", r"NRJS-[0-9a-f]{19}", "nrjs-"),
    _token("notion", r"ntn_[A-Za-z0-9]{40,60}", "ntn_"),
    _token("bitbucket", r"ATBB[A-Za-z0-9]{24,40}", "atbb"),
    _token("doppler", r"dp\.(?:st|ct|pt|sa|scim|audit|said)\.(?:[a-z0-9_-]{2,35}\.)?[A-Za-z0-9]{40,44}", "dp."),
    _token("fly", r"fm[12][a-z]?_[A-Za-z0-9+/]{60,8000}={0,2}", "fm1", "fm2"),
    _token("1password", r"ops_eyJ[\w+/-]{60,4096}={0,2}", "ops_eyj"),
    _token("snyk", r"snyk_[a-z]{2,4}\.[\w.-]{20,200}", "snyk_"),
    _token("sonar", r"sq[pua]_[0-9a-f]{40}", "sqp_", "squ_", "sqa_"),
    _token("tailscale", r"tskey-[a-z]{2,12}-[A-Za-z0-9-]{16,120}", "tskey-"),
    _token("airtable", r"pat[A-Za-z0-9]{14}\.[0-9a-f]{64}", "pat"),
    _token("contentful", r"CFPAT-[\w-]{40,60}", "cfpat-"),
    _token("gitea", r"gta_[a-z0-9]{40}", "gta_"),
    _token("honeycomb", r"hca[ilm]k_[a-z0-9]{56,60}", "hcaik_", "hcalk_", "hcamk_"),
    _token("jenkins", r"AQAAABAAAA[A-Za-z0-9+/]{20,2000}={0,2}", "aqaaabaaaa"),
)
