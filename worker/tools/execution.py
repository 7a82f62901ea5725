"""Runs commands: our own pipes instead of a shell, a scrubbed environment, limits, a deadline, a cap on output.

Safe from hundreds of threads: no `preexec_fn`, no change of the worker's own state. Limits are set by a constant
`/bin/sh` launcher that receives the command as positional words (`exec "$@"`), so that they hold before the program
starts and for all its children; setting them from outside after the start would race with the first fork.
The limit on processes counts all processes and threads of the worker's user, and root is exempt: it stops a fork bomb,
it does not count one command's children. Each process leads a session of its own and its whole group is killed at the
end; what leaves its session escapes that, and no rule allows a program that does.
"""

import os
import resource
import selectors
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from enum import StrEnum
from pathlib import Path
from typing import Self

from worker.errors import ToolFailedError
from worker.ops.children import tied_to_parent
from worker.tools.sandbox import PATH, Cage, Sandbox

MAX_PROCESSES = 8192
TERM_GRACE_S = 0.5
_TICK_S = 0.05
_POLL_S = 0.01
_CHUNK_BYTES = 65536
_BLOCK_BYTES = 512  # unit of `ulimit -f` in a POSIX shell
_KIB = 1024

# `ulimit -u` is bash's option for processes, `-p` dash's; the subshell asks first, because a wrong one ends the shell.
_LAUNCHER = (
    'ulimit -c 0; ulimit -t "$1"; ulimit -v "$2"; ulimit -f "$3"; ulimit -n "$4"; '
    'if (ulimit -u "$5") 2>/dev/null; then ulimit -u "$5"; elif (ulimit -p "$5") 2>/dev/null; then ulimit -p "$5"; fi; '
    'shift 5; exec "$@"'
)


class Stream(StrEnum):
    """Where a process's output goes: `CAPTURE` is the next process, or us."""

    CAPTURE = "capture"
    NULL = "null"
    STDOUT = "stdout"
    STDERR = "stderr"


@dataclass(frozen=True)
class Launch:
    """One process: its words, where its two streams go, whether it reads the one before it, whether it has network."""

    argv: tuple[str, ...]
    stdout: Stream = Stream.CAPTURE
    stderr: Stream = Stream.CAPTURE
    reads: bool = True
    has_network: bool = True


@dataclass(frozen=True)
class Limits:
    """What a command may use; seconds of wall clock, of CPU per process, bytes per stream that are kept."""

    timeout_s: float = 60.0
    cpu_s: int = 60
    memory_bytes: int = 4 * 1024**3
    file_bytes: int = 16 * 1024**2
    open_files: int = 1024
    output_bytes: int = 1024**2


@dataclass(frozen=True)
class Completed:
    """How it ended: `exit_code` is that of the last process, negative for a signal."""

    exit_code: int
    stdout: str
    stderr: str
    is_truncated: bool
    timed_out: bool
    duration_s: float
    was_cancelled: bool = False


class Stop(StrEnum):
    """Why a command was ended before its own end."""

    TIMEOUT = "timeout"
    CANCEL = "cancel"


def find_program(name: str) -> str:
    """Return the program's path on the fixed PATH. Raises `ToolFailedError` that names it if there is none."""
    found = shutil.which(name, path=PATH)
    if found is None:
        raise ToolFailedError(f"the program {name!r} is not installed here")
    return found


def run_pipeline(
    commands: Sequence[Launch],
    *,
    limits: Limits,
    variables: Mapping[str, str] | None = None,
    cage: Cage | None = None,
    is_cancelled: Callable[[], bool] = lambda: False,
) -> Completed:
    """Run processes joined by pipes, without a shell.

    Raises `ToolFailedError` for a program that is not there, and for what is cancelled before it starts.
    """
    argvs = [(find_program(c.argv[0]), *c.argv[1:]) for c in commands]
    with tempfile.TemporaryDirectory(prefix="rca-", ignore_cleanup_errors=True) as folder:
        sandbox = Sandbox(Path(folder), variables or {}, cage)
        for name in ("work", "home"):
            (sandbox.folder / name).mkdir(mode=0o700)
        with _Run(limits, sandbox) as run:
            if is_cancelled():  # the last look: a process that stood still until now may have lost its step
                raise ToolFailedError("cancelled before the command ran")
            run.start([replace(command, argv=argv) for argv, command in zip(argvs, commands, strict=True)])
            return run.finish(is_cancelled)


def run_shell(
    text: str,
    *,
    limits: Limits,
    variables: Mapping[str, str] | None = None,
    cage: Cage | None = None,
    has_network: bool = True,
    is_cancelled: Callable[[], bool] = lambda: False,
) -> Completed:
    """Run text that needs a shell: bash where there is one, since bash's grammar is the one it was read with."""
    bash = shutil.which("bash", path=PATH)
    argv = (bash, "--noprofile", "--norc", "-c", text) if bash else ("/bin/sh", "-c", text)
    launch = Launch(argv, has_network=has_network)
    return run_pipeline([launch], limits=limits, variables=variables, cage=cage, is_cancelled=is_cancelled)


@dataclass
class _Output:
    """What one stream has said: the first `cap` bytes are kept, the rest is read and forgotten."""

    cap: int
    data: bytearray = field(default_factory=bytearray)
    is_truncated: bool = False

    def add(self, chunk: bytes) -> None:
        room = self.cap - len(self.data)
        self.data += chunk[:room]
        self.is_truncated = self.is_truncated or len(chunk) > room

    def text(self) -> str:
        return self.data.decode(errors="replace")


class _Run:
    """One pipeline from its start to the death of all its processes."""

    def __init__(self, limits: Limits, sandbox: Sandbox) -> None:
        self._limits = limits
        self._sandbox = sandbox
        self._started = time.monotonic()
        self._processes: list[subprocess.Popen[bytes]] = []
        self._descriptors: set[int] = set()
        self._outputs: dict[int, _Output] = {}
        self._stdout, self._stderr = _Output(limits.output_bytes), _Output(limits.output_bytes)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._end_groups(at_once=True)
        self._close(*tuple(self._descriptors))

    def start(self, commands: Sequence[Launch]) -> None:
        """Start every process, the first reading nothing, each other the one before it."""
        errors_in, errors_out = self._pipe()
        source = self._open_null()
        for command in commands:
            into, out = self._pipe()
            self._spawn(command, stdin=source, stdout=out, stderr=errors_out)
            self._close(source, out)
            source = into
        self._close(errors_out)
        self._outputs = {source: self._stdout, errors_in: self._stderr}

    def finish(self, is_cancelled: Callable[[], bool]) -> Completed:
        """Read to the end, the deadline or a cancel; then end every group and collect the exit codes."""
        try:
            stop = self._read(is_cancelled) or self._wait(is_cancelled)
        finally:
            self._end_groups(at_once=False)
        return Completed(
            exit_code=self._processes[-1].returncode,
            stdout=self._stdout.text(),
            stderr=self._stderr.text(),
            is_truncated=self._stdout.is_truncated or self._stderr.is_truncated,
            timed_out=stop is Stop.TIMEOUT,
            duration_s=round(time.monotonic() - self._started, 3),
            was_cancelled=stop is Stop.CANCEL,
        )

    def _spawn(self, command: Launch, *, stdin: int, stdout: int, stderr: int) -> None:
        null = self._open_null()
        caged = self._sandbox.around(command.argv, has_network=command.has_network)
        first = {Stream.NULL: null, Stream.STDERR: stderr}.get(command.stdout, stdout)
        second = {Stream.NULL: null, Stream.STDOUT: stdout}.get(command.stderr, stderr)
        argv = [*tied_to_parent("KILL"), "/bin/sh", "-c", _LAUNCHER, "sh", *_limit_words(self._limits), *caged]
        try:
            process = subprocess.Popen(  # noqa: S603 -- the words were decided by the guardrail; no shell reads them
                argv,
                stdin=stdin if command.reads else null,
                stdout=first,
                stderr=second,
                cwd=self._sandbox.work,
                env=self._sandbox.environment(),
                start_new_session=True,
            )
        except OSError as error:
            raise ToolFailedError(f"{command.argv[0]} could not be started: {error.strerror}") from error
        self._processes.append(process)
        self._close(null)

    def _read(self, is_cancelled: Callable[[], bool]) -> Stop | None:
        """Drain both streams until they end, or until all processes are gone and others hold the streams open."""
        with selectors.DefaultSelector() as selector:
            for descriptor in self._outputs:
                selector.register(descriptor, selectors.EVENT_READ)
            while selector.get_map():
                for key, _ in selector.select(_TICK_S):
                    self._take(selector, key.fd)
                if stop := self._reason_to_stop(is_cancelled):
                    return stop
                if selector.get_map() and self._all_exited() and not selector.select(_TICK_S):
                    return None
        return None

    def _take(self, selector: selectors.BaseSelector, descriptor: int) -> None:
        chunk = os.read(descriptor, _CHUNK_BYTES)
        if chunk:
            self._outputs[descriptor].add(chunk)
        else:
            selector.unregister(descriptor)

    def _wait(self, is_cancelled: Callable[[], bool]) -> Stop | None:
        """Wait for processes that closed their streams and went on."""
        while not self._all_exited():
            if stop := self._reason_to_stop(is_cancelled):
                return stop
            time.sleep(_POLL_S)
        return None

    def _reason_to_stop(self, is_cancelled: Callable[[], bool]) -> Stop | None:
        if time.monotonic() - self._started > self._limits.timeout_s:
            return Stop.TIMEOUT
        return Stop.CANCEL if is_cancelled() else None

    def _all_exited(self) -> bool:
        """Look without reaping: a process that is not reaped keeps its number, so its group can be killed safely."""
        return all(_has_exited(process) for process in self._processes)

    def _end_groups(self, *, at_once: bool) -> None:
        """Kill every group, children that stayed behind included, then reap."""
        waiting = [process for process in self._processes if process.returncode is None]
        if not at_once and not all(map(_has_exited, waiting)):
            _signal_groups(waiting, signal.SIGTERM)
            patience = time.monotonic() + TERM_GRACE_S
            while time.monotonic() < patience and not all(map(_has_exited, waiting)):
                time.sleep(_POLL_S)
        _signal_groups(waiting, signal.SIGKILL)
        for process in waiting:
            process.wait()

    def _pipe(self) -> tuple[int, int]:
        read, write = os.pipe()  # not inheritable, so no other thread's child gets an end of it
        self._descriptors |= {read, write}
        return read, write

    def _open_null(self) -> int:
        descriptor = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
        self._descriptors.add(descriptor)
        return descriptor

    def _close(self, *descriptors: int) -> None:
        for descriptor in descriptors:
            if descriptor in self._descriptors:
                self._descriptors.discard(descriptor)
                os.close(descriptor)


def _limit_words(limits: Limits) -> tuple[str, ...]:
    """Return what the launcher sets; never more than is allowed already, which would end it."""
    wanted = (
        (resource.RLIMIT_CPU, limits.cpu_s, 1),
        (resource.RLIMIT_AS, limits.memory_bytes, _KIB),
        (resource.RLIMIT_FSIZE, limits.file_bytes, _BLOCK_BYTES),
        (resource.RLIMIT_NOFILE, limits.open_files, 1),
        (resource.RLIMIT_NPROC, MAX_PROCESSES, 1),
    )
    return tuple(str(_at_most(which, value) // unit) for which, value, unit in wanted)


def _at_most(which: int, value: int) -> int:
    _, hard = resource.getrlimit(which)
    return value if hard == resource.RLIM_INFINITY else min(value, hard)


def _has_exited(process: subprocess.Popen[bytes]) -> bool:
    if process.returncode is not None:
        return True
    return os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None


def _signal_groups(processes: Sequence[subprocess.Popen[bytes]], number: signal.Signals) -> None:
    for process in processes:
        with suppress(ProcessLookupError, PermissionError):  # macOS says EPERM for a group of zombies
            os.killpg(process.pid, number)
