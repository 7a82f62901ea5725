"""Which tools an incident gets, and how calls find them."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from tests.cases import CaseRows, write_case
from tests.unit.tools.conftest import context, event
from worker.domain.conversation import ToolDefinition
from worker.domain.tooling import ToolContext, ToolOutput
from worker.errors import MissingInputError, ToolFailedError, ToolInputError
from worker.settings import Settings
from worker.tools.toolbox import Toolbox, build_toolbox


@dataclass(frozen=True)
class FakeCommand:
    @property
    def definition(self) -> ToolDefinition:
        return ToolDefinition(name="run_command", description="d", parameters={})

    def command_of(self, arguments: Mapping[str, Any]) -> str:
        return str(arguments["command"])

    def run(self, arguments: dict[str, Any], context: ToolContext) -> ToolOutput:
        return ToolOutput(text="ran")


def names(toolbox: Toolbox) -> list[str]:
    return [d.name for d in toolbox.definitions()]


def test_a_whole_case_offers_every_tool_in_a_stable_order(toolbox: Toolbox) -> None:
    assert names(toolbox) == [
        "list_entities",
        "query_metrics",
        "rank_metric_changes",
        "search_logs",
        "rank_log_patterns",
        "find_traces",
        "rank_edge_latency",
        "list_changes",
        "show_topology",
        "read_artifact",
        "pods",
    ]


def test_only_tools_whose_data_exists_are_offered(tmp_path: Path) -> None:
    write_case(tmp_path / "a", CaseRows(changes=[]))
    write_case(tmp_path / "b", CaseRows(traces=[("t", "1", None, "x", "op", "2026-03-01T12:00:00Z", 5, None)]))
    settings = Settings(rca_recorded_root=tmp_path)

    assert names(build_toolbox(event("a"), settings=settings)) == ["read_artifact"]
    assert names(build_toolbox(event("b"), settings=settings)) == [
        "list_entities",
        "find_traces",
        "rank_edge_latency",
        "show_topology",
        "read_artifact",
    ]


def test_topology_comes_from_traces_where_no_file_has_it(tmp_path: Path) -> None:
    spans = [
        ("t", "1", None, "api", "op", "2026-03-01T12:00:00Z", 5, None),
        ("t", "2", "1", "db", "op", "2026-03-01T12:00:00Z", 5, None),
    ]
    write_case(tmp_path / "a", CaseRows(traces=spans))
    toolbox = build_toolbox(event("a"), settings=Settings(rca_recorded_root=tmp_path))

    assert '"edges":[["api","db"]]' in toolbox.run("show_topology", {}, context()).text


def test_without_a_recording_only_the_rest_is_offered(tmp_path: Path) -> None:
    toolbox = build_toolbox(event(None), settings=Settings(), extra=[FakeCommand()])

    assert names(toolbox) == ["read_artifact", "run_command"]
    assert toolbox.sources() == {}


@pytest.mark.parametrize("label", ["missing", "../shop", ""])
def test_a_case_that_is_not_there_is_an_error_that_names_it(shop_root: Path, label: str) -> None:
    with pytest.raises(MissingInputError, match=repr(label)):
        build_toolbox(event(label), settings=Settings(rca_recorded_root=shop_root))


def test_a_case_without_a_root_says_which_setting_is_missing() -> None:
    with pytest.raises(MissingInputError, match="RCA_RECORDED_ROOT"):
        build_toolbox(event("shop"), settings=Settings())


def test_an_unknown_tool_is_told_what_exists(toolbox: Toolbox) -> None:
    with pytest.raises(ToolInputError, match="query_metrics"):
        toolbox.run("query_metric", {}, context())


@pytest.mark.parametrize(
    ("arguments", "hint"),
    [
        ({"limit": 0}, "limit"),
        ({"limit": 10_000}, "less than or equal to 1000"),
        ({"start": "yesterday"}, "start"),
        ({"entities": ["a"]}, "entity, metric"),
        ({"start": "2026-03-02T00:00:00Z", "end": "2026-03-01T00:00:00Z"}, "not before"),
    ],
)
def test_arguments_that_do_not_fit_are_told_what_would(toolbox: Toolbox, arguments: dict[str, Any], hint: str) -> None:
    with pytest.raises(ToolInputError, match=hint):
        toolbox.run("query_metrics", arguments, context())


def test_an_argument_may_be_null_instead_of_left_out(toolbox: Toolbox) -> None:
    assert toolbox.run("query_metrics", {"entity": None, "start": None}, context()).text


def test_schemas_are_plain_objects(toolbox: Toolbox) -> None:
    for definition in toolbox.definitions()[:-1]:
        assert definition.parameters["type"] == "object"
        assert "\n" not in definition.description
        for schema in definition.parameters["properties"].values():
            assert "type" in schema
            assert not {"title", "anyOf"} & schema.keys()


def test_a_cancelled_call_is_not_run(toolbox: Toolbox) -> None:
    with pytest.raises(ToolFailedError, match="cancelled"):
        toolbox.run("list_entities", {}, replace(context(), is_cancelled=lambda: True))


def test_only_commands_have_a_command(shop_root: Path) -> None:
    toolbox = build_toolbox(event(), settings=Settings(rca_recorded_root=shop_root), extra=[FakeCommand()])

    assert toolbox.command_of("run_command", {"command": "ls"}) == "ls"
    assert toolbox.command_of("query_metrics", {}) is None
    assert toolbox.command_of("nothing", {}) is None


def test_a_recorded_call_is_answered_whatever_the_order_of_its_arguments(toolbox: Toolbox) -> None:
    assert toolbox.run("pods", {"a": "x", "b": 1}, context()).text == "two pods"


def test_a_call_that_was_not_recorded_lists_those_that_were(toolbox: Toolbox) -> None:
    with pytest.raises(ToolFailedError, match=r'not recorded.*\{"a":"x","b":1\}'):
        toolbox.run("pods", {"a": "y"}, context())


def test_a_recorded_tool_does_not_replace_one_of_ours(tmp_path: Path) -> None:
    recordings = {"tools": [{"name": "read_artifact", "description": "theirs"}], "calls": []}
    write_case(tmp_path / "a", CaseRows(recordings=recordings))

    (definition,) = build_toolbox(event("a"), settings=Settings(rca_recorded_root=tmp_path)).definitions()

    assert definition.description != "theirs"


def test_sources_are_described_with_their_extent(toolbox: Toolbox) -> None:
    lines = toolbox.sources()

    assert list(lines) == ["metrics", "logs", "traces", "changes", "topology", "recordings"]
    assert lines["metrics"] == "400 rows of 2 entities from 2026-03-01T11:00:00Z to 2026-03-01T12:19:01Z"
    assert lines["changes"].startswith("3 changes from 2026-03-01T02:00:00Z")
    assert lines["recordings"] == "recorded answers of: pods"


def test_a_source_that_cannot_be_read_says_so_and_its_tools_fail(tmp_path: Path) -> None:
    folder = write_case(tmp_path / "a", CaseRows(metrics=[("2026-03-01T12:00:00Z", "x", "m", 1.0)]))
    (folder / "logs.parquet").write_bytes(b"torn")
    (folder / "changes.json").write_text("torn")
    toolbox = build_toolbox(event("a"), settings=Settings(rca_recorded_root=tmp_path))

    assert "cannot be read" in toolbox.sources()["logs"]
    assert "cannot be read" in toolbox.sources()["changes"]
    for tool in ("search_logs", "rank_log_patterns", "list_changes"):
        with pytest.raises(ToolFailedError, match="cannot be read"):
            toolbox.run(tool, {}, context())
    assert toolbox.run("query_metrics", {}, context()).entities == ("x",)
    assert (
        '"note":"changes.json of the recorded case cannot be read' in toolbox.run("list_entities", {}, context()).text
    )
