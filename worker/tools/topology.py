"""The tool over topology: who calls whom."""

from collections.abc import Iterable
from difflib import get_close_matches
from typing import Any

from pydantic import Field

from worker.domain.tooling import ToolContext
from worker.errors import ToolInputError
from worker.tools.output import Answer
from worker.tools.sources.ports import Topology, TopologySource
from worker.tools.typed import Arguments, TypedTool


class _ShowArguments(Arguments):
    entity: str | None = Field(default=None, description="exact name; default: the whole topology")
    depth: int = Field(default=2, ge=1, le=20, description="calls up and down from the entity")


def show_topology(source: TopologySource) -> TypedTool[_ShowArguments]:
    def answer(arguments: _ShowArguments, context: ToolContext) -> Answer:
        whole = source.topology(deadline=context.deadline)
        topology = around(whole, arguments.entity, arguments.depth) if arguments.entity else whole
        extra: dict[str, object] = {"nodes": topology.nodes, "edges": topology.edges}
        if arguments.entity:
            extra["callers"] = sorted(a for a, b in whole.edges if b == arguments.entity)
            extra["callees"] = sorted(b for a, b in whole.edges if a == arguments.entity)
        return Answer(
            query=arguments.said(),
            rows=[_row(whole, name) for name in topology.nodes],
            extra=extra,
            entities=topology.nodes,
        )

    return TypedTool(
        name="show_topology",
        description="Show who calls whom: everything, or the surroundings of one entity with its callers and callees.",
        arguments=_ShowArguments,
        answer=answer,
    )


def _row(topology: Topology, name: str) -> dict[str, Any]:
    return {
        "entity": name,
        "caller_count": sum(callee == name for _, callee in topology.edges),
        "callee_count": sum(caller == name for caller, _ in topology.edges),
    }


def around(topology: Topology, entity: str, depth: int) -> Topology:
    """Return what lies within `depth` calls of an entity. Raises `ToolInputError` for one that is not there."""
    if entity not in topology.nodes:
        close = get_close_matches(entity, topology.nodes, n=3, cutoff=0.4)
        raise ToolInputError(f"no entity {entity!r} in the topology; close: {', '.join(close) or 'none'}")
    near = {entity}
    for _ in range(depth):
        near |= _neighbours(topology, near)
    edges = tuple((a, b) for a, b in topology.edges if a in near and b in near)
    return Topology(tuple(n for n in topology.nodes if n in near), edges)


def _neighbours(topology: Topology, names: Iterable[str]) -> set[str]:
    inside = set(names)
    return {b for a, b in topology.edges if a in inside} | {a for a, b in topology.edges if b in inside}
