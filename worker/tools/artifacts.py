"""The tool that reads a stored output again, whole where it was shown in part."""

import re
from typing import Any

from pydantic import Field

from worker.domain.tooling import ToolContext
from worker.errors import ToolFailedError, ToolInputError
from worker.tools.output import Answer
from worker.tools.typed import Arguments, TypedTool

MAX_LINES = 200
LINE_CHARS = 400
"""Outputs are one long line as a rule: they are read in lines of this length."""
MAX_PATTERN_CHARS = 200


class _ReadArguments(Arguments):
    id: str = Field(description="the artifact's id, as shown with the shortened output, or an evidence id")
    pattern: str | None = Field(
        default=None, max_length=MAX_PATTERN_CHARS, description="only lines with this text, without regard to case"
    )
    start_line: int = Field(default=1, ge=1)
    end_line: int | None = Field(default=None, ge=1, description=f"default and most: {MAX_LINES} lines")


def read_artifact() -> TypedTool[_ReadArguments]:
    return TypedTool(
        name="read_artifact",
        description="Read a stored output by its id or evidence id: a range of lines, or the lines that hold a text.",
        arguments=_ReadArguments,
        answer=_read,
    )


def _read(arguments: _ReadArguments, context: ToolContext) -> Answer:
    if context.read_artifact is None:
        raise ToolFailedError("no stored outputs here")
    lines = in_lines(context.read_artifact(arguments.id))
    end = arguments.end_line or len(lines)
    if end < arguments.start_line:
        raise ToolInputError(
            f"end_line {end} is before start_line {arguments.start_line}; there are {len(lines)} lines"
        )
    chosen = _matching(lines[arguments.start_line - 1 : end], arguments)
    rows: list[dict[str, Any]] = [{"line": no, "text": text} for no, text in chosen[:MAX_LINES]]
    return Answer(query=arguments.said(), rows=rows, total_rows=len(chosen), extra={"lines": len(lines)})


def _matching(lines: list[str], arguments: _ReadArguments) -> list[tuple[int, str]]:
    numbered = list(enumerate(lines, start=arguments.start_line))
    if arguments.pattern is None:
        return numbered
    wanted = arguments.pattern.lower()
    return [(no, line) for no, line in numbered if wanted in line.lower()]


def in_lines(text: str) -> list[str]:
    """Cut a text into lines of a readable length; rows of a JSON answer begin lines of their own."""
    broken = re.sub(r"(?<=[}\]]),(?=[{\[])", ",\n", text)
    return [line[i : i + LINE_CHARS] for line in broken.splitlines() for i in range(0, max(len(line), 1), LINE_CHARS)]
