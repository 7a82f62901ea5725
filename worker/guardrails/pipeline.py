"""The order of the guardrail's layers; the first final decision stands, and what none decides goes to the judge."""

from collections.abc import Callable, Iterator

from worker.errors import ToolDeniedError
from worker.guardrails import rules
from worker.guardrails.decision import CommandCall, Decision, DecisionVerdict
from worker.guardrails.policy import Policy
from worker.guardrails.rules import UnprovenError
from worker.guardrails.shell import Pipeline
from worker.guardrails.signatures import find_harm
from worker.guardrails.table import CommandClass

__all__ = ["LAYERS", "CommandCall", "Decision", "DecisionVerdict", "decide", "run_layers"]

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


def prove_read_only(call: CommandCall, policy: Policy) -> Decision:
    """Allow what the table of programs proves to change nothing and to show no secret."""
    try:
        command_class = rules.class_of_script(call.script, policy.table)
    except UnprovenError as error:
        return Decision(DecisionVerdict.UNDECIDED, "rules", str(error))
    if command_class is CommandClass.READ:
        return Decision(DecisionVerdict.ALLOW, "rules", "read-only by the table of programs")
    return Decision(DecisionVerdict.UNDECIDED, "rules", f"class {command_class} by the table of programs")


def operator_allow(call: CommandCall, policy: Policy) -> Decision:
    """Allow a script of which every pipeline is static and either proven or allowed by the operator, part by part."""
    script = call.script
    if policy.allow and script.is_static and all(_is_allowed(p, policy) for p in script.pipelines):
        return Decision(DecisionVerdict.ALLOW, "operator_allow", "allowed by the operator")
    return Decision(DecisionVerdict.UNDECIDED, "operator_allow", "not allowed")


def deny_known_change(call: CommandCall, policy: Policy) -> Decision:
    """Deny what the table knows to write or to show secrets: no judge can be misled about it."""
    for command in call.script.commands:
        harm = rules.known_harm(command, policy.table)
        if harm:
            does = "changes state" if harm is CommandClass.WRITE else "shows secrets"
            return Decision(DecisionVerdict.DENY, "rules", f"{' '.join(command.texts[:3])[:60]!r} {does}")
    return Decision(DecisionVerdict.UNDECIDED, "rules", _open_question(call, policy))


LAYERS: tuple[Layer, ...] = (
    parse_shell,  # what does not parse is denied
    deny_signatures,  # known harm, with its ATT&CK id
    operator_deny,
    prove_read_only,  # allows without a model call
    operator_allow,  # never reached by a signature of harm
    deny_known_change,  # what is known to write needs the operator, not a judge
)


UNDECIDED = Decision(DecisionVerdict.UNDECIDED, "rules", "no layer decided")


def decide(command: str, *, policy: Policy) -> Decision:
    """Return the first layer's decision; UNDECIDED, with what is not proven, goes to the judge."""
    decision = UNDECIDED
    for decision in run_layers(CommandCall(command), policy):
        if decision.is_final:
            break
    return decision


def run_layers(call: CommandCall, policy: Policy) -> Iterator[Decision]:
    """Yield what each layer says, in their order; after a parse that failed there is nothing to be asked."""
    for layer in LAYERS:
        decision = layer(call, policy)
        yield decision
        if decision.layer == "parse" and decision.is_final:
            return


def _is_allowed(pipeline: Pipeline, policy: Policy) -> bool:
    """Say whether the operator allows each command of a pipeline, or it is proven where it stands."""
    if all(policy.allows(command) for command in pipeline.members):
        return True
    try:
        return rules.class_of(pipeline, policy.table, spared=policy.allows) is CommandClass.READ
    except UnprovenError:
        return False


def _open_question(call: CommandCall, policy: Policy) -> str:
    """Say what could not be proven."""
    try:
        rules.class_of_script(call.script, policy.table)
    except UnprovenError as error:
        return str(error)
    return "no known change"
