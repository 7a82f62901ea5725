"""What a recorded case may be called, and what it may read."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.cases import CaseRows, write_case
from worker.errors import MissingInputError, ToolFailedError
from worker.tools.sources import recorded
from worker.tools.sources.ports import LogSelection, MetricSelection
from worker.tools.sources.recorded import RecordedCase, open_case
from worker.tools.sources.tables import CaseTables

ONE_METRIC = CaseRows(metrics=[("2026-01-01T00:00:00Z", "a", "m", 1.0)])


def soon() -> float:
    return time.monotonic() + 10


def count(case: RecordedCase) -> int:
    assert case.metrics is not None
    return sum(case.metrics.counts(None, deadline=soon()).values())


@pytest.mark.parametrize("name", ["", " ", ".", "..", "a/../a", "/a", "a/", "a//b", "../a", "a\\b", "a\0b", "missing"])
def test_a_name_that_leads_nowhere_is_refused_and_named(tmp_path: Path, name: str) -> None:
    write_case(tmp_path / "root" / "a", ONE_METRIC)

    with pytest.raises(MissingInputError, match="recorded case"):
        open_case(tmp_path / "root", name)


def test_an_absolute_path_is_refused_even_below_the_root(tmp_path: Path) -> None:
    folder = write_case(tmp_path / "a", ONE_METRIC)

    with pytest.raises(MissingInputError):
        open_case(tmp_path, str(folder))


@given(name=st.text(max_size=30))
def test_no_name_opens_anything_outside_the_root(tmp_path_factory: pytest.TempPathFactory, name: str) -> None:
    root = tmp_path_factory.getbasetemp() / "empty-root"
    root.mkdir(exist_ok=True)

    with pytest.raises(MissingInputError):
        open_case(root, name)


def test_a_case_may_lie_deeper_below_the_root(tmp_path: Path) -> None:
    write_case(tmp_path / "set" / "a", ONE_METRIC)

    assert count(open_case(tmp_path, "set/a")) == 1


def test_a_root_that_is_a_link_is_followed(tmp_path: Path) -> None:
    write_case(tmp_path / "real" / "a", ONE_METRIC)
    (tmp_path / "root").symlink_to(tmp_path / "real")

    assert count(open_case(tmp_path / "root", "a")) == 1


def test_a_case_folder_that_is_a_link_is_refused(tmp_path: Path) -> None:
    write_case(tmp_path / "elsewhere", ONE_METRIC)
    (tmp_path / "root").mkdir()
    (tmp_path / "root" / "a").symlink_to(tmp_path / "elsewhere")

    with pytest.raises(MissingInputError):
        open_case(tmp_path / "root", "a")


@pytest.mark.parametrize("file", ["metrics.parquet", "changes.json"])
def test_a_file_that_links_out_of_its_case_is_refused(tmp_path: Path, file: str) -> None:
    outside = write_case(tmp_path / "outside", CaseRows(metrics=ONE_METRIC.metrics, changes=[{"id": "secret"}]))
    folder = write_case(tmp_path / "root" / "a", CaseRows())
    (folder / file).symlink_to(outside / file)

    with pytest.raises(MissingInputError, match="leads out"):
        open_case(tmp_path / "root", "a")


def test_a_file_that_links_to_the_truth_is_refused(tmp_path: Path) -> None:
    folder = write_case(tmp_path / "a", CaseRows())
    (folder / "truth.json").write_text('{"nodes": ["culprit"], "edges": []}')
    (folder / "topology.json").symlink_to(folder / "truth.json")

    with pytest.raises(MissingInputError, match="leads out"):
        open_case(tmp_path, "a")


def test_a_link_to_a_file_of_the_same_name_inside_the_case_is_followed(tmp_path: Path) -> None:
    folder = write_case(tmp_path / "a", CaseRows())
    write_case(folder / "..data", ONE_METRIC)
    (folder / "metrics.parquet").symlink_to(Path("..data") / "metrics.parquet")

    assert count(open_case(tmp_path, "a")) == 1


def test_a_kind_without_a_file_is_no_source(tmp_path: Path) -> None:
    write_case(tmp_path / "a", ONE_METRIC)

    case = open_case(tmp_path, "a")

    assert (case.logs, case.traces, case.changes, case.topology) == (None, None, None, None)
    assert case.recordings.definitions() == ()


def test_a_corrupt_table_fails_when_asked_and_leaves_the_others_alone(tmp_path: Path) -> None:
    folder = write_case(tmp_path / "a", ONE_METRIC)
    (folder / "logs.parquet").write_bytes(b"no parquet at all")

    case = open_case(tmp_path, "a")

    assert count(case) == 1
    assert case.logs is not None
    assert case.logs.extent() is None
    with pytest.raises(ToolFailedError, match="recorded logs cannot be read") as error:
        case.logs.counts(None, deadline=soon())
    assert str(tmp_path) not in str(error.value)


def test_a_table_without_a_needed_column_is_a_problem(tmp_path: Path) -> None:
    folder = write_case(tmp_path / "a", ONE_METRIC)
    (folder / "metrics.parquet").rename(folder / "logs.parquet")

    assert (
        "message" in open_case(tmp_path, "a").problems["logs"] or "level" in open_case(tmp_path, "a").problems["logs"]
    )


@pytest.mark.parametrize(("file", "source"), [("changes.json", "changes"), ("topology.json", "topology")])
@pytest.mark.parametrize("text", ["{", "[1]", '{"nodes": 3}'])
def test_a_corrupt_document_fails_when_asked(tmp_path: Path, file: str, source: str, text: str) -> None:
    folder = write_case(tmp_path / "a", CaseRows())
    (folder / file).write_text(text)
    case = open_case(tmp_path, "a")

    with pytest.raises(ToolFailedError, match="cannot be read"):
        case.topology.topology(deadline=soon()) if source == "topology" else case.changes.extent()  # type: ignore[union-attr] - both files are there


def test_corrupt_recordings_are_a_problem_and_offer_no_tools(tmp_path: Path) -> None:
    folder = write_case(tmp_path / "a", CaseRows())
    (folder / "recordings.json").write_text("nonsense")

    case = open_case(tmp_path, "a")

    assert case.recordings.definitions() == ()
    assert "recordings.json" in case.problems["recordings"]


def test_values_that_are_no_numbers_are_left_out(tmp_path: Path) -> None:
    rows = [("2026-01-01T00:00:00Z", "a", "m", v) for v in (1.0, "nan", "inf", None)]
    write_case(tmp_path / "a", CaseRows(metrics=rows))

    assert count(open_case(tmp_path, "a")) == 1


def test_tables_read_no_other_file(tmp_path: Path) -> None:
    case = write_case(tmp_path / "a", ONE_METRIC)
    other = write_case(tmp_path / "b", ONE_METRIC)
    tables = CaseTables({"metrics": case / "metrics.parquet"})

    for sql in (
        f"FROM read_parquet('{other}/metrics.parquet')",
        f"FROM read_text('{other}/incident.json')",
        f"COPY metrics TO '{tmp_path}/stolen.parquet'",
        "SET enable_external_access = true",
    ):
        with pytest.raises(ToolFailedError):
            tables.rows("metrics", sql, deadline=soon())
    assert not (tmp_path / "stolen.parquet").exists()


def test_a_query_that_takes_too_long_is_broken_off(tmp_path: Path) -> None:
    tables = CaseTables({"metrics": write_case(tmp_path / "a", ONE_METRIC) / "metrics.parquet"})
    endless = "SELECT count(*) FROM range(100000000) AS a, range(100000000) AS b WHERE hash(a.range + b.range) = 1"

    started = time.monotonic()
    with pytest.raises(ToolFailedError, match="longer than it may"):
        tables.rows("metrics", endless, deadline=time.monotonic() + 0.1)

    assert time.monotonic() - started < 5


def test_a_call_without_time_left_is_not_begun(tmp_path: Path) -> None:
    tables = CaseTables({"metrics": write_case(tmp_path / "a", ONE_METRIC) / "metrics.parquet"})

    with pytest.raises(ToolFailedError, match="no time left"):
        tables.rows("metrics", "SELECT 1", deadline=time.monotonic() - 1)


def test_a_table_survives_an_interrupted_query(tmp_path: Path) -> None:
    tables = CaseTables({"metrics": write_case(tmp_path / "a", ONE_METRIC) / "metrics.parquet"})
    with pytest.raises(ToolFailedError):
        tables.rows("metrics", "SELECT sum(a.range) FROM range(10000000000) AS a", deadline=time.monotonic() + 0.05)

    assert tables.rows("metrics", "SELECT value FROM metrics", deadline=soon()) == [(1.0,)]


def test_an_open_case_is_used_again_until_its_files_change(tmp_path: Path) -> None:
    folder = write_case(tmp_path / "a", ONE_METRIC)
    first = open_case(tmp_path, "a")
    assert open_case(tmp_path, "a") is first

    write_case(folder, CaseRows(metrics=[*ONE_METRIC.metrics, ("2026-01-01T00:01:00Z", "a", "m", 2.0)]))

    assert count(open_case(tmp_path, "a")) == 2


def test_only_so_many_cases_stay_open(tmp_path: Path) -> None:
    cases = recorded._OpenCases(2)
    folders = [write_case(tmp_path / str(i), CaseRows()) for i in range(3)]
    opened = [cases.get(f.name, f, {}) for f in folders]

    assert cases.get("2", folders[2], {}) is opened[2]
    assert cases.get("0", folders[0], {}) is not opened[0]


def test_many_threads_get_their_own_answers(tmp_path: Path) -> None:
    for i in range(8):
        rows = [(f"2026-01-01T00:{m:02}:00Z", "a", "m", 1.0) for m in range(i + 1)]
        write_case(tmp_path / str(i), CaseRows(metrics=rows))
    barrier = threading.Barrier(16)

    def ask(i: int) -> int:
        barrier.wait(timeout=30)
        return count(open_case(tmp_path, str(i % 8)))

    with ThreadPoolExecutor(16) as pool:
        counts = list(pool.map(ask, range(16)))

    assert counts == [i % 8 + 1 for i in range(16)]


def test_quotes_in_names_and_searches_are_plain_text(tmp_path: Path) -> None:
    write_case(
        tmp_path / "it's",
        CaseRows(metrics=ONE_METRIC.metrics, logs=[("2026-01-01T00:00:00Z", "o'neil", None, "it's 'x'", None, None)]),
    )
    case = open_case(tmp_path, "it's")
    assert case.logs is not None
    assert case.metrics is not None
    window = case.logs.extent()
    assert window is not None

    page = case.logs.lines(LogSelection(text="'x'", entity="o'neil"), window, limit=5, deadline=soon())
    series = case.metrics.series(MetricSelection(entity="'; --"), window, step_s=60, limit=5, deadline=soon())

    assert [line.message for line in page.lines] == ["it's 'x'"]
    assert series.total == 0
