"""What a lead is told: the findings that come back as the result of its plan, in whatever length."""

from dataclasses import dataclass

from pydantic import ValidationError

from worker.domain.conversation import JsonObject
from worker.domain.orchestration import Finding
from worker.domain.report import Category, Citation
from worker.investigation.offline.reading import Record, Result
from worker.investigation.planning import PLANNING_TOOLS


@dataclass(frozen=True)
class Told:
    """What came of one sub-agent; `not_done` says why its finding is missing or was written by code."""

    role: str
    purpose: str
    finding: Finding | None
    not_done: str | None

    @property
    def citations(self) -> tuple[Citation, ...]:
        """Everything it cites, first what it rests on as a whole."""
        if self.finding is None:
            return ()
        suspects = (c for suspect in self.finding.suspects for c in suspect.evidence)
        ruled_out = (c for ruled_out in self.finding.ruled_out for c in ruled_out.evidence)
        return (*self.finding.evidence, *suspects, *ruled_out)


def is_led(record: Record) -> bool:
    """Say whether findings have come back: this is a lead, which answers from them."""
    return bool(_waves(record))


def read_told(record: Record) -> tuple[Told, ...]:
    """Return what came of each sub-agent, wave by wave."""
    waves = [r.content for r in _waves(record)]
    rows = [row for wave in waves if isinstance(wave, dict) for row in wave["findings"]]
    return tuple(Told(row["role"], row["purpose"], _finding(row), row.get("not_done")) for row in rows)


def _waves(record: Record) -> list[Result]:
    return [r for r in record.results if r.tool in PLANNING_TOOLS and not r.is_error]


def _finding(row: JsonObject) -> Finding | None:
    """Read a finding; one that was shortened may have lost all but names and ids."""
    fields = {name: row[name] for name in Finding.model_fields if name in row}
    fields["suspects"] = [_suspect(s) for s in row.get("suspects", ())]
    fields["evidence"] = [{"evidence_id": c} if isinstance(c, str) else c for c in row.get("evidence", ())]
    try:
        return Finding.model_validate(fields)
    except ValidationError:
        return None  # nobody has handed one in yet


def _suspect(told: JsonObject | str) -> JsonObject:
    known = {"entity": told, "statement": f"{told} is suspected."} if isinstance(told, str) else told
    return {"category": Category.OTHER, **known}
