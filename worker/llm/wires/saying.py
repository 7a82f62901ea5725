"""What the wires share in saying a request."""

from worker.domain.conversation import JsonObject, ModelRequest, Route, ToolDefinition, ToolMessage


def output_limit(request: ModelRequest, route: Route) -> int | None:
    """Return how many tokens the answer may have: what is wanted, within what the model can; None: its default."""
    limits = [limit for limit in (request.max_output_tokens, route.max_output_tokens) if limit is not None]
    return min(limits) if request.max_output_tokens is not None else None


def result_text(message: ToolMessage) -> str:
    """Return a tool's result for a format that has no field for its failure."""
    return f"Error: {message.text}" if message.is_error else message.text


def function_of(tool: ToolDefinition) -> JsonObject:
    """Describe a tool as OpenAI's formats do, and those that follow them."""
    return {"name": tool.name, "description": tool.description, "parameters": tool.parameters}
