"""How the wires read JSON that may not be what its vendor promises."""

import json
from typing import Any

from worker.domain.conversation import JsonObject, ToolRequest
from worker.errors import MalformedAnswerError


def as_object(value: Any, what: str) -> JsonObject:
    """Return the value if it is an object. Raises MalformedAnswerError that names what was expected."""
    if not isinstance(value, dict):
        raise MalformedAnswerError(f"the answer has no {what}")
    return value


def as_list(value: Any, what: str) -> list[Any]:
    if not isinstance(value, list):
        raise MalformedAnswerError(f"the answer has no {what}")
    return value


def objects(value: Any) -> list[JsonObject]:
    """Return the objects of a list; nothing where there is no list."""
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def fields_of(value: Any) -> JsonObject:
    """Return the value if it is an object, else an empty one."""
    return value if isinstance(value, dict) else {}


def text_of(value: Any) -> str:
    """Return the value if it is text, else nothing."""
    return value if isinstance(value, str) else ""


def count_of(value: Any) -> int | None:
    """Return a count of tokens; None where the provider did not say, which is not zero."""
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None


def tool_request(request_id: str, name: str, arguments: Any) -> ToolRequest:
    """Read a tool call whose arguments are an object, or text that should be one."""
    if isinstance(arguments, dict):
        return ToolRequest(id=request_id, name=name, arguments=arguments)
    raw = arguments if isinstance(arguments, str) else json.dumps(arguments)
    parsed = _parsed(raw)
    if not isinstance(parsed, dict):
        return ToolRequest(id=request_id, name=name, arguments=None, raw_arguments=raw)
    return ToolRequest(id=request_id, name=name, arguments=parsed)


def _parsed(raw: str) -> Any:
    try:
        return parse_json(raw or "{}")  # a tool without parameters is often called with no text at all
    except ValueError:
        return None


def parse_json(text: str | bytes) -> Any:
    """Parse JSON as its standard has it. Raises ValueError, for NaN and for bottomless nesting too."""
    try:
        return json.loads(text, parse_constant=_refuse_constant)
    except RecursionError:
        raise ValueError("nested too deeply") from None


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


def sent_arguments(request: ToolRequest) -> JsonObject:
    """Return the arguments as an object for the way back: providers refuse what is not one."""
    return {"raw_arguments": request.raw_arguments} if request.arguments is None else request.arguments
