"""The scripted model, a process of its own: it takes its time, and writes down every request it receives.

python -m tests.benchmarks.chaos.model --turns 8 --trace /folder/trace --log requests.jsonl
"""

import argparse
import json
import random
import re
import signal
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tests.model_server import Exchange, ModelServer, Reply

MARKER = re.compile(r"chaos-[a-z]+-end")
JUDGE_TOOL = "decide_commands"
REPORT = {"verdict": "inconclusive", "confidence": "low", "summary": "Nothing stands out."}
TURN_S = (0.4, 1.6)
JUDGE_S = (0.2, 0.5)
SLOW_S = 4.0
SLOW_EVERY = 20


class Script:
    """Each turn but the last asks for commands that leave a trace; the last hands in the report.

    Every answer says the number of its request, so that a stored turn tells which request it came from.
    """

    def __init__(self, *, turns: int, trace: str, log: Path, slowness: float) -> None:
        self._turns = turns
        self._slowness = slowness
        self._trace = trace
        self._log = log.open("a", encoding="utf-8")
        self._mutex = threading.Lock()

    def __call__(self, exchange: Exchange) -> Reply:
        is_judge = [tool.name for tool in exchange.tools] == [JUDGE_TOOL]
        marker = next(iter(MARKER.findall(exchange.first_user_text)), "")
        reply = self._judge(exchange, marker) if is_judge else self._turn(exchange, marker)
        turn = _judged_turn(exchange) if is_judge else exchange.assistant_turns + 1
        self._write({
            "number": exchange.number,
            "received_at": exchange.received_at,
            "latency_s": reply.latency_s,
            "purpose": "judge" if is_judge else "rca",
            "marker": marker,
            "turn": turn,
        })  # fmt: skip
        return reply

    def _turn(self, exchange: Exchange, marker: str) -> Reply:
        turn = exchange.assistant_turns + 1
        text = f"request {exchange.number}"
        latency_s = self._slowness * _latency_s(f"{marker} {turn}", TURN_S)
        if turn >= self._turns:
            return Reply(text=text, tool_calls=[("submit_report", REPORT)], latency_s=latency_s)
        return Reply(text=text, tool_calls=self._commands(marker, turn), latency_s=latency_s)

    def _commands(self, marker: str, turn: int) -> Sequence[tuple[str, dict[str, Any]]]:
        """Ask for one command that the operator allows or that the judge is asked about; every third turn for both."""
        ways = ("allowed", "judged") if turn % 3 == 0 else (("allowed", "judged")[turn % 2],)
        commands = [f"{self._trace} {way} {marker} {turn} {seq}" for seq, way in enumerate(ways, 1)]
        return [("run_command", {"command": command, "purpose": "leave a trace"}) for command in commands]

    def _judge(self, exchange: Exchange, marker: str) -> Reply:
        asked = json.loads(exchange.first_user_text)["commands"]
        reason = f"request {exchange.number}"
        decisions = [{"id": c["id"], "verdict": "allow", "reason": reason} for c in asked]
        latency_s = _latency_s(f"judge {marker} {_judged_turn(exchange)}", JUDGE_S)
        return Reply(tool_calls=[(JUDGE_TOOL, {"decisions": decisions})], latency_s=latency_s)

    def _write(self, entry: dict[str, Any]) -> None:
        with self._mutex:
            self._log.write(json.dumps(entry) + "\n")
            self._log.flush()


def _judged_turn(exchange: Exchange) -> int:
    """Read the turn off the command that is judged: `trace judged MARKER TURN SEQ`."""
    return int(json.loads(exchange.first_user_text)["commands"][0]["command"].split()[-2])


def _latency_s(name: str, bounds: tuple[float, float]) -> float:
    """Take the same time for the same turn of the same incident, now and then a long one."""
    rng = random.Random(name)  # noqa: S311 - to be repeated, not to be secret
    latency_s = rng.uniform(*bounds)
    return round(latency_s + (SLOW_S if bounds is TURN_S and rng.randrange(SLOW_EVERY) == 0 else 0.0), 3)


def main() -> None:
    parser = argparse.ArgumentParser(description="Serve the chaos model on loopback.")
    parser.add_argument("--turns", type=int, required=True)
    parser.add_argument("--trace", required=True)
    parser.add_argument("--slowness", type=float, default=1.0, help="how many times its usual time a turn takes")
    parser.add_argument("--log", type=Path, required=True)
    chosen = parser.parse_args()
    ended = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: ended.set())
    script = Script(turns=chosen.turns, trace=chosen.trace, log=chosen.log, slowness=chosen.slowness)
    with ModelServer(script) as server:
        print(f"listening on {server.port}", flush=True)
        ended.wait()


if __name__ == "__main__":
    main()
