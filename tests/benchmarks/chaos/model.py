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
from tests.orchestra import CHANGES, GENERAL, RUNTIME, part_by

MARKER = re.compile(r"chaos-[a-z]+-end")
JUDGE_TOOL = "decide_commands"
REPORT = {"verdict": "inconclusive", "confidence": "low", "summary": "Nothing stands out."}
TURN_S = (0.4, 1.6)
JUDGE_S = (0.2, 0.5)
SLOW_S = 4.0
SLOW_EVERY = 20
ROLES = (GENERAL, RUNTIME, CHANGES)
"""Who a lead sends: roles that may run commands."""
SHARED = ("list_entities", {})
"""What each of them asks first: it runs once."""
EVIDENCE = re.compile(r"\ba\d+e\d+\.\d+\b")


class Script:
    """Each turn but the last asks for commands that leave a trace; the last hands in a finding or the report.

    A lead plans, then reports what its sub-agents cite, and a verifier holds it. Every answer says the number of its
    request, so that a stored turn tells which request it came from. Who is asked is the incident's marker, with the
    role behind it where that is a sub-agent.
    """

    def __init__(self, *, turns: int, trace: str, log: Path, slowness: float) -> None:
        self._turns = turns
        self._slowness = slowness
        self._trace = trace
        self._log = log.open("a", encoding="utf-8")
        self._mutex = threading.Lock()

    def __call__(self, exchange: Exchange) -> Reply:
        part = part_by(exchange.system, [tool.name for tool in exchange.tools])
        is_judge = [tool.name for tool in exchange.tools] == [JUDGE_TOOL]
        found = next(iter(MARKER.findall(exchange.first_user_text)), "")
        marker = f"{found}/{part}" if part in ROLES else found
        marker, turn = _judged(exchange) if is_judge else (marker, exchange.assistant_turns + 1)
        ways = {"lead": self._lead, "verify": self._verify, "single": self._turn}
        reply = self._judge(exchange, marker) if is_judge else ways.get(part, self._sub_agent)(exchange, marker)
        self._write({
            "number": exchange.number,
            "received_at": exchange.received_at,
            "latency_s": reply.latency_s,
            "purpose": "judge" if is_judge else "verify" if part == "verify" else "rca",
            "marker": marker,
            "turn": turn,
        })  # fmt: skip
        return reply

    def _turn(self, exchange: Exchange, marker: str) -> Reply:
        turn = exchange.assistant_turns + 1
        is_last = turn >= self._turns
        return self._said(exchange, marker, [("submit_report", REPORT)] if is_last else self._commands(marker, turn))

    def _lead(self, exchange: Exchange, marker: str) -> Reply:
        if not exchange.assistant_turns:
            sub_agents = [{"role": role, "purpose": f"what {role} sees"} for role in ROLES]
            plan = {"approach": "fan_out", "reason": "three questions", "sub_agents": sub_agents}
            return self._said(exchange, marker, [("triage", plan)])
        cited = EVIDENCE.findall(exchange.tool_results[-1].text)[:1]
        evidence = [{"evidence_id": i, "quote": None} for i in cited]
        cause = {"entity": "db", "category": "latency", "statement": "It waits.", "evidence": evidence}
        report = {"verdict": "likely", "confidence": "medium", "summary": "It waits.", "root_causes": [cause]}
        return self._said(exchange, marker, [("submit_report", report)])

    def _sub_agent(self, exchange: Exchange, marker: str) -> Reply:
        turn = exchange.assistant_turns + 1
        if turn < self._turns:
            return self._said(exchange, marker, [*self._commands(marker, turn), *([SHARED] if turn == 1 else [])])
        cited = [found for m in exchange.messages if m.role == "tool" for found in EVIDENCE.findall(m.text)]
        finding = {"summary": "It waits.", "strength": "moderate", "evidence": list(dict.fromkeys(reversed(cited)))[:3]}
        return self._said(exchange, marker, [("submit_finding", finding)])

    def _verify(self, exchange: Exchange, marker: str) -> Reply:
        check = {"cause": 1, "entity": "db", "outcome": "holds", "reason": "Nothing speaks against it."}
        return self._said(exchange, marker, [("submit_verification", {"checks": [check]})])

    def _said(self, exchange: Exchange, marker: str, calls: Sequence[tuple[str, dict[str, Any]]]) -> Reply:
        latency_s = self._slowness * _latency_s(f"{marker} {exchange.assistant_turns + 1}", TURN_S)
        return Reply(text=f"request {exchange.number}", tool_calls=calls, latency_s=latency_s)

    def _commands(self, marker: str, turn: int) -> Sequence[tuple[str, dict[str, Any]]]:
        """Ask for one command that the operator allows or that the judge is asked about; every third turn for both."""
        ways = ("allowed", "judged") if turn % 3 == 0 else (("allowed", "judged")[turn % 2],)
        commands = [f"{self._trace} {way} {marker} {turn} {seq}" for seq, way in enumerate(ways, 1)]
        return [("run_command", {"command": command, "purpose": "leave a trace"}) for command in commands]

    def _judge(self, exchange: Exchange, marker: str) -> Reply:
        asked = json.loads(exchange.first_user_text)["commands"]
        reason = f"request {exchange.number}"
        decisions = [{"id": c["id"], "verdict": "allow", "reason": reason} for c in asked]
        latency_s = _latency_s(f"judge {marker} {_judged(exchange)[1]}", JUDGE_S)
        return Reply(tool_calls=[(JUDGE_TOOL, {"decisions": decisions})], latency_s=latency_s)

    def _write(self, entry: dict[str, Any]) -> None:
        with self._mutex:
            self._log.write(json.dumps(entry) + "\n")
            self._log.flush()


def _judged(exchange: Exchange) -> tuple[str, int]:
    """Read whose command is judged and of which turn: `trace judged MARKER TURN SEQ`."""
    *_, marker, turn, _ = json.loads(exchange.first_user_text)["commands"][0]["command"].split()
    return marker, int(turn)


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
