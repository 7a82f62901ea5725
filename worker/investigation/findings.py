"""Findings: the tool by which a sub-agent hands one in, and the table in which its lead reads them."""

import json
from collections.abc import Callable, Sequence
from typing import Any

from pydantic import ValidationError

from worker.domain.conversation import JsonObject, ToolDefinition
from worker.domain.orchestration import Contribution, Finding, Strength
from worker.errors import ToolInputError
from worker.investigation.arguments import cited, explain, tidied
from worker.investigation.submission import strict_schema

FINDING_TOOL = "submit_finding"
BRIEF_CHARS = 200
"""What is left of a summary in the shortest form."""
_LISTS = ("suspects", "ruled_out", "follow_ups")

SUBMIT_FINDING = ToolDefinition(
    name=FINDING_TOOL,
    description=(
        "Hand in what you found; this ends your part. Cite the id of a tool result for what you claim and copy quotes"
        " exactly: the lead sees your finding and may open the results, nothing else of your work. `inconclusive` is a"
        " good answer where it is true. Use [] for what there is nothing to say about."
    ),
    parameters=strict_schema(Finding.model_json_schema()),
)


def parse_finding(arguments: JsonObject) -> Finding:
    """Read the arguments of `submit_finding`; `ToolInputError` names each field that is wrong."""
    tidy = tidied(arguments, lists=_LISTS, words=("strength",))
    if isinstance(tidy.get("evidence"), list):
        tidy["evidence"] = cited(tidy["evidence"])
    try:
        return Finding.model_validate(tidy)
    except ValidationError as error:
        raise ToolInputError(explain(error, FINDING_TOOL)) from error


def render_findings(contributions: Sequence[Contribution], *, limit_chars: int) -> str:
    """Write a wave's findings as JSON. Over the limit the weakest shrink first, and of equals the oldest."""
    rows = {c.agent_id: _whole(c) for c in contributions}
    for form in (_short, _shortest):
        for contribution in sorted(contributions, key=_worth):
            if len(_written(rows.values())) <= limit_chars:
                break
            rows[contribution.agent_id] = form(contribution)
    return _written(rows.values())


def _written(rows: Any) -> str:
    return json.dumps({"findings": list(rows)}, ensure_ascii=False, separators=(",", ":"))


def _worth(contribution: Contribution) -> tuple[int, int]:
    weakest_first = list(reversed(Strength))
    strength = contribution.finding.strength if contribution.finding else Strength.INCONCLUSIVE
    return weakest_first.index(strength), contribution.agent_no


def _whole(contribution: Contribution) -> JsonObject:
    return _row(contribution, lambda finding: finding.model_dump(mode="json"))


def _short(contribution: Contribution) -> JsonObject:
    """Leave out what was ruled out, left open or copied: ids can be opened."""
    return _row(
        contribution,
        lambda f: {
            "summary": f.summary,
            "strength": f.strength,
            "suspects": [{"entity": s.entity, "statement": s.statement} for s in f.suspects],
            "evidence": list(dict.fromkeys(c.evidence_id for c in f.evidence)),
        },
    )


def _shortest(contribution: Contribution) -> JsonObject:
    return _row(
        contribution,
        lambda f: {
            "summary": f.summary[:BRIEF_CHARS],
            "strength": f.strength,
            "suspects": [s.entity for s in f.suspects],
        },
    )


def _row(contribution: Contribution, tell: Callable[[Finding], JsonObject]) -> JsonObject:
    assignment = contribution.assignment
    named = {"agent": contribution.agent_no, "role": assignment.role, "purpose": assignment.purpose}
    if contribution.finding is None or contribution.is_late:
        return {**named, "not_done": contribution.missing}
    told = tell(contribution.finding)
    return {**named, **told, "not_done": contribution.missing} if contribution.missing else {**named, **told}
