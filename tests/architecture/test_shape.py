"""The fences of the house: sizes, the one door to the environment, names that dashboards read."""

import ast
import fnmatch
import re
from functools import cache
from pathlib import Path

import pytest

from worker.settings import Settings

ROOT = Path(__file__).parents[2]
CODE = [p for p in sorted((ROOT / "worker").rglob("*.py")) if "versions" not in p.parts]
FUNCTION_LINES = 50
FUNCTION_LINES_P90 = 25
MODULE_LINES = 400
PARAMETERS = 6
TASK_BODY_LINES = 6
FORBIDDEN_MODULES = {"utils", "helpers", "common", "misc", "manager", "core"}

LOG_EVENTS = {
    "agent_cancelled",
    "claim_postponed",
    "consumer_left_behind",
    "database_interrupted",
    "database_resumed",
    "duty_crashed",
    "event_accepted",
    "event_rejected",
    "intake_interrupted",
    "intake_resumed",
    "intake_started",
    "intake_stopped",
    "generation_refused",
    "generation_taken",
    "generation_untold",
    "investigation_cancelled",
    "investigation_purged",
    "investigation_rerun",
    "investigation_queued_again",
    "investigation_retried",
    "issuer_unavailable",
    "key_not_opened",
    "login_refused",
    "logins_held_back",
    "model_chosen",
    "model_doubted",
    "models_listed",
    "models_not_reloaded",
    "models_reloaded",
    "models_unlisted",
    "queue_reached",
    "queue_unreachable",
    "report_sent",
    "request_answered",
    "request_failed",
    "role_skipped",
    "round_swept",
    "sign_in_refused",
    "step_crashed",
    "step_finished",
    "step_unsettled",
    "tracing_interrupted",
    "tracing_resumed",
    "vault_not_read",
    "worker_refused",
    "worker_started",
    "worker_stopped",
}
"""What dashboards and alert rules may rely on: to rename one is a decision."""


@cache
def modules() -> dict[Path, ast.Module]:
    return {path: ast.parse(path.read_text()) for path in CODE}


@cache
def functions() -> list[tuple[Path, ast.FunctionDef]]:
    found = ((path, node) for path, module in modules().items() for node in ast.walk(module))
    return [(path, node) for path, node in found if isinstance(node, ast.FunctionDef)]


def lines_of(node: ast.FunctionDef) -> int:
    return (node.end_lineno or node.lineno) - node.lineno + 1


def test_no_function_is_longer_than_the_fence() -> None:
    too_long = [f"{p.relative_to(ROOT)}:{n.name}" for p, n in functions() if lines_of(n) > FUNCTION_LINES]

    assert too_long == []


def test_nine_of_ten_functions_are_short() -> None:
    lengths = sorted(lines_of(n) for _, n in functions())

    assert lengths[len(lengths) * 9 // 10] < FUNCTION_LINES_P90


def test_no_module_is_longer_than_the_fence() -> None:
    assert [p for p in CODE if p.read_text().count("\n") > MODULE_LINES] == []


def test_no_function_takes_too_many_parameters() -> None:
    def count(node: ast.FunctionDef) -> int:
        names = [a.arg for a in (*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs)]
        return len([n for n in names if n not in {"self", "cls"}])

    assert [f"{p.name}:{n.name}" for p, n in functions() if count(n) > PARAMETERS] == []


def test_a_task_only_calls_the_pipeline() -> None:
    tasks = [n for p, n in functions() if p.name == "tasks.py"]

    assert tasks
    assert all(lines_of(n) <= TASK_BODY_LINES for n in tasks)


def test_broad_excepts_are_rarer_than_one_in_a_thousand_lines() -> None:
    total = sum(p.read_text().count("\n") for p in CODE)
    broad = sum(len(re.findall(r"except( Exception| BaseException)?( as \w+)?:", p.read_text())) for p in CODE)

    assert broad * 1000 < total


def test_the_environment_is_read_in_one_module() -> None:
    readers = [p.name for p in CODE if re.search(r"os\.(environ|getenv)", p.read_text())]

    assert readers == ["settings.py"]


def test_modules_are_named_after_what_they_hold() -> None:
    assert [p for p in CODE if p.stem in FORBIDDEN_MODULES] == []


def test_every_module_says_what_part_of_the_story_it_tells() -> None:
    silent = [p for p, module in modules().items() if module.body and not ast.get_docstring(module)]

    assert silent == []


def test_log_events_are_the_ones_dashboards_know() -> None:
    called = r"\blog\.(?:debug|info|warning|error|exception)\(\s*\"([^\"]+)\""
    used = {name for p in CODE for name in re.findall(called, p.read_text())}

    assert used == LOG_EVENTS


def test_the_readme_names_every_variable() -> None:
    readme = (ROOT / "README.md").read_text()

    assert [f for f in Settings.model_fields if f"`{f.upper()}`" not in readme] == []


def test_the_readme_names_tests_that_there_are() -> None:
    there = re.findall(r"def (test_\w+)", "".join(p.read_text() for p in (ROOT / "tests").rglob("test_*.py")))
    named = re.findall(r"`(test_[\w*]+)`", (ROOT / "README.md").read_text())

    assert named
    assert [name for name in named if not fnmatch.filter(there, name)] == []


@pytest.mark.parametrize("lock", sorted((ROOT / "locks").glob("*.txt")), ids=lambda p: p.name)
def test_a_lock_holds_hashes_and_no_addresses(lock: Path) -> None:
    text = lock.read_text()

    assert "--hash=sha256:" in text
    assert not re.search(r"https?://|file:|--index-url|--find-links|--trusted-host", text)


def test_no_two_test_modules_share_a_name() -> None:
    names = [p.name for p in (ROOT / "tests").rglob("test_*.py")]

    assert sorted(names) == sorted(set(names))
