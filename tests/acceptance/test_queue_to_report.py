"""From a message on the queue to a stored report, over real processes."""

import json
import subprocess
from pathlib import Path
from uuid import uuid4

import pytest

from tests.acceptance.conftest import Install
from tests.acceptance.system import ANTHROPIC_MODEL, OPENAI_MODEL, System, reports, runs, wait_for
from tests.served import ANTHROPIC, OPENAI
from worker.tools.sandbox import find_cage


@pytest.mark.parametrize(
    ("model", "wire"),
    [
        (OPENAI_MODEL, OPENAI),
        (ANTHROPIC_MODEL, ANTHROPIC),
        ("openai/gpt-5-mini", "openai_responses"),
        ("ollama/qwen3:8b", "ollama_chat"),
        ("bedrock/us.anthropic.claude-haiku-4-5-20251001-v1:0", "bedrock_converse"),
    ],
)
def test_a_message_becomes_an_investigation_within_a_second_and_a_report_in_three_turns(
    system: System, model: str, wire: str
) -> None:
    marker = f"three turns over {wire}"
    system.provider.play(marker, [runs("uname -r"), runs("uptime"), reports(summary="The kernel is fine.")])
    event = json.dumps({"title": marker, "model": model, "started_at": "2026-03-01T12:00:00Z"})
    port = system.redis_url.removesuffix("/0").rsplit(":", 1)[1]

    subprocess.run(
        ["redis-cli", "-p", port, "XADD", "rca:incidents", "*", "event", event], check=True, capture_output=True
    )
    found = wait_for(lambda: system.find(marker), within_s=1, otherwise=lambda: system.processes[0].log()[-3000:])
    report = system.wait_until_completed(found[0].id)

    assert report["summary"] == "The kernel is fine."
    assert [e["id"] for e in report["evidence"]] == ["e1.1", "e2.1"]
    assert report["turns"] == 3
    assert system.provider.turns(marker) == {1: 1, 2: 1, 3: 1}
    assert {e.wire for e in system.provider.exchanges(marker)} == {wire}


def test_a_command_that_no_rule_decides_runs_after_the_judge_allowed_it(system: System) -> None:
    marker = f"judged {uuid4().hex}"
    system.provider.play(marker, [runs(f"factor 12; echo {marker}"), reports()])

    investigation = system.open(marker)
    system.wait_until_completed(investigation)

    call = system.tool_calls(investigation)["e1.1"]
    assert (call.status, call.layer) == ("succeeded", "judge")
    assert system.provider.judge_calls(marker) == 1


@pytest.mark.skipif(find_cage("auto") is None, reason="bubblewrap is not installed, or the kernel gives no namespaces")
def test_a_judge_that_is_wrong_changes_no_file_where_commands_run_in_the_sandbox(install: Install) -> None:
    marker = f"misjudged {uuid4().hex}"
    system, target = install(RCA_SANDBOX="auto"), Path(__file__).parent / uuid4().hex
    system.start_worker()
    system.provider.play(marker, [runs(f"echo {marker} >> {target}"), reports()])

    investigation = system.open(marker)
    system.wait_until_completed(investigation)

    call = system.tool_calls(investigation)["e1.1"]
    assert (call.status, call.layer) == ("succeeded", "judge")
    assert "Read-only file system" in system.provider.exchanges(marker)[-1].tool_results[-1].text
    assert not target.exists()
