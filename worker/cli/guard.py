"""`rca guard`: what the guardrail says of a command, layer by layer, and what the table of programs knows."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import click

from worker.errors import ConfigError, NotFoundError
from worker.guardrails import rules
from worker.guardrails.files import line_of
from worker.guardrails.pipeline import CommandCall, Decision, DecisionVerdict, decide, run_layers
from worker.guardrails.policy import Policy, load_policy
from worker.guardrails.shell import Script
from worker.guardrails.signatures import find_harm
from worker.guardrails.table import RULES_DIR, Rule
from worker.settings import Settings, load_settings

_NEWLINE = re.compile(r"(?<!\\)\\n")
_user_path = click.option(
    "--user-path", default="", metavar="PATH", help="Decide as for an investigation of this path."
)


@click.group()
def guard() -> None:
    """See what the guardrail decides of commands, and by which rule. No model is asked."""


@guard.command()
@click.argument("file", type=click.File("rb"))
@_user_path
def test(file: BinaryIO, user_path: str) -> None:
    r"""Decide each line of FILE (`-`: standard input): verdict, layer and reason, with tabs between.

    A line is a JSON object with `command`, or the command itself with \n for a newline. `judge`: no rule decides.
    A line that cannot be read is denied as such, so that there is one line out for every line in.

    Example: rca guard test commands.txt
    """
    policy = _policy(load_settings()).for_path(user_path)
    for number, line in enumerate(file, start=1):
        click.echo("\t".join(_row(_decide_line(line, number, policy))))


@guard.command()
@click.argument("command")
@_user_path
def explain(command: str, user_path: str) -> None:
    """Show what each layer sees in COMMAND and says of it, in their order, also after the one that decides.

    Example: rca guard explain 'kubectl get pods | grep -v Running'
    """
    settings = load_settings()
    policy = _policy(settings).for_path(user_path)
    call = CommandCall(command)
    told: set[str] = set()
    for decision in run_layers(call, policy):
        click.echo(f"{decision.layer:<14} {_word(decision):<5} {' '.join(decision.reason.split())}")
        details = () if decision.layer in told else _details(decision, call, policy, settings.rca_policy_file)
        for detail in details:
            click.echo(f"{'':<14}       {detail}")
        told.add(decision.layer)
    final = decide(command, policy=policy)
    click.echo(f"\n{_word(final, asked=True)} ({final.layer}: {' '.join(final.reason.split())})")


@guard.command(name="list")
@click.argument("program", required=False)
def list_rules(program: str | None) -> None:
    """List the programs of the table, or with PROGRAM its subcommands: class, options with what they take, operands.

    Example: rca guard list kubectl
    """
    policy = _policy(load_settings())
    if policy.fault:
        raise ConfigError(policy.fault)
    table = policy.table
    if program is None:
        for name, rule in sorted(table.by_name.items()):
            click.echo(f"{name:<20} {_class(rule):<8} {_place(table.origins[name])}")
        click.echo(f"hosts: {', '.join(table.hosts) or 'none besides this one'}")
        return
    if program not in table.by_name:
        raise NotFoundError(f"{program} is not in the table; see `rca guard list`")
    for line in _described((program,), table.by_name[program]):
        click.echo(line)


def _policy(settings: Settings) -> Policy:
    return load_policy(settings.rca_policy_file, settings.rca_rules_dir)


def _decide_line(line: bytes, number: int, policy: Policy) -> Decision:
    try:
        command = _command_of(line)
    except ValueError as error:
        click.echo(f"line {number}: {error}", err=True)
        return Decision(DecisionVerdict.DENY, "parse", f"line {number}: {error}")
    return decide(command, policy=policy)


def _command_of(line: bytes) -> str:
    """Raises `ValueError` that says what is wrong with a line that is no text, or JSON without a command."""
    try:
        text = line.removesuffix(b"\n").decode()
    except UnicodeDecodeError as error:
        raise ValueError("is not UTF-8") from error
    try:
        value = json.loads(text) if text.lstrip().startswith("{") else text
    except (ValueError, RecursionError) as error:
        if text.lstrip().startswith('{"'):
            raise ValueError("is not JSON") from error
        value = text  # a group of a shell begins with a brace too
    if isinstance(value, str):
        return _NEWLINE.sub("\n", value)
    if isinstance(value.get("command"), str):
        return str(value["command"])
    raise ValueError("holds no `command` that is text")


def _row(decision: Decision) -> tuple[str, str, str]:
    return _word(decision, asked=True), decision.layer, " ".join(decision.reason.split())


def _word(decision: Decision, *, asked: bool = False) -> str:
    """Return the verdict; a layer that leaves it open says `-`, all of them together `judge`."""
    if decision.is_final:
        return str(decision.verdict)
    return "judge" if asked else "-"


def _details(decision: Decision, call: CommandCall, policy: Policy, file: Path | None) -> Iterator[str]:
    if decision.layer == "parse":
        yield from () if decision.is_final else _parsed(call.script)
    elif decision.layer == "signatures":
        match = find_harm(call.script)
        if match:
            yield f"{match.signature.id} in: {match.found}"
    elif decision.layer in {"operator_deny", "operator_allow"} and not policy.fault:
        yield from _policy_lines(decision, call.script, policy, file)
    elif decision.layer == "rules":
        yield from _entries(call.script, policy)


def _parsed(script: Script) -> Iterator[str]:
    yield from (f"command: {command.normalised}" for command in script.commands)
    yield from (f"unknown: {unknown}" for unknown in script.unknowns)


def _policy_lines(decision: Decision, script: Script, policy: Policy, file: Path | None) -> Iterator[str]:
    is_deny = decision.layer == "operator_deny"
    found = [policy.denies(script)] if is_deny else [policy.allows(command) for command in script.commands]
    for pattern in dict.fromkeys(filter(None, found)):
        yield f"{file}: line {line_of(file, pattern) if file else '?'}: {pattern}"


def _entries(script: Script, policy: Policy) -> Iterator[str]:
    for command in script.commands:
        way, said = rules.entry_of(command, policy.table)
        place = f"{_place(policy.table.origins[way[0]])}: {' '.join(way)}" if way else "no entry"
        yield f"{command.normalised[:80]}: {place}: {said}"


def _place(file: str) -> str:
    return Path(file).name if Path(file).parent == RULES_DIR else file


def _class(rule: Rule) -> str:
    return str(rule.command_class) if not rule.commands or rule.command_class != "read" else "by sub"


def _described(way: tuple[str, ...], rule: Rule) -> Iterator[str]:
    takes = " ".join(f"{option}=<{kind}>" for option, kind in rule.value_kinds.items())
    parts = (rule.flags, rule.optional, takes, " ".join(f"<{operand}>" for operand in rule.operands))
    if not rule.commands or rule.alone:
        yield f"{' '.join(way)}: {rule.command_class}: {' '.join(' '.join(parts).split())}"
    for name, child in rule.by_name.items():
        yield from _described((*way, name), child)
