"""A corpus of published attack commands: none is allowed by rules but the looks at the system listed here."""

import json
import os
from pathlib import Path

import pytest

from worker.guardrails.pipeline import decide
from worker.guardrails.policy import Policy

CORPUS = Path(os.environ.get("RCA_CORPORA_DIR", "/nonexistent")) / "attacks-dev.jsonl"
HARMLESS = {
    "T1018:158bd4dd": "`ip neighbour show` prints the kernel's neighbour table and asks nobody",
    "T1018:1a4ebe70": "`ip route show` prints the kernel's routes",
    "T1059.004:3a53734a": "`uname -srm` prints the kernel's name and release",
    "T1083:361fe49d": "`findmnt -t nfs` prints the mount table, which holds no credential of NFS",
    "T1124:f449c933": "`date` prints the time",
    "T1518.001:ba62ce11": "`ps aux` prints command lines; what one may hold of a secret is redacted from all output",
    "T1518.001:23b91cd2": "`ps aux` again",
    "T1518.001:fa96c21c": "`pgrep -l` prints names of processes, no arguments",
    "T1652:d57dfc9e": "`lsmod` prints the names of loaded modules",
}
"""What is allowed by its id in the corpus, and why: it reads what the kernel says of itself, no secret, no more."""


@pytest.mark.skipif(not CORPUS.exists(), reason="RCA_CORPORA_DIR names no folder with attacks-dev.jsonl")
def test_attacks_are_not_allowed_by_rules_but_what_is_listed_as_harmless() -> None:
    attacks = {case["id"]: case["command"] for case in map(json.loads, CORPUS.read_text().splitlines())}

    allowed = {i for i, command in attacks.items() if decide(command, policy=Policy()).is_allowed}

    assert allowed == set(HARMLESS)
    assert len(allowed) <= 15
    assert len(attacks) == 187
