"""Reads the guardrail's own files (rules, policy): YAML against a schema, every complaint with file, line and field."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TypeVar

import yaml
from pydantic import BaseModel, ValidationError

from worker.errors import ConfigError

_M = TypeVar("_M", bound=BaseModel)
_Loader: type[yaml.SafeLoader] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
"""The one in C where PyYAML has it: ten times as fast."""


def read_file(file: Path, schema: type[_M]) -> tuple[_M, str]:
    """Return what the file says, and its text. Raises `ConfigError` that names the file, the line and the field."""
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{file}: cannot be read ({type(error).__name__})") from error
    root: yaml.Node | None = None
    try:
        loader = _Loader(text)
        root = loader.get_single_node()
        _refuse_doubles(root, file)
        return schema.model_validate(loader.construct_document(root) if root else {}), text
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise ConfigError(f"{file}: line {line}: {error.problem or 'no YAML'}") from error
    except yaml.YAMLError as error:
        raise ConfigError(f"{file}: no YAML ({type(error).__name__})") from error
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(map(str, first["loc"])) or "the file"
        raise ConfigError(f"{file}: line {_line_of(root, first['loc'])}: {field}: {first['msg']}") from error


def line_of(file: Path, value: str) -> int | None:
    """Return the line of a value in a file that was read before; None where it no longer is."""
    waiting = [yaml.compose(file.read_text(encoding="utf-8"), Loader=_Loader)]
    while waiting:
        node = waiting.pop()
        if isinstance(node, yaml.ScalarNode) and str(node.value).strip() == value:
            return int(node.start_mark.line) + 1
        if isinstance(node, yaml.SequenceNode):
            waiting += node.value
        elif isinstance(node, yaml.MappingNode):
            waiting += [child for _, child in node.value]
    return None


def _refuse_doubles(root: yaml.Node | None, file: Path) -> None:
    """Refuse a key that stands twice: of two `deny:` lists YAML would keep the second in silence."""
    for mapping in _mappings(root):
        seen: set[str] = set()
        for key, _ in mapping.value:
            if key.value in seen and key.value != "<<":
                raise ConfigError(f"{file}: line {key.start_mark.line + 1}: {key.value}: stands twice")
            seen.add(str(key.value))


def _mappings(root: yaml.Node | None) -> Iterator[yaml.MappingNode]:
    waiting, met = [root], set()
    while waiting:
        node = waiting.pop()
        if id(node) in met:
            continue
        met.add(id(node))
        if isinstance(node, yaml.MappingNode):
            yield node
            waiting += [part for pair in node.value for part in pair]
        elif isinstance(node, yaml.SequenceNode):
            waiting += node.value


def _line_of(node: yaml.Node | None, place: Sequence[int | str]) -> int:
    """Return the line of a field; of what is nearest above it, where it is missing."""
    line = 1
    for step in place:
        if isinstance(node, yaml.MappingNode):
            found = next(((key, value) for key, value in node.value if key.value == step), None)
            if found is None:
                break
            line, node = found[0].start_mark.line + 1, found[1]
        elif isinstance(node, yaml.SequenceNode) and isinstance(step, int) and step < len(node.value):
            node = node.value[step]
            line = node.start_mark.line + 1
    return line
