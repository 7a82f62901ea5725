"""What one model call costs its caller beside plain HTTP: our client, the vendor's library, and two that wrap many.

Run with `make bench-client`. Each asks the same thing (a turn with ten tools) of the same server on loopback, which
answers at once, in a process and an environment of its own; processor time is that of the asking process alone.
"""

import argparse
import importlib
import json
import os
import resource
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from statistics import median
from typing import Any

ROOT = Path(__file__).parents[2]
MODEL, KEY = "gpt-4.1-mini", "a-key-that-opens-nothing"
TOOLS = [
    {
        "name": f"query_{number}",
        "description": f"Query source number {number} over a window of time.",
        "parameters": {
            "type": "object",
            "properties": {"name": {"type": "string"}, "start": {"type": "string"}, "end": {"type": "string"}},
            "required": ["name"],
        },
    }
    for number in range(10)
]
SYSTEM, ASKED = "You explain incidents.", "The checkout is slow. " * 40
THREADS, CALLS, ROUNDS = (1, 32, 128), 1500, 3
ELSEWHERE = {"pydantic-ai": "pydantic-ai-slim[openai]", "litellm": "litellm"}
"""What is installed into an environment of its own."""

Ask = Callable[[], object]
SERVER = """
import sys; sys.path.insert(0, {root!r})
from tests.model_server import ModelServer, Reply
reply = Reply(text="Let me look.", tool_calls=[("query_1", {{"name": "p99"}})])
server = ModelServer(lambda _: reply)
print(server.port, flush=True)
sys.stdin.read()
"""


def _body() -> dict[str, Any]:
    messages = [{"role": "system", "content": SYSTEM}, {"role": "user", "content": ASKED}]
    tools = [{"type": "function", "function": tool} for tool in TOOLS]
    return {"model": MODEL, "messages": messages, "tools": tools, "tool_choice": "auto"}


def plain_httpx(url: str) -> Ask:
    httpx = importlib.import_module("httpx")
    client = httpx.Client(timeout=30, limits=httpx.Limits(max_connections=200, max_keepalive_connections=200))
    body, headers = _body(), {"authorization": f"Bearer {KEY}"}
    return lambda: client.post(f"{url}/chat/completions", json=body, headers=headers).json()["choices"]


def ours(url: str) -> Ask:
    talk = importlib.import_module("worker.domain.conversation")
    settings = importlib.import_module("worker.settings").Settings(openai_api_key=KEY)
    client = importlib.import_module("worker.llm.client").ProviderClient(settings)
    told = (talk.SystemMessage(text=SYSTEM), talk.UserMessage(text=ASKED))
    request = talk.ModelRequest(messages=told, tools=tuple(talk.ToolDefinition(**tool) for tool in TOOLS))
    where = {"wire": "openai_chat", "base_url": url, "credential_ref": "env:OPENAI_API_KEY"}
    route = talk.Route(provider="openai", model=MODEL, **where)
    return lambda: client.ask(request, route=route, timeout_s=30).message.tool_requests[0]


def openai_library(url: str) -> Ask:
    client = importlib.import_module("openai").OpenAI(api_key=KEY, base_url=url, max_retries=0)
    body = _body()
    return lambda: client.chat.completions.create(**body).choices[0]


def pydantic_ai(url: str) -> Ask:
    direct = importlib.import_module("pydantic_ai.direct")
    told = importlib.import_module("pydantic_ai.messages")
    models = importlib.import_module("pydantic_ai.models")
    openai = importlib.import_module("pydantic_ai.models.openai")
    providers = importlib.import_module("pydantic_ai.providers.openai")
    definition = importlib.import_module("pydantic_ai.tools").ToolDefinition
    tools = [
        definition(name=t["name"], description=t["description"], parameters_json_schema=t["parameters"]) for t in TOOLS
    ]
    parameters = models.ModelRequestParameters(function_tools=tools)
    request = [told.ModelRequest(parts=[told.SystemPromptPart(SYSTEM), told.UserPromptPart(ASKED)])]
    own = threading.local()  # its connections belong to the event loop of one thread

    def ask() -> object:
        if not hasattr(own, "model"):
            client = importlib.import_module("openai").AsyncOpenAI(base_url=url, api_key=KEY, max_retries=0)
            provider = providers.OpenAIProvider(openai_client=client)
            own.model = openai.OpenAIChatModel(MODEL, provider=provider)
        return direct.model_request_sync(own.model, request, model_request_parameters=parameters)

    return ask


def litellm(url: str) -> Ask:
    library = importlib.import_module("litellm")
    body = _body() | {"model": f"openai/{MODEL}"}
    return lambda: library.completion(**body, api_base=url, api_key=KEY, num_retries=0).choices[0]


CLIENTS: dict[str, Callable[[str], Ask]] = {
    "httpx": plain_httpx,
    "ours": ours,
    "openai": openai_library,
    "pydantic-ai": pydantic_ai,
    "litellm": litellm,
}


def measure(name: str, url: str, threads: int) -> dict[str, float]:
    """Ask so often with so many threads; return milliseconds a call, of processor and of wall, and what it weighs."""
    before = time.process_time()
    ask = CLIENTS[name](url)
    ask()
    begun_s = time.process_time() - before
    calls = max(CALLS // (10 if threads == 1 else 1), threads)
    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(lambda _: ask(), range(threads * 2)))  # connections are open then
        started, used = time.perf_counter(), time.process_time()
        list(pool.map(lambda _: ask(), range(calls)))
        wall_s, cpu_s = time.perf_counter() - started, time.process_time() - used
    peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {"cpu_ms": cpu_s / calls * 1000, "wall_ms": wall_s / calls * 1000, "begun_s": begun_s, "peak_mb": peak_mb}


def python_of(name: str, folder: Path) -> Path:
    """Return an interpreter that has this client: ours, or one of its own."""
    if name not in ELSEWHERE:
        return Path(sys.executable)
    subprocess.run([sys.executable, "-m", "venv", folder / name], check=True)
    python = folder / name / "bin" / "python"
    subprocess.run([python, "-m", "pip", "install", "--quiet", ELSEWHERE[name]], check=True, stderr=subprocess.DEVNULL)
    return python


def run_apart(python: Path, name: str, url: str, threads: int) -> dict[str, float]:
    argv = [python, __file__, "--client", name, "--url", url, "--threads", str(threads)]
    local = {"LITELLM_LOCAL_MODEL_COST_MAP": "True"}  # else it first looks for prices on the internet
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "HOME": tempfile.gettempdir(), **local}
    done = subprocess.run(argv, capture_output=True, text=True, env=environment, timeout=600, check=True)
    read: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return read


def compare() -> None:
    server = subprocess.Popen(
        [sys.executable, "-c", SERVER.format(root=str(ROOT))], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert server.stdout
    url = f"http://127.0.0.1:{int(server.stdout.readline())}/v1"
    try:
        with tempfile.TemporaryDirectory(prefix="rca-bench-") as folder:
            pythons = {name: python_of(name, Path(folder)) for name in CLIENTS}
            for threads in THREADS:
                print_table(
                    threads, {n: [run_apart(p, n, url, threads) for _ in range(ROUNDS)] for n, p in pythons.items()}
                )
    finally:
        server.kill()
        server.communicate()


def print_table(threads: int, found: dict[str, list[dict[str, float]]]) -> None:
    middle = {name: {key: median(one[key] for one in runs) for key in runs[0]} for name, runs in found.items()}
    plain = middle["httpx"]["cpu_ms"]
    print(f"{threads} threads, medians of {ROUNDS}: ms of processor a call, over httpx, ms of wall, s to begin, MB")
    for name, one in middle.items():
        over = one["cpu_ms"] - plain
        print(
            f"  {name:<12} {one['cpu_ms']:6.2f}  {over:+6.2f}  {one['wall_ms']:6.2f}"
            f"  {one['begun_s']:5.2f}  {one['peak_mb']:5.0f}"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--client", choices=CLIENTS)
    parser.add_argument("--url", default="")
    parser.add_argument("--threads", type=int, default=1)
    given = parser.parse_args()
    if given.client:
        print(json.dumps(measure(given.client, given.url, given.threads)))
    else:
        compare()


if __name__ == "__main__":
    main()
