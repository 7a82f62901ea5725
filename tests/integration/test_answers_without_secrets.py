"""What a model says is stored without secrets, whoever taught it those."""

from collections.abc import Callable

from sqlalchemy import select

from tests.builders import drain, incident, submits_report
from tests.fakes import ScriptedModel, calls_tools
from worker import pipeline
from worker.domain.conversation import AssistantMessage, ModelAnswer, StopReason, ToolRequest, Usage
from worker.services import Services
from worker.storage.tables import ToolCallRow, TurnRow

Open = Callable[..., Services]
KEY = "canary-of-the-environment-77"


def stored(services: Services) -> str:
    """Investigate, and return all that was kept of what was said."""
    pipeline.accept(services, incident(), via="test")
    drain(services)
    with services.database.transaction() as session:
        turns = [str(row.message) for row in session.scalars(select(TurnRow))]
        calls = [f"{row.command} {row.arguments} {row.text}" for row in session.scalars(select(ToolCallRow))]
    return "\n".join([*turns, *calls])


def test_a_key_that_a_model_repeats_is_in_no_row(open_services: Open) -> None:
    answer = calls_tools(("run_command", {"command": f"echo {KEY}", "purpose": KEY}), text=f"The key is {KEY}.")
    services = open_services(ScriptedModel([answer, submits_report()]), openai_api_key=KEY, rca_model="offline/analyst")

    said = stored(services)

    assert KEY not in said
    assert "The key is [redacted:known:" in said


def test_a_key_in_arguments_that_are_no_json_is_in_no_row(open_services: Open) -> None:
    request = ToolRequest(id="call_1", name="run_command", arguments=None, raw_arguments=f'{{"command": "{KEY}')
    message = AssistantMessage(tool_requests=(request,))
    answer = ModelAnswer(message=message, stop_reason=StopReason.TOOL_USE, usage=Usage())
    services = open_services(ScriptedModel([answer, submits_report()]), openai_api_key=KEY, rca_model="offline/analyst")

    assert KEY not in stored(services)


def test_a_provider_s_opaque_reasoning_is_stored_as_it_came(open_services: Open) -> None:
    signed = {"type": "thinking", "signature": "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.c2lnbmF0dXJl"}
    message = AssistantMessage(text="Well.", reasoning=(signed,), wire="anthropic_messages")
    answer = ModelAnswer(message=message, stop_reason=StopReason.END, usage=Usage())
    services = open_services(ScriptedModel([answer, submits_report()]))

    assert signed["signature"] in stored(services)
