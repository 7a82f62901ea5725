"""Which model is whose once a lead may send out sub-agents."""

from dataclasses import dataclass
from typing import Any

import pytest

from tests.llm_builders import bare_settings
from worker.domain.orchestration import PinnedRoutes
from worker.errors import ConfigError, RouteError
from worker.llm.routing import Role, Router

ANTHROPIC_KEY = {"anthropic_api_key": "k2"}
BOTH_KEYS = ANTHROPIC_KEY | {"openai_api_key": "k3"}
MODELS = {"rca_orchestrator_model": "anthropic/claude-opus-4.7", "rca_subagent_model": "anthropic/claude-sonnet-4.6"}
ALL_LOCAL = {"rca_orchestrator_model": "offline/analyst", "rca_subagent_model": "offline/analyst"}
OPUS, SONNET, HAIKU = "anthropic/claude-opus-4-7", "anthropic/claude-sonnet-4-6", "anthropic/claude-haiku-4-5"


@dataclass(frozen=True)
class Card:
    name: str
    model: str | None


PLAIN = Card("runtime_state_investigator", None)


def router(**given: Any) -> Router:
    return Router(bare_settings(**{"orchestrator_enabled": True, **given}))


def pin(made: Router, *cards: Card, named: str | None = None, local_only: bool = False) -> PinnedRoutes:
    pinned = made.pinned(cards, named=named, local_only=local_only)
    assert pinned is not None
    return pinned


# What has to be set


@pytest.mark.parametrize(
    ("given", "named"),
    [
        ({}, "RCA_ORCHESTRATOR_MODEL and RCA_SUBAGENT_MODEL"),
        ({"rca_model": "anthropic/claude-haiku-4.5"}, "RCA_ORCHESTRATOR_MODEL and RCA_SUBAGENT_MODEL"),
        ({"rca_subagent_model": "anthropic/claude-sonnet-4.6"}, "needs RCA_ORCHESTRATOR_MODEL;"),
        ({"rca_orchestrator_model": "anthropic/claude-opus-4.7"}, "needs RCA_SUBAGENT_MODEL;"),
    ],
)
def test_a_missing_model_is_named_with_what_to_write(given: dict[str, Any], named: str) -> None:
    with pytest.raises(ConfigError, match=named) as refused:
        router(**ANTHROPIC_KEY, **given)

    assert "write provider/model" in str(refused.value)
    assert "offline/analyst" in str(refused.value)


def test_without_any_provider_the_missing_models_are_named_all_the_same() -> None:
    with pytest.raises(ConfigError, match="RCA_ORCHESTRATOR_MODEL and RCA_SUBAGENT_MODEL"):
        router()


@pytest.mark.parametrize("variable", ["RCA_ORCHESTRATOR_MODEL", "RCA_SUBAGENT_MODEL"])
def test_a_model_that_leads_nowhere_stops_the_start_and_names_its_variable(variable: str) -> None:
    with pytest.raises(ConfigError, match=rf"{variable}: .*OPENAI_API_KEY"):
        router(**ANTHROPIC_KEY, **(MODELS | {variable.lower(): "openai/gpt-4.1"}))


def test_both_models_may_be_the_offline_analyst_and_then_no_provider_is_needed() -> None:
    for mode in (None, "direct"):
        made = router(**ALL_LOCAL, llm_provider_mode=mode)

        assert pin(made).orchestrator.wire == pin(made).subagent.wire == "offline"
        assert made.judge_route() is None


def test_one_of_both_may_be_the_offline_analyst() -> None:
    pinned = pin(router(**ANTHROPIC_KEY, **(MODELS | {"rca_subagent_model": "offline/analyst"})))

    assert (pinned.orchestrator.label, pinned.subagent.label) == (OPUS, "offline/analyst")


# Without an orchestrator


def test_without_an_orchestrator_nothing_is_pinned_and_its_models_mean_nothing() -> None:
    off = router(orchestrator_enabled=False, **ANTHROPIC_KEY, **(MODELS | {"rca_subagent_model": "no such model"}))

    assert off.pinned([PLAIN], named=None, local_only=False) is None
    assert off.route(Role.RCA).label == HAIKU
    with pytest.raises(RouteError, match="ORCHESTRATOR_ENABLED is not set"):
        off.route(Role.SUBAGENT)


# Whose model is whose


def test_lead_and_sub_agents_have_their_own_models_and_the_variables_as_origin() -> None:
    made = router(**ANTHROPIC_KEY, **MODELS)

    lead, subagent = made.route(Role.ORCHESTRATOR), made.route(Role.SUBAGENT)
    assert (lead.label, lead.origin) == (OPUS, "RCA_ORCHESTRATOR_MODEL")
    assert (subagent.label, subagent.origin) == (SONNET, "RCA_SUBAGENT_MODEL")
    assert made.route(Role.RCA) == subagent


@pytest.mark.parametrize("rca_model", ["anthropic/claude-3-haiku", "offline/analyst", "openai/o3", "no such model"])
def test_rca_model_influences_nothing_and_that_is_said(rca_model: str) -> None:
    with_it, without = (router(**ANTHROPIC_KEY, **MODELS, rca_model=name) for name in (rca_model, None))

    assert pin(with_it, PLAIN) == pin(without, PLAIN)
    assert with_it.route(Role.RCA) == without.route(Role.RCA)
    assert with_it.judge_route() == without.judge_route()
    (said,) = set(with_it.warnings) - set(without.warnings)
    assert said.startswith("RCA_MODEL is set and bypassed")


def test_the_incidents_model_beats_everything_for_every_role() -> None:
    card = Card("runbook_lookup", "anthropic/claude-3-haiku")

    pinned = pin(router(**ANTHROPIC_KEY, **MODELS), card, named="claude-haiku-4.5")

    assert {pinned.orchestrator.label, pinned.subagent.label, pinned.of("runbook_lookup").label} == {HAIKU}
    assert pinned.orchestrator.origin == "named by the incident"


def test_a_model_of_the_incident_that_leads_nowhere_is_refused() -> None:
    with pytest.raises(RouteError, match="OPENAI_API_KEY"):
        pin(router(**ANTHROPIC_KEY, **MODELS), named="openai/gpt-4.1")


@pytest.mark.parametrize("named", [None, "", "  "])
def test_a_roles_own_model_beats_that_of_the_sub_agents(named: str | None) -> None:
    pinned = pin(
        router(**ANTHROPIC_KEY, **MODELS), Card("runbook_lookup", "anthropic/claude-haiku-4.5"), PLAIN, named=named
    )

    assert pinned.of("runbook_lookup").label == HAIKU
    assert pinned.of("runbook_lookup").origin == "role runbook_lookup"
    assert pinned.of(PLAIN.name) == pinned.subagent
    assert pinned.of("a role that came later") == pinned.subagent
    assert pinned.notes == ()


def test_a_roles_model_that_leads_nowhere_gives_way_with_a_note() -> None:
    pinned = pin(router(**ANTHROPIC_KEY, **MODELS), Card("runbook_lookup", "openai/gpt-4.1"), PLAIN)

    assert pinned.of("runbook_lookup").label == SONNET
    (note,) = pinned.notes
    for piece in ("runbook_lookup", SONNET, "openai/gpt-4.1", "OPENAI_API_KEY"):
        assert piece in note


# Data that must not leave the host


@pytest.mark.parametrize(
    ("given", "told"),
    [
        (MODELS, OPUS),
        (MODELS | {"rca_orchestrator_model": "offline/analyst"}, SONNET),
        (MODELS | {"rca_subagent_model": "offline/analyst"}, OPUS),
    ],
)
def test_a_local_incident_is_refused_where_lead_or_sub_agents_leave_the_host(given: dict[str, str], told: str) -> None:
    with pytest.raises(RouteError, match=f"the incident is local_only and {told} is not on this host"):
        pin(router(**ANTHROPIC_KEY, **given), local_only=True)


def test_a_local_incident_may_name_a_local_model() -> None:
    pinned = pin(router(**ANTHROPIC_KEY, **MODELS), PLAIN, named="offline/analyst", local_only=True)

    assert not any(route.data_leaves_host for route in (pinned.orchestrator, pinned.subagent))


def test_a_local_incident_may_not_name_another() -> None:
    with pytest.raises(RouteError, match="local_only"):
        pin(router(**ANTHROPIC_KEY, **ALL_LOCAL), named="claude-haiku-4.5", local_only=True)


def test_a_roles_model_that_leaves_the_host_gives_way_for_a_local_incident() -> None:
    cards = Card("runbook_lookup", "anthropic/claude-haiku-4.5"), Card("ticket_history", "offline/analyst")

    pinned = pin(router(**ANTHROPIC_KEY, **ALL_LOCAL), *cards, local_only=True)

    assert pinned.of("runbook_lookup").label == "offline/analyst"
    assert list(pinned.roles) == ["ticket_history"]
    (note,) = pinned.notes
    assert f"local_only and {HAIKU} is not on this host" in note


# The judge, and warnings


@pytest.mark.parametrize(
    ("given", "label"),
    [
        (MODELS, HAIKU),
        (MODELS | {"rca_subagent_model": "openai/gpt-5.2"}, "openai/gpt-4.1-mini"),
        (MODELS | {"rca_subagent_model": "openai/gpt-4.1", "rca_model": "claude-opus-4.6"}, "openai/gpt-4.1-mini"),
        (MODELS | {"guardrails_llm_model": "openai/gpt-4o-mini"}, "openai/gpt-4o-mini"),
    ],
)
def test_the_judge_is_the_cheap_model_of_the_sub_agents_provider_unless_named(
    given: dict[str, str], label: str
) -> None:
    judge = router(**BOTH_KEYS, **given).judge_route()

    assert judge is not None
    assert judge.label == label


def test_reasoning_models_are_asked_over_the_wire_on_which_they_call_tools() -> None:
    chosen = router(**BOTH_KEYS, rca_orchestrator_model="openai/o3", rca_subagent_model="openai/gpt-4.1")

    wires = {role: chosen.route(role).wire for role in (Role.ORCHESTRATOR, Role.SUBAGENT)}
    assert wires == {Role.ORCHESTRATOR: "openai_responses", Role.SUBAGENT: "openai_chat"}
