"""7.7: no child process and no tool inherits a provider's key from the environment. There are no MCP servers here."""

import json
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Literal, get_args

import pytest
from pydantic import SecretStr

from tests.builders import STARTED_AT
from tests.servers import free_port
from worker.cli.stack import Stack, running_stack
from worker.cli.upfile import read_up_file
from worker.domain.incident import TimeWindow
from worker.domain.tooling import ToolContext
from worker.guardrails.policy import Policy
from worker.model_settings import ModelSettings
from worker.settings import Settings, is_secret
from worker.tools.command import RunCommand
from worker.tools.execution import Completed, Launch, Limits, run_pipeline, run_shell
from worker.tools.sandbox import find_cage

ROOT = Path(__file__).parents[2]
LIMITS = Limits(timeout_s=20)
CANARY = "canary-of-7-7"
NAMED_ELSEWHERE = ("OPENAI_EAST_API_KEY", "OPENAI_EAST_BASE_URL", "A_KEY_THAT_THE_FILE_NAMES")
"""Variables that make an endpoint by their name, or that RCA_LLM_CONFIG names."""
OF_PROVIDERS = {name.upper() for name in ModelSettings.model_fields} | {*NAMED_ELSEWHERE}
SECRET = {name.upper() for name in Settings.model_fields if is_secret(name)}
ALL = OF_PROVIDERS | SECRET


@pytest.fixture
def _all_are_set(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ALL:
        monkeypatch.setenv(name, f"{CANARY}-{name}")


@pytest.mark.usefixtures("_all_are_set")
@pytest.mark.parametrize("mode", ["none", "auto"])
def test_7_7_a_command_a_pipeline_and_a_shell_see_no_variable_of_a_provider(mode: Literal["none", "auto"]) -> None:
    cage = find_cage(mode)

    def shell_of(text: str) -> Completed:
        return run_shell(text, limits=LIMITS, cage=cage)

    def pipeline_of(*argvs: tuple[str, ...]) -> Completed:
        return run_pipeline([Launch(argv) for argv in argvs], limits=LIMITS, cage=cage)

    seen = {
        "a program": pipeline_of(("env",)),
        "the end of a pipeline": pipeline_of(("env",), ("sort",), ("cat",)),
        "programs behind the first": pipeline_of(("true",), ("env",), ("cat",)),
        "a shell": shell_of("env; export -p; set"),
        "a shell's pipeline": shell_of("(env | cat) && sh -c 'env' | sort"),
    }

    for who, completed in seen.items():
        assert "PATH=" in completed.stdout, who
        assert names_in(completed.stdout) == set(), who
        assert CANARY not in completed.stdout + completed.stderr, who


@pytest.mark.usefixtures("_all_are_set")
@pytest.mark.parametrize(
    "command",
    [
        "awk 'BEGIN { for (name in ENVIRON) print name \"=\" ENVIRON[name] }'",
        "awk 'BEGIN { for (name in ENVIRON) print name \"=\" ENVIRON[name] }' | sort",
        "export -p | cat; declare -x",
    ],
)
def test_7_7_nor_does_what_a_model_runs_once_it_is_allowed(command: str) -> None:
    window = TimeWindow(start=STARTED_AT, end=STARTED_AT)
    context = ToolContext(window=window, deadline=time.monotonic() + 20)

    told = json.loads(RunCommand(Policy()).run({"command": command, "purpose": "look"}, context).text)

    assert "HOME" in told["stdout"]
    assert names_in(told["stdout"]) == set()
    assert CANARY not in str(told)


def names_in(said: str) -> set[str]:
    """Return the variables of ours that a listing of an environment holds."""
    return ALL & set(re.findall(r"\b[A-Z][A-Z0-9_]+(?==)", said))


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """Run the whole product with a key of every provider."""
    file = tmp_path_factory.mktemp("config") / "llm.yaml"
    file.write_text('providers: {own: {type: anthropic, api_key: "env:A_KEY_THAT_THE_FILE_NAMES"}}\n')
    keys = {name.upper() for name in ModelSettings.model_fields if _is_key(name)} - {"VERTEX_AI_SERVICE_ACCOUNT_JSON"}
    given = {name: f"{CANARY}-{name}" for name in (*keys, "OPENAI_EAST_API_KEY", "A_KEY_THAT_THE_FILE_NAMES")}
    given |= {"RCA_LLM_CONFIG": str(file), "RCA_MODEL": "offline/analyst", "RCA_GRACE_S": "3"}
    given |= {"RCA_API_TOKEN": f"{CANARY}-token", "VERTEX_AI_SERVICE_ACCOUNT_JSON": json.dumps({"private_key": CANARY})}
    ports = Settings(rca_http_port=free_port(), rca_flower_port=free_port(), redis_url=None, database_url=None)
    with running_stack(ports, tmp_path_factory.mktemp("home"), **given) as stack:
        yield stack


def _is_key(name: str) -> bool:
    annotation = ModelSettings.model_fields[name].annotation
    return SecretStr in {annotation, *get_args(annotation)}


def environment_of(pid: int | None) -> str:
    return Path(f"/proc/{pid}/environ").read_text().replace("\0", "\n")


def test_7_7_redis_and_flower_are_started_without_a_key(stack: Stack) -> None:
    up = read_up_file(stack.home)
    assert up is not None
    environments = {name: environment_of(pid) for name, pid in up.processes.items()}

    assert CANARY in environments["worker-1"]  # who calls models has them
    others = {name: said for name, said in environments.items() if name in {"redis", "flower"}}
    assert set(others) == {"redis", "flower"}
    for name, said in others.items():
        assert CANARY not in said, name
        assert names_in(said) - {"REDIS_URL"} == set(), name


def test_7_7_whoever_starts_a_process_is_known_here() -> None:
    starts = re.compile(r"\bPopen\(|subprocess\.(run|call|check_\w+)\(|os\.(exec|spawn|posix_spawn|system|popen)\w*\(")
    found = {str(p.relative_to(ROOT)) for p in (ROOT / "worker").rglob("*.py") if starts.search(p.read_text())}

    assert found == {
        "worker/cli/stack.py",
        "worker/cli/supervisor.py",
        "worker/tools/execution.py",
        "worker/tools/sandbox.py",
    }
