"""Keep processes running: start, restart with patience, pass their output on, stop all of them in time."""

import contextlib
import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from typing import IO

from worker.cli.processes import ProcessSpec

FIRST_DELAY_S = 0.5
LONGEST_DELAY_S = 30.0
STEADY_S = 30.0
"""A process that ran this long had no bad start: its next restart waits the first delay again."""

_LOOK_S = 0.1

Say = Callable[[str, str], None]
"""Takes a process's name and one line."""


class Child:
    """One supervised process through all its lives."""

    def __init__(self, spec: ProcessSpec, *, say: Say) -> None:
        self.spec = spec
        self.restarts = 0
        self._say = say
        self._process: subprocess.Popen[bytes] | None = None
        self._reader: threading.Thread | None = None
        self._started_at_s = 0.0
        self._delay_s = FIRST_DELAY_S
        self._due_at_s: float | None = None

    @property
    def pid(self) -> int | None:
        return self._process.pid if self.is_running and self._process else None

    @property
    def is_running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def start(self) -> None:
        """Start it in a group of its own, so that a Ctrl-C in the terminal reaches the supervisor alone."""
        self._due_at_s = None
        self._started_at_s = time.monotonic()
        with _hangup_held(is_held=self.spec.takes_hangup):
            self._process = subprocess.Popen(  # noqa: S603 - our own command lines
                self.spec.argv,
                env=dict(self.spec.environment),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self._reader = threading.Thread(target=self._read, args=(self._process.stdout,), daemon=True)
        self._reader.start()

    def tend(self) -> None:
        """Notice an exit and plan the restart; restart when it is due."""
        if self.is_running or self._process is None:
            return
        if self._due_at_s is None:
            self._plan_restart(self._process.returncode)
        elif time.monotonic() >= self._due_at_s:
            self.restarts += 1
            self.start()

    def signal(self, number: signal.Signals) -> None:
        """Signal the whole group: what a process started ends with it."""
        if self._process is None or not self.is_running:
            return  # its number may belong to somebody else by now
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, number)

    def finish(self) -> None:
        """Kill what is left of its group, reap it, and pass on its last words."""
        if self._process is None or self._reader is None:
            return
        if self.is_running:
            self._say(self.spec.name, "did not stop in time: killed")
            self.signal(signal.SIGKILL)
        self._process.wait()
        self._reader.join(timeout=1)

    def _plan_restart(self, code: int) -> None:
        if time.monotonic() - self._started_at_s > STEADY_S:
            self._delay_s = FIRST_DELAY_S
        self._say(self.spec.name, f"{_describe(code)}; starting again in {self._delay_s:g} s")
        self._due_at_s = time.monotonic() + self._delay_s
        self._delay_s = min(2 * self._delay_s, LONGEST_DELAY_S)

    def _read(self, pipe: IO[bytes]) -> None:
        with pipe:
            for line in pipe:
                self._say(self.spec.name, line.decode(errors="replace").rstrip("\n"))


class Supervisor:
    """Stages of processes: what later stages need is started first and stopped last."""

    def __init__(self, *, say: Say) -> None:
        self._say = say
        self._stages: list[list[Child]] = []

    @property
    def children(self) -> list[Child]:
        return [child for stage in self._stages for child in stage]

    def start(self, specs: Sequence[ProcessSpec]) -> None:
        """Start one more stage."""
        stage = [Child(spec, say=self._say) for spec in specs]
        self._stages.append(stage)
        for child in stage:
            child.start()

    def tend(self) -> None:
        for child in self.children:
            child.tend()

    def hang_up(self) -> None:
        """Pass a SIGHUP on to those that take one."""
        for child in self.children:
            if child.spec.takes_hangup:
                child.signal(signal.SIGHUP)

    def stop(self, *, grace_s: float, is_hurried: Callable[[], bool] = lambda: False) -> None:
        """End all, the last stage first; a stage shares one grace, which a hurried operator cuts short."""
        for stage in reversed(self._stages):
            _stop(stage, deadline_s=time.monotonic() + grace_s, is_hurried=is_hurried)
        self._stages.clear()


@contextlib.contextmanager
def _hangup_held(*, is_held: bool) -> Iterator[None]:
    """Start a child with SIGHUP held back until it takes it: before that, it would be the end of it."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGHUP} if is_held else set())
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _stop(stage: list[Child], *, deadline_s: float, is_hurried: Callable[[], bool]) -> None:
    for child in stage:
        child.signal(signal.SIGTERM)
    while any(child.is_running for child in stage) and time.monotonic() < deadline_s and not is_hurried():
        time.sleep(_LOOK_S)
    for child in stage:
        child.finish()


def _describe(code: int) -> str:
    if code >= 0:
        return f"exited with code {code}"
    return f"ended by {signal.Signals(-code).name}" if -code in set(signal.Signals) else f"ended by signal {-code}"
