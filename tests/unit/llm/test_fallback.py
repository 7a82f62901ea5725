"""Who is asked in whose place: by the operator's chain alone, once a call, never off a host that is closed."""

from typing import Any

import pytest

from tests.llm_builders import bare_settings, hello, route_of
from worker.domain.conversation import AssistantMessage, Confirm, ModelAnswer, ModelRequest, Route, StopReason
from worker.errors import (
    ConfigError,
    ContextOverflowError,
    LeaseLostError,
    LimitReachedError,
    MalformedAnswerError,
    ModelNotFoundError,
    ProviderAuthError,
    ProviderError,
    ProviderQuotaError,
    ProviderRateLimitedError,
    ProviderUnavailableError,
)
from worker.llm.fallback import FIRST_SHARE, FallbackModel
from worker.llm.routing import Role, Router

FIRST = route_of("anthropic_messages", model="first")
SECOND, THIRD = (route_of("openai_chat", model=name) for name in ("second", "third"))
CHAIN = FIRST.model_copy(update={"fallbacks": (SECOND, THIRD)})


class Models:
    """Answers for each model by name, or raises what stands there; a call takes `takes_s` of the clock."""

    def __init__(self, **answers: Exception | None) -> None:
        self.answers, self.asked = answers, list[tuple[str, float]]()
        self.now, self.takes_s = 0.0, 0.0

    def ask(
        self, request: ModelRequest, *, route: Route, timeout_s: float, confirm: Confirm | None = None
    ) -> ModelAnswer:
        self.asked.append((route.model, timeout_s))
        self.now += self.takes_s
        if confirm:
            confirm()
        if error := self.answers.get(route.model):
            raise error
        return ModelAnswer(message=AssistantMessage(text=route.model), stop_reason=StopReason.END)


def ask(models: Models, route: Route = CHAIN, **options: Any) -> ModelAnswer:
    return FallbackModel(models, lambda: models.now).ask(hello(), route=route, **{"timeout_s": 90.0, **options})


def held_back(error: ProviderError) -> ProviderError:
    error.was_asked = False
    return error


@pytest.mark.parametrize("error", [ProviderUnavailableError("down"), ProviderRateLimitedError("slow down")])
def test_another_answers_in_its_place_and_that_is_said(error: ProviderError) -> None:
    models = Models(first=error)

    answer = ask(models)

    assert answer.message.text == "second"
    assert answer.fallback is not None
    assert (answer.fallback.route, answer.fallback.reason) == (SECOND, error.reason)
    assert [name for name, _ in models.asked] == ["first", "second"]


@pytest.mark.parametrize(
    "kind",
    [
        ProviderAuthError,
        ProviderQuotaError,
        ModelNotFoundError,
        ContextOverflowError,
        MalformedAnswerError,
        LimitReachedError,
    ],
)
def test_what_another_could_not_mend_is_not_handed_on(kind: type[ProviderError]) -> None:
    models = Models(first=kind("no"))

    with pytest.raises(kind):
        ask(models)

    assert [name for name, _ in models.asked] == ["first"]


def test_an_answer_is_nobodys_fallback() -> None:
    assert ask(Models()).fallback is None


def test_one_other_is_asked_and_the_error_stays_the_first_ones() -> None:
    models = Models(first=ProviderRateLimitedError("slow down", retry_after_s=30), second=ProviderAuthError("bad key"))

    with pytest.raises(ProviderRateLimitedError, match="slow down; in its place bad key") as caught:
        ask(models)

    assert caught.value.retry_after_s == 30
    assert [name for name, _ in models.asked] == ["first", "second"]


def test_who_is_held_back_now_is_passed_over() -> None:
    models = Models(first=ProviderUnavailableError("down"), second=held_back(ProviderUnavailableError("circuit")))

    assert ask(models).message.text == "third"


def test_all_of_a_call_happens_in_its_time() -> None:
    models = Models(first=ProviderUnavailableError("down"))
    models.takes_s = 50.0

    ask(models)

    assert models.asked == [("first", 90 * FIRST_SHARE), ("second", 40.0)]


def test_a_route_without_a_chain_has_all_of_the_time() -> None:
    models = Models()

    ask(models, FIRST)

    assert models.asked == [("first", 90.0)]


def test_a_lost_claim_ends_the_call_before_another_is_asked() -> None:
    models = Models(first=ProviderUnavailableError("down"))
    turns = iter([None, LeaseLostError("gone")])

    def confirm() -> None:
        if error := next(turns):
            raise error

    with pytest.raises(LeaseLostError):
        ask(models, confirm=confirm)


# The chains

KEYS = {"anthropic_api_key": "k", "openai_api_key": "k", "llm_provider_mode": "direct"}
HAIKU, MINI = "anthropic/claude-haiku-4.5", "openai/gpt-4.1-mini"


def router(**given: Any) -> Router:
    return Router(bare_settings(**{**KEYS, **given}))


def labels(route: Route | None) -> list[str]:
    assert route is not None
    return [other.label for other in route.fallbacks]


def test_each_role_has_the_chain_of_its_variable() -> None:
    made = router(
        rca_model=HAIKU,
        rca_model_fallback=f" {MINI} , offline/analyst,",
        guardrails_llm_model=MINI,
        guardrails_llm_model_fallback=HAIKU,
    )

    assert labels(made.route(Role.RCA)) == ["openai/gpt-4.1-mini", "offline/analyst"]
    assert labels(made.judge_route()) == ["anthropic/claude-haiku-4-5"]
    assert labels(made.route(Role.MAIN)) == []


def test_an_orchestrated_team_has_two_and_roles_of_their_own_model_the_sub_agents() -> None:
    made = router(
        orchestrator_enabled=True,
        rca_orchestrator_model="anthropic/claude-opus-4.7",
        rca_orchestrator_model_fallback="openai/gpt-5.4",
        rca_subagent_model=HAIKU,
        rca_subagent_model_fallback=MINI,
    )

    class Card:
        name, model = "special", "anthropic/claude-sonnet-4.6"

    pinned = made.pinned([Card()], named=None, local_only=False)

    assert pinned is not None
    assert labels(pinned.orchestrator) == ["openai/gpt-5.4"]
    assert labels(pinned.subagent) == labels(pinned.roles["special"]) == ["openai/gpt-4.1-mini"]
    assert labels(made.route(Role.RCA)) == ["openai/gpt-4.1-mini"]


def test_a_model_that_the_incident_names_has_no_chain() -> None:
    made = router(rca_model=HAIKU, rca_model_fallback=MINI)

    assert labels(made.route(Role.RCA, named=HAIKU)) == []


def test_a_model_is_not_its_own_fallback() -> None:
    assert labels(router(rca_model=HAIKU, rca_model_fallback=f"claude-haiku-4-5,{MINI}").route(Role.RCA)) == [
        "openai/gpt-4.1-mini"
    ]


def test_of_a_local_only_incident_nothing_leaves_the_host_by_a_fallback() -> None:
    local = {"ollama_base_url": "http://localhost:11434", "rca_model": "ollama/qwen3", "guardrails_llm_model": HAIKU}
    made = router(**local, rca_model_fallback=f"{HAIKU},offline/analyst", guardrails_llm_model_fallback="ollama/qwen3")

    assert labels(made.route(Role.RCA, local_only=True)) == ["offline/analyst"]
    assert labels(made.route(Role.RCA)) == ["anthropic/claude-haiku-4-5", "offline/analyst"]
    assert made.judge_route(local_only=True) is None


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"rca_model_fallback": "no-such-model"}, "RCA_MODEL_FALLBACK: no provider is known"),
        (
            {"rca_model_fallback": "google/gemini-2.5-pro"},
            "RCA_MODEL_FALLBACK: .*set GOOGLE_AI_API_KEY",
        ),
        ({"guardrails_llm_model_fallback": "offline/analyst"}, "GUARDRAILS_LLM_MODEL_FALLBACK: .*cannot judge"),
    ],
)
def test_a_chain_that_leads_nowhere_is_an_error_of_the_start(given: dict[str, str], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        router(rca_model=HAIKU, **given)


def test_a_chain_is_explained() -> None:
    steps = router(rca_model=HAIKU, rca_model_fallback=MINI).explain(None)

    assert steps[-1] == "while it cannot be asked: openai/gpt-4.1-mini (RCA_MODEL_FALLBACK)"
