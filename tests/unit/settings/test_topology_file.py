"""The topology is read at the start: a file that cannot be used is an error with the variable's name."""

from pathlib import Path

import pytest

from worker.domain.relations import Relations, relations_of
from worker.errors import ConfigError
from worker.settings import Settings, load_settings


def test_a_file_of_calls_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "topology.json"
    file.write_text('{"nodes": ["a", "b"], "edges": [["a", "b"]]}')
    monkeypatch.setenv("RCA_TOPOLOGY_FILE", str(file))

    assert load_settings().calls == {("a", "b")}
    assert Settings(rca_topology_file=None).calls == frozenset()


@pytest.mark.parametrize("text", [None, "", "[]", "{}", '{"edges": [["a"]]}', '{"edges": [["a", 1]]}', "not JSON"])
def test_a_file_that_cannot_be_used_stops_the_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str | None
) -> None:
    file = tmp_path / "topology.json"
    if text is not None:
        file.write_text(text)
    monkeypatch.setenv("RCA_TOPOLOGY_FILE", str(file))

    with pytest.raises(ConfigError, match=r"RCA_TOPOLOGY_FILE: .*topology\.json"):
        load_settings()


def test_relations_are_told_in_both_directions_and_names_count_without_case() -> None:
    relations = Relations(frozenset({("Checkout", "payment"), ("cart", "checkout"), ("checkout", "checkout")}))

    assert relations.of(" CHECKOUT ") == {
        "checkout": "same service CHECKOUT",
        "payment": "Checkout calls payment",
        "cart": "cart calls checkout",
    }
    assert set(relations.of("unknown")) == {"unknown"}


def test_relations_are_indexed_once() -> None:
    assert relations_of(frozenset({("a", "b")})) is relations_of(frozenset({("a", "b")}))
