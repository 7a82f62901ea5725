import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from pathlib import Path
from random import Random
from statistics import median
from typing import Any

import duckdb
import pytest

from worker.domain.incident import IncidentEvent
from worker.evaluation.generator import FaultKind, Truth, generate_case
from worker.evaluation.generator_faults import Fault
from worker.evaluation.generator_flow import moment_states
from worker.evaluation.generator_shop import Shop, build_shop

SCHEMAS = {
    "metrics": ["ts", "entity", "metric", "value"],
    "logs": ["ts", "entity", "level", "message", "trace_id", "span_id"],
    "traces": [
        "trace_id", "span_id", "parent_span_id", "entity", "operation", "start_ts", "duration_us", "status",
    ],
}  # fmt: skip


@dataclass(frozen=True)
class Made:
    folder: Path
    truth: Truth

    @property
    def event(self) -> IncidentEvent:
        return IncidentEvent.model_validate_json((self.folder / "incident.json").read_text())

    def json(self, name: str) -> Any:
        return json.loads((self.folder / name).read_text())

    def sql(self, query: str, name: str, *values: object) -> list[tuple[Any, ...]]:
        """Run a query whose first parameter is the file of this name."""
        with duckdb.cursor() as connection:
            return connection.execute(query, [str(self.folder / name), *values]).fetchall()


Make = Callable[[int, FaultKind | None], Made]


@pytest.fixture(scope="module")
def make(tmp_path_factory: pytest.TempPathFactory) -> Make:
    """Return a function that makes each case once: that takes longer than any look at it."""

    @cache
    def generate(seed: int, kind: FaultKind | None) -> Made:
        folder = tmp_path_factory.mktemp("case")
        return Made(folder, generate_case(folder, seed=seed, kind=kind))

    return generate


@pytest.fixture(params=[*FaultKind, None])
def made(request: pytest.FixtureRequest, make: Make) -> Made:
    return make(3, request.param)


def shop_of(seed: int) -> Shop:
    return build_shop(Random(seed))  # noqa: S311 - an invented shop, nothing secret


def test_a_case_has_every_file_in_the_recorded_format(made: Made) -> None:
    for name, columns in present(made).items():
        described = made.sql("describe select * from read_parquet(?)", f"{name}.parquet")
        assert [column[0] for column in described] == columns
        assert made.sql("select count(*) from read_parquet(?)", f"{name}.parquet")[0][0] > 100
    assert {c["kind"] for c in made.json("changes.json")} <= {"deploy", "commit", "flag", "config"}


def present(made: Made) -> dict[str, list[str]]:
    return {name: columns for name, columns in SCHEMAS.items() if (made.folder / f"{name}.parquet").exists()}


def test_some_cases_lack_logs_or_traces_and_none_lacks_metrics(make: Make) -> None:
    cases = [make(seed, FaultKind.NETWORK_DELAY) for seed in range(3, 6)]
    found = [{file.name for file in case.folder.iterdir()} for case in cases]

    assert all("metrics.parquet" in files for files in found)
    assert {{"logs.parquet", "traces.parquet"} <= files for files in found} == {True, False}


def test_a_case_is_small(made: Made) -> None:
    assert sum(file.stat().st_size for file in made.folder.iterdir()) < 1_000_000


def test_the_entry_alerts_and_never_the_culprit(made: Made) -> None:
    callees = {callee for _, callee in made.json("topology.json")["edges"]}

    assert made.event.service not in callees
    assert made.event.service != made.truth.culprit


def test_nothing_in_the_alert_names_the_cause(made: Made) -> None:
    words = (made.folder / "incident.json").read_text()

    assert made.truth.culprit is None or made.truth.culprit not in words
    assert made.truth.kind is None or made.truth.kind not in words


def test_the_topology_has_no_cycle_and_the_size_of_a_shop(made: Made) -> None:
    topology = made.json("topology.json")
    place = {name: index for index, name in enumerate(topology["nodes"])}

    assert all(place[caller] < place[callee] for caller, callee in topology["edges"])
    assert 6 <= len(topology["nodes"]) <= 16


def test_an_innocent_deploy_lies_near_the_onset(made: Made) -> None:
    near = [c for c in made.json("changes.json") if c["kind"] == "deploy" and c["entity"] != made.truth.culprit]

    assert near


def test_the_alert_fires_after_the_onset_while_there_is_data(made: Made) -> None:
    started_at = made.event.started_at
    assert started_at is not None
    if made.truth.onset is None:
        return
    assert 0 <= (started_at - made.truth.onset).total_seconds() < 1260


def test_the_same_seed_makes_the_same_case_and_another_one_another(make: Make, tmp_path: Path) -> None:
    one, other = make(3, FaultKind.BAD_DEPLOY), make(11, FaultKind.BAD_DEPLOY)

    again = Made(tmp_path, generate_case(tmp_path, seed=3, kind=FaultKind.BAD_DEPLOY))

    assert one.truth == again.truth != other.truth
    assert one.event == again.event != other.event


def test_a_false_alarm_is_the_healthy_twin_of_the_faults(make: Make) -> None:
    twin, fault = make(3, None), make(3, FaultKind.CPU_SATURATION)

    assert twin.truth == Truth("no_incident", None, None, None)
    assert twin.json("topology.json") == fault.json("topology.json")


def test_a_bad_deploy_is_among_the_changes_just_before_its_onset(make: Make) -> None:
    case = make(11, FaultKind.BAD_DEPLOY)
    assert case.truth.onset is not None

    guilty = [c for c in case.json("changes.json") if c["entity"] == case.truth.culprit]

    assert 0 <= (case.truth.onset - datetime.fromisoformat(guilty[-1]["ts"])).total_seconds() < 60


def test_a_saturated_processor_shows_in_its_own_metric(make: Make) -> None:
    case = make(3, FaultKind.CPU_SATURATION)
    assert case.truth.onset is not None
    query = "select value, epoch(ts) from read_parquet(?) where entity = ? and metric like '%cpu%'"
    rows = case.sql(query, "metrics.parquet", case.truth.culprit)
    settled = case.truth.onset.timestamp() + 60

    before, after = ([v for v, at in rows if (at >= settled) is side] for side in (False, True))

    assert median(after) > median(before) + 30


@pytest.mark.parametrize("kind", list(FaultKind))
def test_a_fault_reaches_the_entry_and_leaves_the_uninvolved_alone(kind: FaultKind) -> None:
    shop = shop_of(21)
    culprit = next(n for n in reversed(shop.served) if shop.nodes[n].is_store or kind is not FaultKind.POOL_EXHAUSTION)
    fault = Fault(kind, culprit, onset_s=0, strength=8)

    healthy = moment_states(shop, None, at_s=280, load=shop.rate_rps)
    broken = moment_states(shop, fault, at_s=280, load=shop.rate_rps)

    entry = shop.entry
    assert (broken[entry].latency_ms, broken[entry].error_share) > (healthy[entry].latency_ms, 0) or (
        broken[entry].error_share > healthy[entry].error_share
    )
    assert broken[shop.batch] == healthy[shop.batch]


def test_waiting_shrinks_in_proportion_on_its_way_up() -> None:
    shop = shop_of(22)
    culprit = shop.served[-1]
    healthy = moment_states(shop, None, at_s=100, load=shop.rate_rps)
    broken = moment_states(shop, Fault(FaultKind.CPU_SATURATION, culprit, 0, 2), at_s=100, load=shop.rate_rps)

    ratio = {n: broken[n].latency_ms / healthy[n].latency_ms for n in shop.served}

    assert ratio[culprit] == max(ratio.values())
    assert all(r >= 0.999 for r in ratio.values())


def test_retries_raise_the_traffic_of_a_failing_callee() -> None:
    seeds = (shop_of(seed) for seed in range(50))
    shop, edge = next((s, e) for s in seeds for e in s.edges if e.retries)
    fault = Fault(FaultKind.BAD_DEPLOY, edge.callee, 0, 4)

    healthy = moment_states(shop, None, at_s=600, load=shop.rate_rps)
    broken = moment_states(shop, fault, at_s=600, load=shop.rate_rps)

    assert broken[edge.callee].rate_rps > healthy[edge.callee].rate_rps


def test_a_fault_does_nothing_before_its_onset() -> None:
    shop = shop_of(23)
    fault = Fault(FaultKind.MEMORY_LEAK, shop.served[2], onset_s=500, strength=3)

    assert moment_states(shop, fault, at_s=499, load=50) == moment_states(shop, None, at_s=499, load=50)


def test_a_leak_ends_in_restarts_and_begins_again() -> None:
    fault = Fault(FaultKind.MEMORY_LEAK, "basket", onset_s=0, strength=1, leak_s=300)

    shares = [fault.effect("basket", at_s).memory_share for at_s in (10, 150, 290, 310)]
    restarts = [fault.effect("basket", at_s).restarts for at_s in (10, 150, 290, 310)]

    assert shares[0] < shares[1] < shares[2] > shares[3]
    assert restarts == [False, False, False, True]
