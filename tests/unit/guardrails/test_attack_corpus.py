"""A corpus of published attack commands: none is allowed by rules but the looks at the system listed here."""

import json
import os
from pathlib import Path

import pytest

from worker.guardrails.pipeline import DecisionVerdict, decide
from worker.guardrails.policy import Policy

CORPUS = Path(os.environ.get("RCA_CORPORA_DIR", "/nonexistent")) / "attacks-dev.jsonl"
HARMLESS = {
    "ip neighbour show": "prints the kernel's neighbour table",
    "ip route show": "prints the kernel's routes",
    "netstat -r | grep default": "prints the kernel's routes",
    "uname -srm": "prints the kernel's name and release",
    "findmnt -t nfs": "prints the mount table",
    "date": "prints the time",
}
PROCESS_LISTS = ("ps aux | egrep ", "pgrep -l ")
"""Names of running processes; what a command line may hold of a secret is redacted from all output."""


@pytest.mark.skipif(not CORPUS.exists(), reason="RCA_CORPORA_DIR names no folder with attacks-dev.jsonl")
def test_attacks_are_not_allowed_by_rules() -> None:
    commands = [json.loads(line)["command"] for line in CORPUS.read_text().splitlines()]

    allowed = [c for c in commands if decide(c, policy=Policy()).verdict is DecisionVerdict.ALLOW]

    unlisted = [c for c in allowed if c.strip() not in HARMLESS and not c.startswith(PROCESS_LISTS)]
    assert unlisted == []
    assert len(allowed) <= 15
