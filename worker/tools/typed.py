"""A tool made of a model of its arguments and a function that answers."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from typing import Annotated, Any, Generic, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from worker.domain.conversation import JsonObject, ToolDefinition
from worker.domain.incident import TimeWindow
from worker.domain.tooling import ToolContext, ToolOutput
from worker.errors import ToolInputError
from worker.tools.output import Answer, render

MAX_ROWS = 1000


def _in_utc(moment: datetime) -> datetime:
    """All times are UTC: a time without a zone too."""
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


Time = Annotated[datetime, AfterValidator(_in_utc)]
Limit = Annotated[int, Field(ge=1, le=MAX_ROWS)]


class Arguments(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    def said(self) -> dict[str, Any]:
        """Return the arguments that are in effect, without those left out."""
        return self.model_dump(mode="json", exclude_none=True)


class Windowed(Arguments):
    """Arguments of a tool that looks at a stretch of time."""

    start: Time | None = Field(default=None, description="UTC; default: start of the incident window")
    end: Time | None = Field(default=None, description="UTC; default: end of the incident window")

    def window(self, default: TimeWindow) -> TimeWindow:
        """Return the window asked for, its open sides taken from the default."""
        start, end = self.start or default.start, self.end or default.end
        if start >= end:
            raise ToolInputError(f"start {start.isoformat()} is not before end {end.isoformat()}; all times are UTC")
        return TimeWindow(start=start, end=end)


A = TypeVar("A", bound=Arguments)


@dataclass(frozen=True)
class TypedTool(Generic[A]):
    """One tool a model may ask; arguments that do not fit raise `ToolInputError` that says what would."""

    name: str
    description: str
    arguments: type[A]
    answer: Callable[[A, ToolContext], Answer]

    @property
    def definition(self) -> ToolDefinition:
        return ToolDefinition(name=self.name, description=self.description, parameters=schema_of(self.arguments))

    def run(self, arguments: dict[str, Any], context: ToolContext) -> ToolOutput:
        return render(self.answer(self._parsed(arguments), context))

    def _parsed(self, arguments: dict[str, Any]) -> A:
        try:
            return self.arguments.model_validate(arguments)
        except ValidationError as error:
            problems = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors())
            known = ", ".join(self.arguments.model_fields) or "none"
            raise ToolInputError(f"{self.name}: {problems}. Arguments: {known}") from error


@cache
def schema_of(arguments: type[BaseModel]) -> JsonObject:
    """Return the JSON Schema of the arguments, plain: no titles, and what may be left out is simply not required."""
    schema = arguments.model_json_schema()
    properties = {name: _plain(p) for name, p in schema.get("properties", {}).items()}
    required = schema.get("required", [])
    return {"type": "object", "properties": properties, "required": required, "additionalProperties": False}


def _plain(schema: JsonObject) -> JsonObject:
    options = [o for o in schema.get("anyOf", []) if o.get("type") != "null"]
    merged = {**(options[0] if len(options) == 1 else {}), **schema}
    dropped = {"title", "anyOf"} if len(options) == 1 else {"title"}
    return {k: v for k, v in merged.items() if k not in dropped and not (k == "default" and v is None)}
