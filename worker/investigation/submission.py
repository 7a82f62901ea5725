"""What a model hands in as its report: the tool it calls, how that is read, what is kept of a wrong one."""

import json
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from worker.domain.conversation import JsonObject, ToolDefinition
from worker.domain.report import Category, Confidence, Submission
from worker.domain.states import ReportVerdict
from worker.errors import ToolInputError
from worker.investigation.arguments import explain, tidied

TOOL_NAME = "submit_report"
_ROUNDS = 25
_CUT = object()
_LISTS = ("root_causes", "contributing_factors", "timeline", "ruled_out", "gaps", "suggestions")
_NOT_STRICT = frozenset({"title", "default", "minLength", "maxLength", "minItems", "maxItems", "minimum", "$defs"})
"""Keywords that providers refuse in strict mode; the bounds are checked here all the same."""


def strict_schema(schema: JsonObject) -> JsonObject:
    """Rewrite a schema for strict mode: no references, every property required, nothing additional."""
    inlined: JsonObject = _inlined(schema, schema.get("$defs", {}))
    return inlined


def _inlined(node: Any, definitions: JsonObject) -> Any:
    if isinstance(node, list):
        return [_inlined(item, definitions) for item in node]
    if not isinstance(node, dict):
        return node
    if "$ref" in node:
        target = definitions[node["$ref"].rsplit("/", 1)[-1]]
        return _inlined({**target, **{k: v for k, v in node.items() if k != "$ref"}}, definitions)
    plain = {k: _inlined(v, definitions) for k, v in node.items() if k not in _NOT_STRICT and k != "properties"}
    if "properties" in node:  # apart, because a property may be called `title`
        plain["properties"] = {name: _inlined(value, definitions) for name, value in node["properties"].items()}
        plain["required"], plain["additionalProperties"] = list(plain["properties"]), False
    return plain


SUBMIT_REPORT = ToolDefinition(
    name=TOOL_NAME,
    description=(
        "Hand in the report; this ends the investigation. Cite the id of a tool result for every claim and copy quotes"
        " exactly: each is checked against the result, and a claim that does not hold lowers the verdict."
        " `no_incident` and `inconclusive` are good answers where they are true. Use [] and null for what there is"
        " nothing to say about."
    ),
    parameters=strict_schema(Submission.model_json_schema()),
)


def parse_submission(arguments: JsonObject) -> Submission:
    """Read the arguments of `submit_report`; `ToolInputError` names each field that is wrong."""
    try:
        return Submission.model_validate(_tidied(arguments))
    except ValidationError as error:
        raise ToolInputError(explain(error, TOOL_NAME)) from error


def _tidied(arguments: JsonObject) -> JsonObject:
    return tidied(arguments, lists=_LISTS, words=("verdict", "confidence"))


def salvage(arguments: JsonObject) -> Submission | None:
    """Keep what validates of a report that failed; None where neither a summary nor a cause is left.

    Whatever stands in its place claims less: without a readable verdict the report is inconclusive.
    """
    left: JsonObject = {"verdict": ReportVerdict.INCONCLUSIVE, "confidence": Confidence.LOW} | _tidied(arguments)
    for _ in range(_ROUNDS):
        try:
            return Submission.model_validate(left)
        except ValidationError as error:
            left = _pruned(left, error.errors(include_url=False))
        if not _has_substance(left):
            return None
    return None


def _has_substance(left: JsonObject) -> bool:
    return bool(left.get("summary") or left.get("root_causes"))


def _pruned(left: JsonObject, details: list[ErrorDetails]) -> JsonObject:
    """Cut what the errors name: too long is shortened, wrong goes, and a block lacking a part goes whole."""
    pruned: JsonObject = json.loads(json.dumps(left, default=str))
    for detail in details:
        _cut(pruned, detail)
    pruned = _without_cuts(pruned)
    pruned.setdefault("verdict", ReportVerdict.INCONCLUSIVE)
    pruned.setdefault("confidence", Confidence.LOW)
    pruned.setdefault("summary", _first_statement(pruned))
    return pruned


def _cut(pruned: JsonObject, detail: ErrorDetails) -> None:
    path = list(detail["loc"])
    if detail["type"] == "missing":
        path.pop()
    if not path:
        return
    holder: Any = pruned
    for part in path[:-1]:
        holder = holder[part]
        if holder is _CUT:
            return
    if path[-1] == "category" and detail["type"] == "enum":
        holder["category"] = Category.OTHER  # a word outside the vocabulary is no reason to lose the cause
        return
    limit = detail.get("ctx", {}).get("max_length")
    is_too_long = detail["type"] in {"too_long", "string_too_long"} and limit is not None
    holder[path[-1]] = holder[path[-1]][:limit] if is_too_long else _CUT


def _without_cuts(node: Any) -> Any:
    if isinstance(node, dict):
        return {name: _without_cuts(value) for name, value in node.items() if value is not _CUT}
    if isinstance(node, list):
        return [_without_cuts(item) for item in node if item is not _CUT]
    return node


def _first_statement(pruned: JsonObject) -> str:
    causes = pruned.get("root_causes")
    first = causes[0] if isinstance(causes, list) and causes else {}
    return str(first.get("statement", "")) if isinstance(first, dict) else ""
