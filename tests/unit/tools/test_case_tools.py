"""What the tools say about a shop whose database slows down at noon."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from tests.unit.tools.conftest import NOON, Ask, at
from worker.domain.tooling import ToolOutput
from worker.errors import ToolInputError
from worker.tools.output import iso

Run = Callable[..., ToolOutput]


def z(minutes: float) -> str:
    return at(minutes).replace("+00:00", "Z")


def row_of(answer: dict[str, Any], **wanted: Any) -> dict[str, Any]:
    (row,) = [r for r in answer["rows"] if all(r[k] == v for k, v in wanted.items())]
    return dict(row)


@pytest.mark.parametrize(
    "tool",
    [
        "list_entities",
        "query_metrics",
        "rank_metric_changes",
        "search_logs",
        "rank_log_patterns",
        "find_traces",
        "rank_edge_latency",
        "list_changes",
        "show_topology",
    ],
)
def test_every_tool_answers_without_arguments_in_one_compact_object(run: Run, tool: str) -> None:
    output = run(tool)

    answer = json.loads(output.text)
    assert output.text == json.dumps(answer, ensure_ascii=False, separators=(",", ":"))
    assert answer["row_count"] == len(answer["rows"]) > 0
    assert answer["total_rows"] >= answer["row_count"]
    assert isinstance(answer["query"], dict)
    assert output.entities


def test_entities_are_listed_with_what_there_is_about_them(ask: Ask) -> None:
    answer = ask("list_entities")

    assert row_of(answer, entity="db") == {
        "entity": "db", "metrics": 160, "log_lines": 20, "spans": 50, "changes": 1
    }  # fmt: skip
    assert answer["window"] == {"start": z(-60), "end": z(30)}


def test_series_have_at_most_sixty_points_of_the_incident_window(ask: Ask) -> None:
    (row,) = ask("query_metrics", entity="api", metric="memory")["rows"]

    assert 40 <= len(row["points"]) <= 60
    assert row["points"][0] == [z(-60), 512]
    assert row["points"][-1][1] == 513


def test_a_step_is_the_mean_of_its_points(ask: Ask) -> None:
    arguments = {"entity": "db", "metric": "queries", "start": z(-60), "end": z(-40), "step_s": 600}

    (row,) = ask("query_metrics", **arguments)["rows"]

    assert row["points"] == [[z(-60), 1270], [z(-50), 1870]]


def test_the_rows_that_are_left_out_are_counted(ask: Ask) -> None:
    answer = ask("query_metrics", limit=2)

    assert (answer["row_count"], answer["total_rows"]) == (2, 5)


def test_times_outside_the_data_give_no_rows_and_say_so(ask: Ask) -> None:
    answer = ask("query_metrics", start=z(600), end=z(700))

    assert answer["rows"] == []
    assert answer["note"] == "nothing matches in this window"


def test_an_unknown_entity_is_told_what_is_close(ask: Ask) -> None:
    assert "close: api" in ask("query_metrics", entity="apis")["note"]


def test_the_broken_metric_ranks_first_with_its_onset(ask: Ask) -> None:
    answer = ask("rank_metric_changes")

    first = answer["rows"][0]
    assert (first["entity"], first["metric"], first["direction"]) == ("db", "latency_s", "up")
    assert first["onset"] == z(0)
    assert first["change_ratio"] == pytest.approx(10, rel=0.05)
    assert first["incident_points"] == 20
    assert answer["query"]["reference_end"] == z(-5)
    assert all(r["score"] < first["score"] / 10 for r in answer["rows"][1:])


def test_a_counter_is_compared_by_its_rate(ask: Ask) -> None:
    row = row_of(ask("rank_metric_changes"), metric="queries_total")

    assert row["unit"].startswith("per second")
    assert row["reference_median"] == pytest.approx(1)
    assert row["score"] == pytest.approx(0, abs=0.01)


def test_a_reference_that_is_asked_for_is_used(ask: Ask) -> None:
    answer = ask("rank_metric_changes", entity="db", reference_start=z(1), reference_end=z(20))

    assert row_of(answer, metric="latency_s")["score"] == pytest.approx(0, abs=0.2)


def test_ranked_series_come_with_charts(run: Run) -> None:
    charts = run("rank_metric_changes", limit=2).series

    assert charts[0].name == "db latency_s"
    assert all(0 < len(c.points) <= 200 for c in charts)


def test_lines_are_found_by_part_and_by_expression(ask: Ask) -> None:
    by_part = ask("search_logs", query="LOCK WAIT", entity="db", level="ERROR", limit=3)
    by_expression = ask("search_logs", query=r"10\.0\.0\.1\d\b", regex=True)

    assert (by_part["row_count"], by_part["total_rows"]) == (3, 20)
    assert by_part["rows"][0]["ts"] == z(0.5)
    assert by_expression["total_rows"] == 10


def test_a_bad_expression_is_the_callers_mistake(run: Run) -> None:
    with pytest.raises(ToolInputError, match="regular expression"):
        run("search_logs", query="(", regex=True)


def test_the_new_kind_of_line_ranks_first(ask: Ask) -> None:
    answer = ask("rank_log_patterns")

    first = answer["rows"][0]
    assert first["pattern"] == "lock wait of <ip> timed out"
    assert (first["count"], first["reference_count"]) == (20, 0)
    assert first["example"] == "lock wait of 10.0.0.0 timed out"
    assert first["first_seen"] == z(0.5)
    assert row_of(answer, entity="api")["score"] < first["score"] / 5


def test_slow_traces_name_who_was_slow_by_itself(ask: Ask) -> None:
    answer = ask("find_traces", entity="db", min_duration_ms=500, limit=5)

    assert (answer["row_count"], answer["total_rows"]) == (5, 20)
    assert answer["rows"][0] | {"trace_id": "", "start": "", "error_spans": 0} == {
        "trace_id": "", "root_entity": "api", "root_operation": "GET /cart", "start": "",
        "duration_ms": 920, "spans": 2, "error_spans": 0, "slowest_entity": "db", "slowest_self_ms": 900,
    }  # fmt: skip


def test_failing_traces_are_found_by_status(ask: Ask) -> None:
    assert ask("find_traces", status="error")["total_rows"] == 10


def test_the_slow_callee_is_blamed_not_its_caller(ask: Ask) -> None:
    answer = ask("rank_edge_latency")

    slow, waiting = answer["rows"]
    assert (slow["caller"], slow["callee"], slow["operation"]) == ("api", "db", "SELECT")
    assert (slow["self_p50_ms"], slow["reference_self_p50_ms"]) == (900, 10)
    assert (waiting["caller"], waiting["callee"]) == (None, "api")
    assert waiting["p50_ms"] == 920
    assert waiting["self_p50_ms"] == waiting["reference_self_p50_ms"] == 20
    assert [e["entity"] for e in answer["entities"]] == ["db", "api"]


def test_rising_errors_of_an_operation_are_scored(ask: Ask) -> None:
    row = row_of(ask("rank_edge_latency"), callee="api")

    assert row["error_rate"] == 0.5
    assert row["score"] > 0.5


def test_changes_from_before_the_incident_are_listed_newest_first(ask: Ask) -> None:
    rows = ask("list_changes")["rows"]

    assert [r["id"] for r in rows] == ["c3", "c2", "c1"]
    assert rows[2]["diff"].startswith("x" * 2000 + "\n[… 3000 characters more")


def test_changes_of_an_entity_include_those_that_name_none(ask: Ask) -> None:
    assert [r["id"] for r in ask("list_changes", entity="db")["rows"]] == ["c2", "c1"]
    assert [r["id"] for r in ask("list_changes", kind="Deploy")["rows"]] == ["c3"]


def test_the_surroundings_of_an_entity_have_callers_and_callees(ask: Ask) -> None:
    answer = ask("show_topology", entity="api", depth=1)

    assert (answer["callers"], answer["callees"]) == (["web"], ["db"])
    assert answer["edges"] == [["api", "db"], ["web", "api"]]


def test_depth_bounds_the_surroundings(ask: Ask) -> None:
    assert ask("show_topology", entity="db", depth=1)["nodes"] == ["api", "db"]


def test_an_entity_outside_the_topology_is_told_what_is_close(run: Run) -> None:
    with pytest.raises(ToolInputError, match="close: db"):
        run("show_topology", entity="dbs")


def test_numbers_have_six_digits(run: Run) -> None:
    numbers = json.loads(run("query_metrics").text, parse_float=str)

    texts = [v for r in numbers["rows"] for _, v in r["points"] if isinstance(v, str)]
    assert texts
    assert all(len(t.replace(".", "").lstrip("0")) <= 6 for t in texts)


def test_times_are_utc_with_z(ask: Ask) -> None:
    assert ask("search_logs", limit=1, start="2026-03-01T13:00:30+01:00")["rows"][0]["ts"] == iso(NOON.timestamp() + 30)
