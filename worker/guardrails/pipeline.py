"""The order of the guardrail's layers; the first final decision stands, and what none decides goes to the judge."""

from collections.abc import Callable

from worker.errors import ToolDeniedError
from worker.guardrails import rules
from worker.guardrails.decision import CommandCall, Decision, DecisionVerdict
from worker.guardrails.policy import Policy
from worker.guardrails.rules import UnprovenError
from worker.guardrails.shell import Simple
from worker.guardrails.signatures import find_harm
from worker.guardrails.table import CommandClass, builtin_table

__all__ = ["LAYERS", "CommandCall", "Decision", "DecisionVerdict", "decide"]

Layer = Callable[[CommandCall, Policy], Decision]


def parse_shell(call: CommandCall, _: Policy) -> Decision:
    """Deny what is no command that can be read."""
    try:
        script = call.script
    except ToolDeniedError as error:
        return Decision(DecisionVerdict.DENY, "parse", str(error))
    return Decision(DecisionVerdict.UNDECIDED, "parse", script.unknowns[0] if script.unknowns else "read")


def deny_signatures(call: CommandCall, _: Policy) -> Decision:
    """Deny known harm, with its ATT&CK id."""
    match = find_harm(call.script)
    return Decision(
        DecisionVerdict.DENY if match else DecisionVerdict.UNDECIDED, "signatures", match.reason if match else "none"
    )


def operator_deny(call: CommandCall, policy: Policy) -> Decision:
    """Deny what the operator denies; a policy that cannot be read denies everything."""
    if policy.fault:
        return Decision(DecisionVerdict.DENY, "operator_deny", policy.fault)
    pattern = policy.denies(call.script)
    if pattern:
        return Decision(DecisionVerdict.DENY, "operator_deny", f"the operator denies {pattern!r}")
    return Decision(DecisionVerdict.UNDECIDED, "operator_deny", "not denied")


def prove_read_only(call: CommandCall, _: Policy) -> Decision:
    """Allow what the table of programs proves to change nothing and to show no secret."""
    try:
        command_class = rules.class_of_script(call.script, builtin_table())
    except UnprovenError as error:
        return Decision(DecisionVerdict.UNDECIDED, "rules", str(error))
    if command_class is CommandClass.READ:
        return Decision(DecisionVerdict.ALLOW, "rules", "read-only by the table of programs")
    return Decision(DecisionVerdict.UNDECIDED, "rules", f"class {command_class} by the table of programs")


def operator_allow(call: CommandCall, policy: Policy) -> Decision:
    """Allow a script of which every command is static and either proven or allowed by the operator."""
    script = call.script
    members = [command for pipeline in script.pipelines for command in pipeline.members]
    if policy.allow and script.is_static and all(policy.allows(c) or _is_proven(c) for c in members):
        return Decision(DecisionVerdict.ALLOW, "operator_allow", "allowed by the operator")
    return Decision(DecisionVerdict.UNDECIDED, "operator_allow", "not allowed")


def deny_known_change(call: CommandCall, _: Policy) -> Decision:
    """Deny what the table knows to write or to show secrets: no judge can be misled about it."""
    for command in call.script.commands:
        harm = rules.known_harm(command, builtin_table())
        if harm:
            does = "changes state" if harm is CommandClass.WRITE else "shows secrets"
            return Decision(DecisionVerdict.DENY, "rules", f"{' '.join(command.texts[:3])[:60]!r} {does}")
    return Decision(DecisionVerdict.UNDECIDED, "rules", _open_question(call))


LAYERS: tuple[Layer, ...] = (
    parse_shell,  # what does not parse is denied
    deny_signatures,  # known harm, with its ATT&CK id
    operator_deny,
    prove_read_only,  # allows without a model call
    operator_allow,  # never reached by a signature of harm
    deny_known_change,  # what is known to write needs the operator, not a judge
)


def decide(command: str, *, policy: Policy) -> Decision:
    """Return the first layer's decision; UNDECIDED, with what is not proven, goes to the judge."""
    call = CommandCall(command)
    decisions = (layer(call, policy) for layer in LAYERS)
    final = next((d for d in decisions if d.is_final), None)
    return final or Decision(DecisionVerdict.UNDECIDED, "rules", _open_question(call))


def _is_proven(command: Simple) -> bool:
    try:
        return rules.class_of(command, builtin_table()) is CommandClass.READ
    except UnprovenError:
        return False


def _open_question(call: CommandCall) -> str:
    """Say what could not be proven."""
    try:
        rules.class_of_script(call.script, builtin_table())
    except UnprovenError as error:
        return str(error)
    return "not proven read-only"
