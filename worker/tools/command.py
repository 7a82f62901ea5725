"""`run_command`: a read-only shell command on this host, run the way the guardrail read it."""

import glob
import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from worker.domain.conversation import ToolDefinition
from worker.domain.tooling import ToolContext, ToolOutput
from worker.errors import ToolDeniedError, ToolFailedError, ToolInputError
from worker.guardrails import paths
from worker.guardrails.pipeline import DecisionVerdict, decide
from worker.guardrails.policy import Policy
from worker.guardrails.shell import Pipeline, Script, Simple, parse
from worker.guardrails.words import Word
from worker.tools.execution import Completed, Launch, Limits, Stream, run_pipeline, run_shell
from worker.tools.repository import harmless, is_git
from worker.tools.sandbox import Cage, needs_network

MAX_MATCHES = 200
_BUILTINS = frozenset(
    """
    . [[ alias bg bind break builtin caller cd command compgen complete continue declare dirs disown enable eval exec
    exit export fc fg getopts hash help history jobs let local logout mapfile popd pushd read readarray readonly return
    set shift shopt source suspend time times trap type typeset ulimit umask unalias unset until wait while
    """.split()  # noqa: SIM905 -- fifty words read better than fifty strings
)
"""Words only a shell can run."""
_DESCRIPTION = (
    "Run one read-only shell command (kubectl, git, docker, systemctl, journalctl, ps, ss, grep, jq, aws, gcloud …) "
    "and read its output. Pipes, `&&`, `||`, `;` and `2>&1` work; there is no terminal, no input, and the working "
    "directory is empty, so use absolute paths. Everyday read-only commands with literal arguments run at once; "
    "variables, substitutions, loops and unknown programs are judged first; whatever changes state or reads "
    "secrets is denied."
)
_PARAMETERS: dict[str, Any] = {
    "type": "object",
    "properties": {
        "command": {"type": "string", "description": "The command line, at most 4096 bytes."},
        "purpose": {"type": "string", "description": "What you want to learn from it, in a few words."},
    },
    "required": ["command", "purpose"],
    "additionalProperties": False,
}


class RunCommand:
    """The tool. The caller has had the command decided; what is finally denied is refused here once more."""

    definition = ToolDefinition(name="run_command", description=_DESCRIPTION, parameters=_PARAMETERS)

    def __init__(
        self, policy: Policy, *, kubeconfig: Path | None = None, limits: Limits | None = None, cage: Cage | None = None
    ) -> None:
        self._policy = policy
        self._cage = cage
        self._limits = limits or Limits()
        self._variables = {"KUBECONFIG": str(kubeconfig.absolute())} if kubeconfig else {}

    def command_of(self, arguments: Mapping[str, Any]) -> str:
        """Return the command to be decided. Anything but a string is the empty command, which is denied."""
        command = arguments.get("command")
        return command if isinstance(command, str) else ""

    def run(self, arguments: dict[str, Any], context: ToolContext) -> ToolOutput:
        """Run the command. Raises `ToolError` if it is denied, or cannot be run, or is cancelled."""
        command = self.command_of(arguments)
        if not command.strip():
            raise ToolInputError("`command` is missing: send a non-empty string")
        decision = decide(command, policy=self._policy)
        if decision.verdict is DecisionVerdict.DENY:
            raise ToolDeniedError(f"{decision.layer}: {decision.reason}")
        completed = self._run(parse(command), context, is_proven=decision.is_allowed)
        if completed.was_cancelled:
            raise ToolFailedError("cancelled while the command ran")
        return ToolOutput(text=_render(command, completed))

    def _run(self, script: Script, context: ToolContext, *, is_proven: bool) -> Completed:
        """Run a script from its words; only what needs a shell, and was allowed beyond the rules, gets one."""
        if is_proven or not _needs_shell(script):
            return self._run_pipelines(script, context)
        return run_shell(
            script.text,
            limits=self._limits_until(context.deadline),
            variables=self._variables,
            cage=self._cage,
            has_network=any(needs_network(c.texts, self._policy.table) for c in script.commands if c.words),
            is_cancelled=context.is_cancelled,
        )

    def _run_pipelines(self, script: Script, context: ToolContext) -> Completed:
        """Run pipelines in turn as `;`, `&&` and `||` say, and join what they print."""
        done: list[Completed] = []
        for pipeline in script.pipelines:
            failed = bool(done) and done[-1].exit_code != 0
            if done and (pipeline.joined_by == "&&" and failed) | (pipeline.joined_by == "||" and not failed):
                continue
            done.append(self._run_pipeline(pipeline, context))
            if done[-1].timed_out or done[-1].was_cancelled:
                break
        return _joined(done)

    def _run_pipeline(self, pipeline: Pipeline, context: ToolContext) -> Completed:
        return self._run_programs([self._launch(member, context) for member in pipeline.members], context)

    def _run_programs(self, programs: Sequence[Launch], context: ToolContext) -> Completed:
        return run_pipeline(
            programs,
            limits=self._limits_until(context.deadline),
            variables=self._variables,
            cage=self._cage,
            is_cancelled=context.is_cancelled,
        )

    def _launch(self, command: Simple, context: ToolContext) -> Launch:
        limit, limited = command.limited or (None, command)
        argv = tuple(text for word in limited.words for text in _expanded(word))
        _check_links(argv)
        if is_git(argv):
            argv = harmless(argv, lambda words: self._run_programs([Launch(words, has_network=False)], context))
        has_network = needs_network(argv, self._policy.table)
        around = (*(("env", *command.assignments) if command.assignments else ()), *(limit.texts if limit else ()))
        reads = not any(redirect.descriptor == 0 for redirect in command.redirects)
        return Launch((*around, *argv), *_streams(command), reads, has_network)

    def _limits_until(self, deadline: float) -> Limits:
        left_s = deadline - time.monotonic()
        if left_s <= 0:
            raise ToolFailedError("no time is left for the command")
        return replace(self._limits, timeout_s=min(self._limits.timeout_s, left_s))


def _needs_shell(script: Script) -> bool:
    """Say whether words alone cannot run it: something unknown, a shell's own command, or a pattern."""
    has_pattern = any(word.is_pattern for command in script.commands for word in command.words)
    return not script.is_static or has_pattern or any(c.texts[0] in _BUILTINS for c in script.commands)


def _streams(command: Simple) -> tuple[Stream, Stream]:
    """Return where the two streams go."""
    stdout, stderr = Stream.CAPTURE, Stream.CAPTURE
    for redirect in command.redirects:
        target = redirect.target.text if redirect.target else ""
        if redirect.descriptor == 0:
            continue
        if target == "/dev/null":
            stdout = stdout if redirect.descriptor == 2 else Stream.NULL  # noqa: PLR2004 -- stderr's number
            stderr = stderr if redirect.descriptor == 1 else Stream.NULL
        elif (redirect.descriptor, target) == (2, "1"):
            stderr = Stream.NULL if stdout is Stream.NULL else Stream.STDOUT
        elif (redirect.descriptor, target) == (1, "2"):
            stdout = Stream.NULL if stderr is Stream.NULL else Stream.STDERR
    return stdout, stderr


def _check_links(argv: tuple[str, ...]) -> None:
    """Refuse a path that leads through a link to what holds secrets: the name that was proven is not what is read."""
    for word in (w for w in argv[1:] if w.startswith("/")):
        real = str(Path(word).resolve())
        if real != word and not real.endswith(".log") and paths.looks_secret(real):
            raise ToolFailedError(f"{word} is a link to what is not for reading")


def _expanded(word: Word) -> list[str]:
    """Return the word, or the paths its pattern matches, each checked again; no match leaves it as it is."""
    if not word.is_pattern:
        return [word.text]
    matches = sorted(glob.glob(word.text))  # noqa: PTH207 -- an absolute pattern, expanded as a shell would
    found = [path for path in matches if paths.may_be_read(path) and paths.may_be_read(str(Path(path).resolve()))]
    if len(found) > MAX_MATCHES:
        raise ToolFailedError(f"{word.text} matches {len(found)} files, more than {MAX_MATCHES}: name fewer")
    return found or [word.text]


def _joined(done: list[Completed]) -> Completed:
    return Completed(
        exit_code=done[-1].exit_code,
        stdout="".join(c.stdout for c in done),
        stderr="".join(c.stderr for c in done),
        is_truncated=any(c.is_truncated for c in done),
        timed_out=any(c.timed_out for c in done),
        duration_s=round(sum(c.duration_s for c in done), 3),
        was_cancelled=any(c.was_cancelled for c in done),
    )


def _render(command: str, completed: Completed) -> str:
    fields: dict[str, Any] = {
        "command": command,
        "exit_code": completed.exit_code,
        "stdout": completed.stdout,
        "stderr": completed.stderr,
        "duration_s": completed.duration_s,
        "truncated": completed.is_truncated,
    }
    if completed.timed_out:
        fields["timed_out"] = True
    return json.dumps(fields, ensure_ascii=False)
