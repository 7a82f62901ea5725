"""The detectors that ship: those of the catalogue that the locked library has."""

import json
from importlib.metadata import version

import pytest

from scripts.collect_detectors import collect, render
from worker.ops.detectors import FILE, find_catalogued, load_detectors
from worker.ops.redaction import Redactor

COLLECTED = json.loads(FILE.read_bytes())


@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_the_file_is_what_the_collector_makes_of_its_version() -> None:
    assert COLLECTED["source"] == f"kingfisher-secret-scanner {version('kingfisher-secret-scanner')}"
    assert FILE.read_text() == render(collect())


def test_every_detector_compiles_and_says_how_its_tokens_begin() -> None:
    detectors = load_detectors()

    assert len(detectors) == len(COLLECTED["detectors"]) > 150
    assert all(len(beginning) >= 3 for detector in detectors for beginning in detector.hints)
    assert {Redactor(key=b"k").scrub(f"x {d.kind}: y") for d in detectors} == {f"x {d.kind}: y" for d in detectors}


@pytest.mark.parametrize(
    ("token", "kind"),
    [
        ("dckr_pat_" + "a1B2" * 6 + "abc", "dockerhub"),
        ("lin_api_" + "a1b2" * 10, "linear"),
        ("rubygems_" + "ab12" * 12, "rubygems"),
    ],
)
def test_a_token_is_called_by_its_vendor(token: str, kind: str) -> None:
    text = f"used ({token}), twice"

    found = {(text[span.start : span.end], span.kind) for span in find_catalogued(text, text.lower())}

    assert found == {(token, kind)}
