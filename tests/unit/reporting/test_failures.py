"""Every failure that ends an investigation says what to do."""

from collections.abc import Iterator

import pytest

from worker.errors import (
    DeliveryPostponedError,
    DeliveryRefusedError,
    KeyTakenError,
    PermanentError,
    ProviderError,
    TransientError,
    WorkerError,
)
from worker.reporting.failures import fix_for


def leaves(kind: type[WorkerError]) -> Iterator[type[WorkerError]]:
    below = kind.__subclasses__()
    yield from (leaf for child in below for leaf in leaves(child)) if below else iter((kind,))


UNKNOWN = fix_for("no such class")
NOT_OF_AGENTS = {DeliveryPostponedError, DeliveryRefusedError, KeyTakenError}
"""Raised where reports go out and where events come in: no investigation ends by them."""
ENDINGS = {*leaves(PermanentError), *leaves(TransientError)} - NOT_OF_AGENTS


@pytest.mark.parametrize("kind", sorted(ENDINGS, key=lambda k: k.__name__))
def test_every_error_that_ends_an_agent_has_a_fix_of_its_own(kind: type[WorkerError]) -> None:
    assert not issubclass(kind, WorkerError) or kind is ProviderError or fix_for(kind().reason) != UNKNOWN


@pytest.mark.parametrize("failure_class", ["worker_lost", "unexpected", "route"])
def test_the_classes_that_are_no_errors_have_one_too(failure_class: str) -> None:
    assert fix_for(failure_class) != UNKNOWN


def test_the_variable_is_named_that_chose_the_model() -> None:
    assert "set RCA_MODEL to another model" in fix_for("provider_quota")
    assert "set RCA_ORCHESTRATOR_MODEL to another model" in fix_for("provider_quota", setting="RCA_ORCHESTRATOR_MODEL")


def test_an_unknown_class_leads_to_the_log() -> None:
    assert "log" in fix_for(None)
