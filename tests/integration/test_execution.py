"""Execution with real processes: limits, deadlines, groups, what a command inherits and what it does not."""

import json
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from tests.unit.tools.test_command import context
from worker.errors import ToolFailedError
from worker.guardrails.policy import Policy, load_policy
from worker.ops.children import tied_to_parent
from worker.tools.command import RunCommand
from worker.tools.execution import Completed, Launch, Limits, Stream, run_pipeline, run_shell
from worker.tools.sandbox import PATH

QUICK = Limits(timeout_s=10)


def run(*argvs: tuple[str, ...], limits: Limits = QUICK) -> Completed:
    return run_pipeline([Launch(argv) for argv in argvs], limits=limits)


def shell(text: str, limits: Limits = QUICK) -> Completed:
    return run_shell(text, limits=limits)


def open_descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().split(")")[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


def gone(pid: int) -> bool:
    patience = time.monotonic() + 3
    while is_alive(pid) and time.monotonic() < patience:
        time.sleep(0.02)
    return not is_alive(pid)


def test_a_pipeline_passes_output_on_and_tells_the_last_exit_code() -> None:
    completed = run(("printf", r"b\na\n"), ("sort",))

    assert completed.stdout == "a\nb\n"
    assert completed.exit_code == 0
    assert run(("true",), ("false",)).exit_code == 1


def test_words_reach_the_program_as_they_are() -> None:
    odd = ["$(id)", "`id`", "; id", "a'b\"c", "*", "", "-n", "$HOME", "\n"]

    assert run(("printf", "%s\\0", *odd)).stdout.split("\0")[:-1] == odd


def test_stderr_is_told_apart_joined_or_thrown_away() -> None:
    words = ("ls", "/nonexistent")

    assert "nonexistent" in run_pipeline([Launch(words)], limits=QUICK).stderr
    joined = run_pipeline([Launch(words, stderr=Stream.STDOUT), Launch(("cat",))], limits=QUICK)
    assert "nonexistent" in joined.stdout
    silent = run_pipeline([Launch(words, stderr=Stream.NULL)], limits=QUICK)
    assert (silent.stdout, silent.stderr) == ("", "")
    assert run_pipeline([Launch(("echo", "x"), stdout=Stream.STDERR)], limits=QUICK).stderr == "x\n"


def test_a_reader_that_leaves_early_ends_the_writer() -> None:
    completed = run(("yes",), ("head", "-n", "2"))

    assert completed.stdout == "y\ny\n"
    assert not completed.timed_out


def test_standard_input_is_empty() -> None:
    assert run(("cat",)).stdout == ""


def test_a_program_that_is_not_there_is_named() -> None:
    with pytest.raises(ToolFailedError, match="frobnicate"):
        run(("frobnicate",))


def test_only_allow_listed_variables_are_inherited(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-inherited")
    monkeypatch.setenv("LD_PRELOAD", "")

    variables = dict(line.split("=", 1) for line in run(("env",)).stdout.splitlines())

    assert "OPENAI_API_KEY" not in variables
    assert "LD_PRELOAD" not in variables
    assert variables["PATH"] == PATH
    ours = {"PATH", "LANG", "TZ", "HOME", "TMPDIR", "PAGER", "PWD", "OLDPWD", "_", "SHLVL"}
    assert {name for name in variables if not name.startswith("GIT_")} <= ours


def test_given_variables_are_passed() -> None:
    completed = run_pipeline([Launch(("env",))], limits=QUICK, variables={"KUBECONFIG": "/x/config"})

    assert "KUBECONFIG=/x/config" in completed.stdout


def test_the_working_directory_and_home_are_empty_and_gone_afterwards() -> None:
    completed = shell('pwd; ls -A; ls -A "$HOME"')

    folder = Path(completed.stdout.strip())
    assert completed.stdout.count("\n") == 1
    assert not folder.exists()


def test_no_descriptor_of_ours_is_inherited(tmp_path: Path) -> None:
    with (tmp_path / "private").open("w") as file:
        os.set_inheritable(file.fileno(), True)

        completed = shell("ls -l /proc/$$/fd; true")

    assert "/dev/null" in completed.stdout
    assert "private" not in completed.stdout


def test_no_descriptor_is_left_open() -> None:
    run(("true",))
    before = open_descriptors()

    for _ in range(20):
        run(("echo", "x"), ("cat",))
    with pytest.raises(ToolFailedError):
        run(("echo", "x"), ("frobnicate",))

    assert open_descriptors() == before


def test_a_deadline_ends_the_command() -> None:
    started = time.monotonic()

    completed = run(("sleep", "30"), limits=Limits(timeout_s=0.3))

    assert completed.timed_out
    assert time.monotonic() - started < 5


def test_a_command_that_ignores_the_polite_signal_is_killed() -> None:
    completed = shell("trap '' TERM; echo $$; while :; do sleep 0.1; done", Limits(timeout_s=0.3))

    assert completed.timed_out
    assert completed.exit_code == -9
    assert gone(int(completed.stdout))


def test_children_of_a_command_die_with_it() -> None:
    completed = shell("sleep 60 & echo $!; sleep 60", Limits(timeout_s=0.4))

    assert completed.timed_out
    assert gone(int(completed.stdout))


def test_children_left_in_the_background_do_not_outlive_it() -> None:
    started = time.monotonic()

    completed = shell("sleep 60 & echo $!")

    assert not completed.timed_out
    assert time.monotonic() - started < 5
    assert gone(int(completed.stdout))


def test_a_cancel_ends_the_command() -> None:
    asked = iter([False, False, True])

    completed = run_pipeline([Launch(("sleep", "30"))], limits=QUICK, is_cancelled=lambda: next(asked, True))

    assert completed.was_cancelled
    assert not completed.timed_out


def test_what_is_cancelled_before_it_starts_leaves_no_trace(tmp_path: Path) -> None:
    trace = tmp_path / "trace"

    with pytest.raises(ToolFailedError, match="before"):
        run_pipeline([Launch(("touch", str(trace)))], limits=QUICK, is_cancelled=lambda: True)

    assert not trace.exists()


def test_a_process_that_closes_its_streams_still_meets_the_deadline() -> None:
    completed = shell("exec >&- 2>&-; sleep 30", Limits(timeout_s=0.4))

    assert completed.timed_out


def test_output_over_the_cap_is_cut_and_the_command_runs_on() -> None:
    completed = shell("head -c 3000000 /dev/zero | tr '\\0' x; echo end >&2", Limits(timeout_s=20, output_bytes=1000))

    assert completed.stdout == "x" * 1000
    assert completed.is_truncated
    assert completed.stderr == "end\n"
    assert completed.exit_code == 0


def test_bytes_that_are_no_text_are_shown_as_such() -> None:
    assert run(("printf", r"\377a")).stdout == "\ufffda"


def test_limits_hold_for_the_program_and_its_children() -> None:
    limits = Limits(timeout_s=10, cpu_s=7, memory_bytes=2**30, file_bytes=2**20, open_files=64)

    shown = shell("bash -c 'ulimit -t; ulimit -v; ulimit -n; ulimit -c'", limits).stdout.split()

    assert shown == ["7", str(2**20), "64", "0"]


def test_a_file_cannot_grow_over_its_limit() -> None:
    completed = shell(
        'head -c 9000000 /dev/zero > "$HOME/big"; stat -c %s "$HOME/big"', Limits(timeout_s=10, file_bytes=2**20)
    )

    assert int(completed.stdout) <= 2**20


def test_many_threads_run_commands_at_once() -> None:
    outputs: dict[int, str] = {}

    def one(number: int) -> None:
        outputs[number] = run(("echo", str(number)), ("cat",), limits=Limits(timeout_s=60)).stdout

    threads = [threading.Thread(target=one, args=(number,)) for number in range(60)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert outputs == {number: f"{number}\n" for number in range(60)}


def test_git_of_a_hostile_repository_runs_nothing(tmp_path: Path) -> None:
    planted = tmp_path / "ran"
    harm = f"'touch {planted}; false'"
    setup = f"cd {tmp_path} && git init -q && git config core.fsmonitor {harm} && git config core.pager {harm}"
    assert shell(setup).exit_code == 0

    run(("git", "-C", str(tmp_path), "status"))
    run(("git", "-C", str(tmp_path), "log"))

    assert not planted.exists()


def test_the_result_is_plain_data() -> None:
    completed = run(("echo", "x"))

    assert json.dumps(completed.__dict__)
    assert completed.duration_s >= 0


@pytest.mark.skipif(not tied_to_parent(), reason="no setpriv on PATH")
def test_a_command_does_not_outlive_a_worker_that_was_killed(tmp_path: Path) -> None:
    noted = tmp_path / "pid"
    lines = (
        "from worker.tools.execution import Launch, Limits, run_pipeline",
        f"run_pipeline([Launch(('sh', '-c', 'echo $$ > {noted}; exec sleep 60'))], limits=Limits(timeout_s=60))",
    )
    worker = subprocess.Popen([sys.executable, "-c", "\n".join(lines)])
    patience = time.monotonic() + 20
    while not (noted.exists() and noted.read_text().strip()) and time.monotonic() < patience:
        time.sleep(0.05)

    worker.kill()
    worker.wait(timeout=10)

    assert gone(int(noted.read_text()))


def test_a_hostile_repository_runs_nothing_to_show_a_difference(tmp_path: Path) -> None:
    planted = tmp_path / "ran"
    harm = f"'touch {planted}; cat'"
    steps = (
        f"cd {tmp_path}",
        "git init -q",
        f"git config diff.external {harm}",
        f"git config diff.odd.textconv {harm}",
        "echo '*.txt diff=odd' > .gitattributes",
        "echo one > a.txt",
        "git add -A",
        "git -c user.name=x -c user.email=x@example.com commit -qm one",
        "echo two > a.txt",
    )
    assert shell(" && ".join(steps)).exit_code == 0
    tool = RunCommand(Policy())

    for command in ("diff", "log -p", "show HEAD", "blame a.txt", "annotate a.txt", "status"):
        assert '"exit_code": 0' in tool.run({"command": f"git -C {tmp_path} {command}"}, context()).text

    assert not planted.exists()


@pytest.mark.parametrize("command", ["diff", "status", "blame a.txt", "describe --always --dirty", "ls-files -m"])
def test_a_repository_with_filters_is_read_by_its_commits_only(tmp_path: Path, command: str) -> None:
    planted = tmp_path / "ran"
    steps = (
        f"cd {tmp_path}",
        "git init -q",
        "echo '*.txt filter=odd' > .gitattributes",
        "echo one > a.txt",
        "git add -A",
        "git -c user.name=x -c user.email=x@example.com commit -qm one",
        f"git config filter.odd.clean 'touch {planted}; cat'",
        "echo two > a.txt",
    )
    assert shell(" && ".join(steps)).exit_code == 0
    tool = RunCommand(Policy())

    with pytest.raises(ToolFailedError, match="configures filters"):
        tool.run({"command": f"git -C {tmp_path} {command}"}, context())

    assert '"exit_code": 0' in tool.run({"command": f"git -C {tmp_path} show HEAD"}, context()).text
    assert not planted.exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a folder away")
def test_git_compares_no_files_in_a_repository_that_it_does_not_trust(tmp_path: Path) -> None:
    assert shell(f"cd {tmp_path} && git init -q && echo a > a.yml && echo b > b.yml").exit_code == 0
    for place in (tmp_path, tmp_path / ".git"):
        os.chown(place, 65534, 65534)

    with pytest.raises(ToolFailedError, match="dubious ownership"):
        RunCommand(Policy()).run({"command": f"git -C {tmp_path} diff a.yml b.yml"}, context())


def test_a_link_to_a_secret_is_not_read(tmp_path: Path) -> None:
    key = tmp_path / "id_rsa"
    key.write_text("private")
    link = tmp_path / "app.log"
    link.symlink_to(key)
    policy = tmp_path / "policy.yaml"
    policy.write_text(f"allow: ['cat {link}']")

    with pytest.raises(ToolFailedError, match="is a link"):
        RunCommand(load_policy(policy)).run({"command": f"cat {link}"}, context())
