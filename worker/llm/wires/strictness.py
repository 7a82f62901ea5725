"""Which schemas OpenAI's strict mode takes (https://platform.openai.com/docs/guides/structured-outputs)."""

from worker.domain.conversation import JsonObject

_TYPED = frozenset({"type", "anyOf", "$ref", "enum", "const"})
_NESTED = frozenset({"properties", "required", "additionalProperties", "items", "$defs"})
_STRICT_WORDS = _TYPED | _NESTED | {"description", "title"}


def is_strict(schema: JsonObject) -> bool:
    """Say whether strict mode takes the schema: only words it knows, objects closed, all properties required."""
    properties = schema.get("properties", {})
    if schema.keys() - _STRICT_WORDS or not schema.keys() & _TYPED:
        return False
    if schema.get("type") == "object":
        closed = schema.get("additionalProperties") is False
        if not closed or set(schema.get("required", ())) != set(properties):
            return False
    inner = [*properties.values(), *schema.get("$defs", {}).values(), *schema.get("anyOf", ())]
    inner += [schema["items"]] if "items" in schema else []
    return all(is_strict(child) for child in inner)
