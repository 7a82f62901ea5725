from typing import Any

import pytest

from tests.analyst_conversation import Conversation
from worker.investigation.offline.alarms import Alarm
from worker.investigation.offline.natures import Nature


def alarms_in(content: Any, *, tool: str = "cluster_state") -> tuple[Alarm, ...]:
    offered = ("cluster_state", "provider_status")
    return Conversation(service="till", offered=offered).told(tool, content).seen().alarms


HEALTHY_POD = {
    "name": "till-5d9f-x1",
    "phase": "Running",
    "containers": [{"name": "till", "ready": True, "restart_count": 0, "state": {"running": True}}],
    "conditions": [
        {"type": "Ready", "status": "True", "reason": ""},
        {"type": "MemoryPressure", "status": "False", "reason": "KubeletHasSufficientMemory"},
    ],
}


def test_a_healthy_state_raises_no_alarm() -> None:
    healthy = {
        "pods": [HEALTHY_POD],
        "deployments": [{"name": "till", "desired": 3, "ready": 3, "available": 3}],
        "nodes": [{"name": "n1", "ready": "True", "memory_pressure": "False"}],
        "monitors": [{"name": "till latency", "overall_state": "OK", "message": "errors above 5 %"}],
        "events": [],
    }

    assert alarms_in(healthy) == ()


@pytest.mark.parametrize(
    "sick",
    [
        {"conditions": [{"type": "Ready", "status": "False", "reason": "ContainersNotReady"}]},
        {"conditions": [{"type": "DiskPressure", "status": "True"}]},
        {"ready": "False"},
        {"memory_pressure": "True"},
        {"phase": "Failed"},
        {"restart_count": 9},
        {"desired": 3, "available": 1},
        {"state": {"waiting": {"reason": "CrashLoopBackOff"}}},
        {"overall_state": "Alert"},
    ],
)
def test_each_kind_of_abnormal_state_is_an_alarm_of_its_owner(sick: dict[str, Any]) -> None:
    found = alarms_in({"things": [{"name": "n1", **sick}]})

    assert {a.entity for a in found} == {"n1"}
    assert max(a.weight for a in found) >= 0.6


def test_a_pods_generated_name_is_folded_to_its_workload() -> None:
    (alarm,) = alarms_in({"pods": [{"name": "till-5d9f-x1", "phase": "Failed"}]})

    assert alarm.entity == "till"


def test_a_state_that_ran_out_of_memory_is_about_memory_or_restarts() -> None:
    (alarm,) = alarms_in({"pod_name": "till-1", "state": {"terminated": {"reason": "OOMKilled"}}})

    assert alarm.nature in {Nature.MEMORY, Nature.RESTARTS}


def test_a_log_line_that_speaks_of_trouble_is_a_mild_alarm() -> None:
    (alarm,) = alarms_in({"lines": [{"service": "till", "message": "connection refused by db"}]})

    assert 0 < alarm.weight < 0.6


def test_a_status_page_speaks_of_outside() -> None:
    (alarm,) = alarms_in({"components": [{"name": "Cards API", "status": "major_outage"}]}, tool="provider_status")

    assert alarm.is_external
    assert alarm.entity == "Cards API"


def test_a_calm_status_page_says_nothing() -> None:
    page = {"provider": "Cards", "components": [{"name": "API", "status": "operational"}], "incidents": []}

    assert alarms_in(page, tool="provider_status") == ()


def test_a_series_that_fills_up_is_an_alarm() -> None:
    (alarm,) = alarms_in(
        {"name": "db", "m": {"metric_name": "CPUUtilization", "unit": "Percent", "values": [95.0] * 9}}
    )

    assert alarm.entity == "db"


def test_a_series_of_free_space_alarms_when_it_falls() -> None:
    falling = [100.0, 99.0, 98.0, 60.0, 40.0, 30.0, 10.0, 5.0, 2.0]

    assert alarms_in({"metric_name": "FreeStorageSpace", "values": falling})
    assert not alarms_in({"metric_name": "FreeStorageSpace", "values": falling[::-1]})


def test_an_alarms_quote_stands_in_the_result() -> None:
    conversation = Conversation(offered=("cluster_state",)).told(
        "cluster_state", {"events": [{"object": "n1", "type": "Warning", "message": 'said "no"\nagain'}]}
    )

    (alarm,) = conversation.seen().alarms

    assert alarm.quote
    assert alarm.quote in conversation.record().results[0].text


def test_built_in_tools_are_not_searched_for_states() -> None:
    assert Conversation().told("search_logs", {"rows": [{"entity": "till", "level": "error"}]}).seen().alarms == ()


def test_output_that_is_no_json_is_passed_over() -> None:
    assert Conversation(offered=("cluster_state",)).said("cluster_state", "all well, no errors").seen().alarms == ()
