"""Abnormal states in whatever JSON a recorded tool returns: pods, events, monitors, status pages, series.

Nothing here knows one tool from another. The words are those of the Kubernetes API (pod phases, conditions, waiting
reasons, event types), of alert states in common monitors, and of public status pages.
"""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import islice
from statistics import median
from typing import Any

from worker.investigation.offline.natures import Nature, is_worse_when_high, nature_of
from worker.investigation.offline.reading import Record, Result

_BUILT_IN = frozenset(
    {
        "list_entities", "query_metrics", "rank_metric_changes", "search_logs", "rank_log_patterns", "find_traces",
        "rank_edge_latency", "list_changes", "show_topology", "read_artifact", "submit_report", "run_command",
        "query_sql", "http_get", "search_runbooks", "past_incidents", "submit_finding", "triage", "dispatch",
    }
)  # fmt: skip
_READER = "read_artifact"
_NAME_KEYS = (
    "name", "pod_name", "service", "entity", "source_identifier", "db_instance_identifier", "deployment", "resource",
    "component", "provider", "involved_object", "object", "node_name", "host", "id",
)  # fmt: skip
_STATE_KEYS = frozenset(
    {
        "status",
        "state",
        "phase",
        "reason",
        "overall_state",
        "severity",
        "level",
        "health",
        "type",
        "impact",
        "indicator",
    }
)
_SEVERE = re.compile(
    r"oom_?kill|crash_?loop|image_?pull|err_?image|evict|back_?off|not_?ready|outage|critical|fatal|^alert$|alarm"
    r"|firing|^down$|^failed$|failed_?scheduling|failed_?mount|unhealthy",
    re.IGNORECASE,
)
_MILD = re.compile(
    r"warn|error|degrad|unavailable|throttl|time_?out|fail|pending|unknown|killing|incident|investigating|identified"
    r"|partial|pressure|insufficient|exceed",
    re.IGNORECASE,
)
_CALM = re.compile(
    r"^(ok|normal|operational|running|succeeded|completed?|resolved|healthy|active|info|none|no_?data)$", re.IGNORECASE
)
_TROUBLE_IN_WORDS = re.compile(
    r"\b(errors?|exceptions?|fail(?:ed|ure|s)?|fatal|panic|refused|time(?:d)? ?out|out of memory|oomkilled|evicted"
    r"|unavailable|no space|storage[- ]full|deadlock|exhausted|too many|crash(?:ed|ing|loop)?|unhealthy|exceeded)\b",
    re.IGNORECASE,
)
_EXTERNAL = re.compile(r"provider|third.?party|vendor|external", re.IGNORECASE)
_WORD_KEYS = ("message", "summary", "description", "title", "body")
_NEEDED_KEYS = ("desired", "replicas", "expected")
_HAVE_KEYS = ("available", "ready", "ready_replicas", "available_replicas")

_SEVERE_WEIGHT, _MILD_WEIGHT, _WORDS_WEIGHT = 0.7, 0.4, 0.3
_CRASH_LOOP_RESTARTS = 5
"""After five restarts Kubernetes' back-off has reached its ceiling of five minutes."""
_SATURATED_PERCENT = 90.0
"""Where common alert rules (kubernetes-mixin, RDS guidance) call a resource nearly used up."""
_LEAST_POINTS = 6
_LEAST_MOVE = 3.5
"""Robust deviations; Iglewicz and Hoaglin (1993)."""
_MAX_ALARMS = 200


@dataclass(frozen=True)
class Alarm:
    """One abnormal state: `weight` from 0 to 1 says how telling it is."""

    entity: str | None
    words: str
    nature: Nature
    weight: float
    is_external: bool
    evidence_id: str
    quote: str


def find_alarms(record: Record, known: frozenset[str]) -> Iterator[Alarm]:
    """Yield what is abnormal in the results of tools this analyst does not know."""
    for result in record.results:
        if result.is_error or (result.tool in _BUILT_IN and result.tool != _READER):
            continue
        about = f"{result.tool} {record.descriptions.get(result.tool, '')}"
        walker = _Walker(result, known, is_external=bool(_EXTERNAL.search(about)))
        yield from islice((a for part in _parts(result) for a in walker.walk(part, None)), _MAX_ALARMS)


def _parts(result: Result) -> list[Any]:
    """Return the JSON of a result; of one that was shortened, or read in pieces, the objects that are whole."""
    if result.tool == _READER:
        text = "".join(str(row.values["text"]) for row in result.rows("line", "text"))
        return [row.values for row in replace(result, text=text).rows()]
    return [row.values for row in result.rows()] if result.content is None else [result.content]


def is_built_in(tool: str) -> bool:
    return tool in _BUILT_IN


class _Walker:
    def __init__(self, result: Result, known: frozenset[str], *, is_external: bool) -> None:
        self._result, self._known, self._is_external = result, known, is_external

    def walk(self, node: Any, owner: str | None) -> Iterator[Alarm]:
        """Go through the JSON; `owner` is the nearest name above."""
        if isinstance(node, list):
            for item in node:
                yield from self.walk(item, owner)
        if isinstance(node, dict):
            owner = self._owner(node) or owner
            yield from self._judge(node, owner)
            for value in node.values():
                yield from self.walk(value, owner)

    def _judge(self, node: dict[str, Any], owner: str | None) -> Iterator[Alarm]:
        if {"type", "status"} <= node.keys() and str(node["status"]) in {"True", "False", "Unknown"}:
            yield from self._condition(node, owner)
            return
        calm = any(
            _CALM.match(str(node[k])) for k in _STATE_KEYS & node.keys() if k in {"status", "level", "overall_state"}
        )
        if not calm:
            yield from self._states(node, owner)
        yield from self._flags(node, owner)
        yield from self._shortages(node, owner)
        yield from self._series(node, owner)

    def _condition(self, node: dict[str, Any], owner: str | None) -> Iterator[Alarm]:
        """Judge a Kubernetes condition: pressure must not hold, everything else must."""
        kind, holds = str(node["type"]), str(node["status"]) == "True"
        is_harm = re.search(r"pressure|unavailable|failure", kind, re.IGNORECASE) is not None
        if holds == is_harm and str(node.get("reason")) != "PodCompleted":
            words = f"condition {kind} is {node['status']} {node.get('message') or node.get('reason') or ''}"
            yield self._alarm(owner, words, _SEVERE_WEIGHT, quote=str(node.get("message") or kind))

    def _states(self, node: dict[str, Any], owner: str | None) -> Iterator[Alarm]:
        for key in sorted(_STATE_KEYS & node.keys()):
            value = node[key]
            if isinstance(value, str) and value and not _CALM.match(value):
                weight = _SEVERE_WEIGHT if _SEVERE.search(value) else _MILD_WEIGHT if _MILD.search(value) else 0.0
                if weight:
                    message = next((str(node[k]) for k in _WORD_KEYS if node.get(k)), value)
                    yield self._alarm(owner, f"{key} {value}: {message}", weight, quote=message)
                    return
        for key in _WORD_KEYS:
            if isinstance(node.get(key), str) and _TROUBLE_IN_WORDS.search(node[key]):
                yield self._alarm(owner, node[key], _WORDS_WEIGHT, quote=node[key])
                return

    def _flags(self, node: dict[str, Any], owner: str | None) -> Iterator[Alarm]:
        for key, value in node.items():
            text = str(value)
            if key == "ready" and text in {"False", "false", "Unknown"}:
                yield self._alarm(owner, f"{owner} is not ready", _SEVERE_WEIGHT, quote=key)
            elif key.endswith("pressure") and text in {"True", "true"}:
                yield self._alarm(owner, f"{key} on {owner}", _SEVERE_WEIGHT, quote=key)
            elif key in {"restart_count", "restarts"} and _amount(value) >= _CRASH_LOOP_RESTARTS:
                yield self._alarm(owner, f"{owner} restarted {text} times", _SEVERE_WEIGHT, quote=key)

    def _shortages(self, node: dict[str, Any], owner: str | None) -> Iterator[Alarm]:
        needed = next((_amount(node[k]) for k in _NEEDED_KEYS if k in node), 0.0)
        have = min((_amount(node[k]) for k in _HAVE_KEYS if k in node), default=needed)
        if have < needed:
            yield self._alarm(owner, f"{owner}: {have:g} of {needed:g} replicas available", _SEVERE_WEIGHT, quote="")

    def _series(self, node: dict[str, Any], owner: str | None) -> Iterator[Alarm]:
        """Judge values in time order: nearly used up, or far from where they began."""
        values = node.get("values")
        label = str(node.get("metric_name") or node.get("metric") or node.get("label") or node.get("name") or "")
        if not isinstance(values, list) or len(values) < _LEAST_POINTS or not label:
            return
        points = [float(v) for v in values if isinstance(v, int | float)]
        if len(points) < _LEAST_POINTS or nature_of(label) is Nature.TRAFFIC:
            return
        moved = _worsening(label, points)
        is_percent = "percent" in str(node.get("unit", label)).lower()
        is_full = is_percent and is_worse_when_high(label) and max(points) >= _SATURATED_PERCENT
        if is_full or moved:
            words = f"{label} went from {points[0]:g} to {points[-1]:g} (largest {max(points):g})"
            yield self._alarm(owner, words, _SEVERE_WEIGHT if is_full else _MILD_WEIGHT, quote=label)

    def _owner(self, node: dict[str, Any]) -> str | None:
        for key in _NAME_KEYS:
            value = node.get(key)
            value = value.get("name") if isinstance(value, dict) else value
            if isinstance(value, str) and value and not isinstance(node.get("values"), list):
                return self._folded(value)
        return None

    def _folded(self, name: str) -> str:
        """Return the workload a pod's generated name belongs to, where that workload is known."""
        bare = name.rsplit("/", 1)[-1]
        owners = [k for k in self._known if bare == k or bare.startswith(f"{k}-")]
        return max(owners, key=len) if owners else bare

    def _alarm(self, owner: str | None, words: str, weight: float, *, quote: str) -> Alarm:
        shown = json.dumps(quote, ensure_ascii=False)[1:-1][:300]
        return Alarm(
            entity=owner,
            words=words.strip()[:400],
            nature=nature_of(words),
            weight=weight,
            is_external=self._is_external,
            evidence_id=self._result.evidence_id,
            quote=shown if shown and shown in self._result.text else "",
        )


def _worsening(label: str, points: list[float]) -> bool:
    """Say whether the last third lies far from the first, in the harmful direction and twice as high or half."""
    third = len(points) // 3
    early, late = points[:third], points[-third:]
    usual = median(early)
    spread = max(1.4826 * median(abs(v - usual) for v in early), 0.05 * abs(usual), 1e-9)
    move = (median(late) - usual) * (1 if is_worse_when_high(label) else -1)
    return move / spread > _LEAST_MOVE and abs(move) >= 0.5 * abs(usual)


def _amount(value: Any) -> float:
    try:
        return float(value)
    except (TypeError, ValueError):
        return 0.0
