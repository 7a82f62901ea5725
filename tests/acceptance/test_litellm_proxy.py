"""LiteLLM's proxy, a program of somebody else's, as the OpenAI-compatible gateway: an investigation goes through it."""

import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

from tests.acceptance.system import Provider, System, reports, runs, wait_for
from tests.servers import free_port
from worker.domain.states import InvestigationStatus
from worker.ops.children import tied_to_parent
from worker.storage.tables import InvestigationRow

Install = Callable[..., System]
MASTER_KEY = "sk-canary-litellm-4b8e"
MODEL = "openai-compatible/anything"
BINARY = Path(__file__).parents[2] / ".venv-litellm" / "bin" / "litellm"
START_S = 90


@pytest.fixture(scope="module")
def proxy(provider: Provider, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Run the proxy in an environment of its own; what is behind it is the scripted model. Yields its address."""
    if not BINARY.exists():
        if os.environ.get("RCA_TEST_REQUIRE_SERVICES"):
            pytest.fail("LiteLLM's proxy is not installed; `make test` does it")
        pytest.skip("LiteLLM's proxy is not installed; `make test` does it")
    folder = tmp_path_factory.mktemp("litellm")
    config = folder / "config.yaml"
    behind = {"model": "openai/scripted", "api_base": f"http://127.0.0.1:{provider.port}/v1", "api_key": "none"}
    told = ", ".join(f'{name}: "{value}"' for name, value in behind.items())
    config.write_text(f'model_list: [{{model_name: "anything", litellm_params: {{{told}}}}}]\n')
    port = free_port()
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(folder),
        "LITELLM_MASTER_KEY": MASTER_KEY,
        "LITELLM_LOCAL_MODEL_COST_MAP": "True",
    }
    argv = [*tied_to_parent("TERM"), str(BINARY), "--config", str(config), "--host", "127.0.0.1", "--port", str(port)]
    log = folder / "litellm.log"
    with log.open("wb") as output:
        process = subprocess.Popen(argv, stdout=output, stderr=output, env=environment, cwd=folder)
    try:
        wait_for(lambda: _is_alive(port), within_s=START_S, otherwise=lambda: log.read_text(errors="replace")[-3000:])
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(timeout=20)


def _is_alive(port: int) -> bool:
    try:
        return httpx.get(f"http://127.0.0.1:{port}/health/liveliness", timeout=2).is_success
    except httpx.HTTPError:
        return False


def through(proxy: str, key: str) -> dict[str, str]:
    return {
        "LLM_OPENAI_COMPATIBLE_BASE_URL": proxy,
        "LLM_OPENAI_COMPATIBLE_API_KEY": key,
        "RCA_MODEL": MODEL,
        "GUARDRAILS_LLM_MODEL": MODEL,
    }


def test_an_investigation_is_completed_through_it_with_tools_and_judge(
    install: Install, proxy: str, tmp_path: Path
) -> None:
    marker = "by way of a proxy"
    system = install(**through(proxy, MASTER_KEY))
    system.provider.play(marker, [runs("uptime", f"echo ran >> {tmp_path / 'ran'}"), reports()])
    system.start_worker()

    investigation = system.open(marker)
    report = system.wait_until_completed(investigation)

    calls = system.tool_calls(investigation)
    assert calls["e1.1"].status == "succeeded"
    assert calls["e1.2"].layer == "judge"
    assert report["usage"][0]["model"] == MODEL
    assert report["usage"][0]["input_tokens"] == 200
    (first, second) = system.provider.exchanges(marker)
    assert first.model == "scripted"  # the proxy's name for what is behind it
    assert [tool.name for tool in first.tools] == [tool.name for tool in second.tools]


def test_a_key_that_it_does_not_take_is_named_as_such(install: Install, proxy: str) -> None:
    system = install(**through(proxy, "sk-wrong"))
    system.start_worker()

    investigation = system.open("with a wrong key")

    def ended() -> InvestigationRow | None:
        with system.services.database.transaction() as session:
            row = session.get_one(InvestigationRow, investigation)
        return row if row.status == InvestigationStatus.FAILED else None

    row = wait_for(ended, within_s=30, otherwise=lambda: system.processes[0].log()[-2000:])
    assert row.failure_class == "provider_auth"
