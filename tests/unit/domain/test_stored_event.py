"""Events as rows hold them, written by this version or by a newer one."""

import pytest
from pydantic import ValidationError

from worker.domain.incident import IncidentEvent

FIELDS = {"title": "checkout is slow", "severity": "high"}


def test_what_only_a_newer_version_knows_is_left_out() -> None:
    assert IncidentEvent.stored({**FIELDS, "mood": "bad"}) == IncidentEvent.model_validate(FIELDS)


def test_at_the_door_the_same_field_is_refused() -> None:
    with pytest.raises(ValidationError, match="mood"):
        IncidentEvent.model_validate({**FIELDS, "mood": "bad"})
