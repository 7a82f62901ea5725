"""A small shop whose database slows down at noon, and a way to ask about it."""

import json
import math
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.cases import CaseRows, write_case
from worker.domain.incident import IncidentEvent
from worker.domain.tooling import ToolContext, ToolOutput
from worker.settings import Settings
from worker.tools.toolbox import Toolbox, build_toolbox
from worker.tools.window import incident_window

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)

Ask = Callable[..., dict[str, Any]]


def at(minutes: float) -> str:
    """Minutes after noon as text."""
    return (NOON + timedelta(minutes=minutes)).isoformat()


def metric_rows() -> list[tuple[Any, ...]]:
    """One hour before noon, twenty minutes after; db latency times ten from noon on, a counter, a spike each 7 min."""
    rows: list[tuple[Any, ...]] = []
    for minute in range(-60, 20):
        wave = 1 + 0.1 * math.sin(minute)
        is_broken = minute >= 0
        rows += [
            (at(minute), "db", "latency_s", wave * (1.0 if is_broken else 0.1)),
            (at(minute), "db", "queries_total", 1000 + 60 * (minute + 60)),
            (at(minute), "api", "latency_s", 0.2 * wave),
            (at(minute), "api", "memory_mib", 512 + (1 if is_broken else 0)),
            (at(minute), "api", "spiky_s", 9.0 if minute % 7 == 0 else 0.1 * wave),
        ]
    return rows


def log_rows() -> list[tuple[Any, ...]]:
    rows: list[tuple[Any, ...]] = [
        (at(m), "api", "info", f"GET /api/cart took {m + 100} ms", f"t{m}", None) for m in range(-60, 20)
    ]
    rows += [(at(m + 0.5), "db", "error", f"lock wait of 10.0.0.{m} timed out", None, None) for m in range(20)]
    return rows


def trace_rows() -> list[tuple[Any, ...]]:
    rows: list[tuple[Any, ...]] = []
    for minute in range(-30, 20):
        query_us = 900_000 if minute >= 0 else 10_000
        status = "ERROR" if minute >= 10 else None
        trace = f"t{minute}"
        rows += [
            (trace, "1", None, "api", "GET /cart", at(minute), query_us + 20_000, status),
            (trace, "2", "1", "db", "SELECT", at(minute), query_us, None),
        ]
    return rows


CHANGES = [
    {
        "id": "c1",
        "ts": at(-600),
        "entity": "db",
        "kind": "config",
        "author": "ann",
        "title": "pool",
        "diff": "x" * 5000,
    },
    {"id": "c2", "ts": at(-10), "entity": None, "kind": "commit", "author": None, "title": "tidy", "diff": None},
    {"id": "c3", "ts": at(-5), "entity": "api", "kind": "deploy", "author": None, "title": "v2", "diff": None},
]

RECORDINGS = {
    "tools": [{"name": "pods", "description": "Pods.", "parameters": {"type": "object", "properties": {}}}],
    "calls": [{"tool": "pods", "arguments": {"b": 1, "a": "x"}, "output": "two pods"}],
}

SHOP = CaseRows(
    metrics=metric_rows(),
    logs=log_rows(),
    traces=trace_rows(),
    changes=CHANGES,
    topology={"nodes": ["api", "db", "web"], "edges": [["web", "api"], ["api", "db"]]},
    recordings=RECORDINGS,
)


@pytest.fixture(scope="session")
def shop_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("recorded")
    write_case(root / "shop", SHOP)
    return root


def event(case: str | None = "shop", **labels: str) -> IncidentEvent:
    named = {"recorded_case": case} if case is not None else {}
    return IncidentEvent(title="slow", started_at=NOON, labels=named | labels)


@pytest.fixture
def toolbox(shop_root: Path) -> Toolbox:
    return build_toolbox(event(), settings=Settings(rca_recorded_root=shop_root))


def context() -> ToolContext:
    return ToolContext(window=incident_window(event(), Settings()), deadline=time.monotonic() + 30)


@pytest.fixture
def run(toolbox: Toolbox) -> Callable[..., ToolOutput]:
    return lambda name, **arguments: toolbox.run(name, arguments, context())


@pytest.fixture
def ask(run: Callable[..., ToolOutput]) -> Ask:
    """Run a tool over the shop and return its JSON object."""
    return lambda name, **arguments: json.loads(run(name, **arguments).text)
