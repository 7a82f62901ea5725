"""A provider that is down in the middle of an investigation: another goes on, and the report says so."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from sqlalchemy import select

from tests.builders import drain, incident, report_arguments
from tests.fakes import ScriptedModel
from tests.model_server import ModelServer, Reply
from worker import pipeline
from worker.bootstrap import Models
from worker.domain.report import Report
from worker.investigation.offline.analyst import OfflineAnalyst
from worker.llm.client import ProviderClient
from worker.llm.fallback import FallbackModel
from worker.services import Services
from worker.settings import Settings
from worker.storage.tables import ReportRow, TurnRow, UsageRow

Open = Callable[..., Services]
KEYS = {"anthropic_api_key": "key-a", "openai_api_key": "key-o"}
MODELS = {"rca_model": "anthropic/claude-haiku-4.5", "llm_provider_mode": "direct"}
DOWN = Reply(status=529, body=b'{"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}')
LOOKS = Reply(tool_calls=[("list_entities", {})])
REPORTS = Reply(tool_calls=[("submit_report", report_arguments())])


@pytest.fixture
def openai() -> Iterator[ModelServer]:
    with ModelServer(lambda _: REPORTS) as server:
        yield server


@pytest.fixture
def anthropic() -> Iterator[ModelServer]:
    """Answer the first turn and be down from the second on."""
    with ModelServer(lambda exchange: DOWN if exchange.assistant_turns else LOOKS) as server:
        yield server


@pytest.fixture
def investigate(
    open_services: Open, anthropic: ModelServer, openai: ModelServer
) -> Iterator[Callable[[str], tuple[Report, Services]]]:
    opened: list[ProviderClient] = []

    def build(settings: Settings) -> FallbackModel:
        opened.append(ProviderClient(settings, sleep=lambda _: None))
        return FallbackModel(Models(offline=OfflineAnalyst(), providers=opened[-1]))

    def run(chain: str) -> tuple[Report, Services]:
        places = {"anthropic_base_url": anthropic.root, "openai_base_url": openai.openai_url}
        fields: dict[str, Any] = {**KEYS, **MODELS, **places, "rca_model_fallback": chain}
        services = open_services(ScriptedModel([]), **fields)
        object.__setattr__(services, "model", build(services.settings))
        pipeline.accept(services, incident(), via="test")
        drain(services)
        with services.database.transaction() as session:
            return Report.model_validate(session.scalars(select(ReportRow.body)).one()), services

    yield run
    for client in opened:
        client.close()


def test_another_provider_goes_on_and_its_calls_are_its_own(investigate: Any, openai: ModelServer) -> None:
    report, services = investigate("openai/gpt-4.1-mini")

    assert (
        "openai/gpt-4.1-mini answered 1 call (rca) in place of anthropic/claude-haiku-4-5: provider_unavailable."
        in report.notes
    )
    assert [line.model for line in report.usage] == ["anthropic/claude-haiku-4-5", "openai/gpt-4.1-mini"]
    assert all(line.cost_usd for line in report.usage)
    with services.database.transaction() as session:
        rows = session.scalars(select(UsageRow).order_by(UsageRow.id)).all()
        turns = list(session.scalars(select(TurnRow.model).order_by(TurnRow.turn_no)))
    assert turns == ["anthropic/claude-haiku-4-5", "openai/gpt-4.1-mini"]
    assert [(row.fallback_of, row.fallback_reason) for row in rows] == [
        (None, None),
        ("anthropic/claude-haiku-4-5", "provider_unavailable"),
    ]
    assert "list_entities" in str(openai.exchanges[0].messages)  # what was found before, it was told


def test_the_analyst_goes_on_with_what_a_model_began(investigate: Any) -> None:
    report, _ = investigate("offline/analyst")

    assert report.verdict in {"inconclusive", "likely", "confirmed", "no_incident", "external"}
    assert any("offline/analyst answered" in note for note in report.notes)
