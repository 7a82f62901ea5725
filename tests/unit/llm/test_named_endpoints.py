"""Names that operators give: aliases, profiles, endpoints, lists and who may use them (rules 5.1 to 5.6)."""

from pathlib import Path
from typing import Any

import pytest

from tests.llm_builders import bare_settings
from worker.domain.conversation import Route
from worker.domain.model_state import AccessRule, Alias, ModelState
from worker.errors import ConfigError, ModelAccessDeniedError, RouteError
from worker.llm.access import Access
from worker.llm.routing import Role, Router
from worker.llm.standing import read_standing

AEGIS = """
llm:
  providers:
    - name: gpt-4o
      type: openai
      api_key: "env:OPENAI_API_KEY"
      model: gpt-4o
      max_tokens: 4096
      context_window: 128000
      temperature: 0.2
    - name: azure-gpt4o
      type: openai
      api_key: "env:AZURE_OPENAI_KEY"
      base_url: "https://my-resource.openai.azure.com/openai/deployments/gpt-4o"
      api_version: "2024-02-01"
      model: gpt-4o
      max_tokens: 4096
    - name: claude-3-5-sonnet
      type: anthropic
      api_key: "env:ANTHROPIC_API_KEY"
      model: claude-3-5-sonnet-20241022
      max_tokens: 8192
      context_window: 200000
    - name: claude-3-5-haiku
      type: anthropic
      api_key: "env:ANTHROPIC_API_KEY"
      model: claude-3-5-haiku-20241022
      max_tokens: 4096
      context_window: 200000
    - name: ollama-qwen
      type: ollama
      base_url: "http://localhost:11434"
      model: qwen2.5-coder:32b
      max_tokens: 4096
      context_window: 32000
  aliases:
    default: gpt-4o              # Used when no model is specified
    fast: claude-3-5-haiku       # Low latency, lower cost
    reasoning: gpt-4o            # High-capability tasks
    local: ollama-qwen           # Air-gapped / zero API cost
    review: claude-3-5-sonnet    # Long-context review tasks
"""
INSTANCE = """
providers:
  local-vllm:
    type: vllm
    base_url: "http://localhost:8000/v1"
    models:
      - id: my-local-chat-model
        metadata: {context_window: 32768, max_output_tokens: 4096}
"""
KEYS = {"anthropic_api_key": "k", "openai_api_key": "k", "llm_provider_mode": "direct"}


@pytest.fixture
def build(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Return what makes a router with this file, state and environment."""
    for name in ("OPENAI_API_KEY", "ANTHROPIC_API_KEY", "AZURE_OPENAI_KEY"):
        monkeypatch.setenv(name, f"key-of-{name}")

    def make(
        text: str = "", *, state: ModelState | None = None, variables: dict[str, str] | None = None, **given: Any
    ) -> Router:
        file = tmp_path / "llm.yaml"
        file.write_text(text)
        settings = bare_settings(rca_llm_config=file, **given)
        standing = read_standing(settings, state)
        return Router(settings, source=lambda: standing, variables=variables or {})

    return make


def alias(name: str, target: str, **fields: Any) -> ModelState:
    return ModelState(aliases=(Alias(name=name, target=target, **fields),))


def named(router: Router, name: str) -> Route:
    return router.route(Role.RCA, named=name)


# 5.1


@pytest.mark.parametrize(
    ("name", "label", "wire"),
    [
        ("fast", "anthropic/claude-3-5-haiku-20241022", "anthropic_messages"),
        ("reasoning", "openai/gpt-4o", "openai_chat"),
        ("local", "ollama/qwen2.5-coder:32b", "ollama_chat"),
        ("review", "anthropic/claude-3-5-sonnet-20241022", "anthropic_messages"),
        ("azure-gpt4o", "azure/gpt-4o", "openai_chat"),
    ],
)
def test_5_1_an_alias_leads_to_its_profile_in_any_mode(build: Any, name: str, label: str, wire: str) -> None:
    for mode in ({}, {"llm_provider_mode": "openrouter", "openrouter_api_key": "k"}):
        route = named(build(AEGIS, **mode), name)

        assert (route.label, route.wire) == (label, wire)


def test_5_1_a_shadow_alias_wins_over_the_model_of_its_name(build: Any) -> None:
    router = build(state=alias("gpt-4o", "anthropic/claude-haiku-4.5"), **KEYS)

    route = named(router, "gpt-4o")

    assert (route.label, route.alias) == ("anthropic/claude-haiku-4-5", "gpt-4o")
    assert named(router, "openai/gpt-4o").label == "openai/gpt-4o"


def test_5_1_an_alias_that_is_off_or_dangles_lets_the_model_through(build: Any) -> None:
    off = build(state=alias("gpt-4o", "anthropic/claude-haiku-4.5", enabled=False), **KEYS)
    dangling = build(state=alias("gpt-4o", "google/gemini-2.5-pro"), **KEYS)
    lost = build(state=alias("regular", "google/gemini-2.5-pro"), **KEYS)

    assert named(off, "gpt-4o").label == named(dangling, "gpt-4o").label == "openai/gpt-4o"
    with pytest.raises(RouteError, match=r"the alias regular stands for google/gemini-2.5-pro.*GOOGLE_AI_API_KEY"):
        named(lost, "regular")


def test_5_1_one_hop_and_no_more(build: Any) -> None:
    two = ModelState(aliases=(Alias(name="a", target="b"), Alias(name="b", target="openai/gpt-4o")))

    with pytest.raises(RouteError):
        named(build(state=two, **KEYS), "a")


def test_5_1_a_stored_alias_counts_before_the_files(build: Any) -> None:
    router = build(AEGIS, state=alias("fast", "openai/gpt-4.1-mini"), **KEYS)

    assert named(router, "fast").label == "openai/gpt-4.1-mini"


# 5.2


def test_5_2_default_is_used_when_nothing_is_named(build: Any) -> None:
    router = build(AEGIS)

    assert router.route(Role.RCA).label == router.route(Role.MAIN).label == "openai/gpt-4o"
    assert router.route(Role.RCA).origin == "alias default"
    assert build(AEGIS, **KEYS, rca_model="anthropic/claude-opus-4.7").route(Role.RCA).model == "claude-opus-4-7"


def test_5_2_an_alias_of_a_profile_that_is_not_there_is_named_with_it(build: Any) -> None:
    with pytest.raises(ConfigError, match=r"llm.aliases.fast: gpt-5o is no profile \(there are gpt-4o, azure-gpt4o"):
        build(AEGIS.replace("fast: claude-3-5-haiku", "fast: gpt-5o"))


# 5.3


def test_5_3_a_key_of_the_environment_is_named_never_held(build: Any) -> None:
    route = named(build(AEGIS), "azure-gpt4o")

    assert route.credential_ref == "env:AZURE_OPENAI_KEY"
    assert "key-of" not in route.model_dump_json()


def test_5_3_a_variable_that_is_not_set_is_named_with_its_owner(build: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AZURE_OPENAI_KEY")

    with pytest.raises(ConfigError, match=r"llm.providers.azure-gpt4o: api_key: the variable AZURE_OPENAI_KEY is not"):
        build(AEGIS)


def test_5_3_a_literal_key_is_taken_with_a_warning_and_shown_nowhere(build: Any) -> None:
    router = build(AEGIS.replace("env:AZURE_OPENAI_KEY", "literal-secret"))
    route = named(router, "azure-gpt4o")

    assert route.credential_ref == "literal:azure-gpt4o"
    assert any("RCA_LLM_CONFIG holds the key of azure-gpt4o itself" in warning for warning in router.warnings)
    assert "literal-secret" not in str(router.warnings) + "\n".join(router.explain("azure-gpt4o"))
    assert "literal-secret" not in repr(router._current())


# 5.4


def test_5_4_a_profiles_parameters_are_those_of_its_route(build: Any) -> None:
    route = named(build(AEGIS, rca_temperature=0.9), "reasoning")

    assert (route.max_output_tokens, route.context_window, route.temperature) == (4096, 128000, 0.2)
    fallback = build(AEGIS, **KEYS, rca_model="anthropic/claude-haiku-4.5", rca_model_fallback="reasoning")
    assert fallback.route(Role.RCA).fallbacks[0].temperature == 0.2


def test_5_4_a_temperature_that_the_provider_does_not_take_is_an_error(build: Any) -> None:
    hot = AEGIS.replace("max_tokens: 8192", "max_tokens: 8192\n      temperature: 1.5")

    with pytest.raises(ConfigError, match=r"claude-3-5-sonnet: temperature: 1.5 is too high; anthropic takes 0 to 1"):
        build(hot)


# 5.5

PATHS = ("/team/alpha",)
RULES = [
    (("/", False), [], False),
    (("/", True), ["/"], True),
    (("gpt-4o", True), ["/team/beta"], False),
    (("gpt-4o", True), ["/team/alpha"], True),
    (("openai/", True), ["/team"], True),
    (("openai/gpt-4o", False), ["/"], False),
    (("openai/gpt-4.1", False), [], True),
    (("anthropic/", False), [], True),
]


@pytest.mark.parametrize(("rule", "paths", "allowed"), RULES)
def test_5_5_a_rule_decides_for_what_it_names(rule: tuple[str, bool], paths: list[str], allowed: bool) -> None:  # noqa: FBT001 - a column
    access = Access([AccessRule(selector=rule[0], enabled=rule[1], user_paths=tuple(paths))])

    assert access.allows(provider="openai", model="gpt-4o", user_path="/team/alpha/svc") is allowed


def test_5_5_the_most_specific_alone_decides() -> None:
    order = ["/", "gpt-4o", "openai/", "openai/gpt-4o"]
    rules = [
        AccessRule(selector=s, enabled=bool(i % 2), user_paths=("/",) if i % 2 else ()) for i, s in enumerate(order)
    ]

    for count in range(1, 5):
        access = Access(rules[:count])
        assert access.allows(provider="openai", model="gpt-4o", user_path="/a") is (count % 2 == 0)


@pytest.mark.parametrize(
    ("path", "allowed"), [("/team/alpha", True), ("/team/alpha/svc", True), ("/team-alpha", False), (None, False)]
)
def test_5_5_a_path_covers_what_is_below_it_alone(path: str | None, allowed: bool) -> None:  # noqa: FBT001 - a column
    access = Access([AccessRule(selector="openai/", user_paths=PATHS)])

    assert access.allows(provider="openai", model="gpt-4o", user_path=path) is allowed


def test_5_5_without_a_rule_the_setting_decides() -> None:
    assert Access().allows(provider="openai", model="gpt-4o", user_path=None)
    assert not Access(is_open=False).allows(provider="openai", model="gpt-4o", user_path="/a")


def test_5_5_all_spellings_are_one_model() -> None:
    access = Access([AccessRule(selector="anthropic/claude-haiku-4.5", enabled=False)])

    for model in ("claude-haiku-4-5", "claude-haiku-4.5", "claude-haiku-4-5-20251001"):
        assert not access.allows(provider="anthropic", model=model, user_path="/")
    assert access.allows(provider="openrouter", model="anthropic/claude-haiku-4.5", user_path="/")


def test_5_5_an_alias_and_its_target_both_have_to_allow(build: Any) -> None:
    regular = Alias(name="regular", target="openai/gpt-4o")
    on_alias = AccessRule(selector="regular", user_paths=("/team/alpha",))
    on_target = AccessRule(selector="openai/gpt-4o", user_paths=("/team",))
    router = build(state=ModelState(aliases=(regular,), rules=(on_alias, on_target)), **KEYS)

    router.require_access([named(router, "regular")], user_path="/team/alpha/svc")
    for path in ("/team/beta", "/other"):
        with pytest.raises(ModelAccessDeniedError, match=f"{path} may not use regular"):
            router.require_access([named(router, "regular")], user_path=path)
    router.require_access([named(router, "openai/gpt-4o")], user_path="/team/beta")


# 5.6


def test_5_6_variables_of_one_more_name_make_an_endpoint(build: Any) -> None:
    variables = {"OPENAI_EAST_API_KEY": "k", "OPENAI_EAST_BASE_URL": "https://east.example.com/v1"}
    route = named(build(variables=variables, **KEYS), "openai-east/gpt-4o")

    assert (route.label, route.vendor, route.base_url) == (
        "openai-east/gpt-4o",
        "openai",
        "https://east.example.com/v1",
    )
    assert route.credential_ref == "env:OPENAI_EAST_API_KEY"


def test_5_6_documented_names_are_no_endpoint_and_the_longest_provider_wins(build: Any) -> None:
    reserved = {"GOOGLE_AI_API_KEY": "k", "LLM_ANTHROPIC_API_KEY": "k", "OPENAI_API_KEY": "k"}
    longest = {"OPENAI_COMPATIBLE_EU_BASE_URL": "http://eu/v1"}

    assert build(variables=reserved)._current().resolver.directory.endpoints == {}
    (endpoint,) = build(variables=longest)._current().resolver.directory.endpoints.values()
    assert (endpoint.name, endpoint.kind.name) == ("openai-compatible-eu", "openai-compatible")


@pytest.mark.parametrize(
    ("variable", "value", "said"),
    [
        ("OPENAI_EAST_BASE_URL", "https://east.example.com/v1", "OPENAI_EAST_*: openai needs an api_key"),
        ("AZURE_SEARCH_API_KEY", "k", "AZURE_SEARCH_*: azure needs a base_url"),
        ("ANTHROPIC_VERTEX_BASE_URL", "https://v.example.com", "ANTHROPIC_VERTEX_*: anthropic needs an api_key"),
    ],
)
def test_5_6_half_an_endpoint_is_none_and_says_what_it_needs(build: Any, variable: str, value: str, said: str) -> None:
    """Other programs name their variables so too: they must not keep a worker from its start."""
    router = build(variables={variable: value, "OPENAI_API_KEY": "k"})

    assert router._current().resolver.directory.endpoints == {}
    (warning,) = (w for w in router.warnings if variable.rpartition("_")[0][:9] in w)
    assert said in warning
    assert "so it is no endpoint" in warning


def test_5_6_a_model_of_half_an_endpoint_is_refused_with_what_it_needs(build: Any) -> None:
    router = build(variables={"OPENAI_EAST_BASE_URL": "https://east.example.com/v1"}, **KEYS)

    with pytest.raises(RouteError, match=r"OPENAI_EAST_\*: openai needs an api_key"):
        named(router, "openai-east/gpt-4o")


def test_5_6_an_allowlist_is_all_that_may_be_asked_for(build: Any) -> None:
    variables = {"OPENAI_MODELS": " gpt-4o, ,gpt-4.1 ,gpt-4o "}
    closed = build(variables=variables, configured_provider_models_mode="ALLOWLIST", **KEYS)

    assert closed._current().resolver.directory.lists == {"openai": ("gpt-4o", "gpt-4.1")}
    assert named(closed, "openai/gpt-4o").model == "gpt-4o"
    assert named(closed, "anthropic/claude-haiku-4.5").provider == "anthropic"  # no list, no limit
    with pytest.raises(RouteError, match=r"openai/gpt-5.4 is not among .* name one of these: gpt-4o, gpt-4.1"):
        named(closed, "openai/gpt-5.4")
    assert named(build(variables=variables, **KEYS), "openai/gpt-5.4").model == "gpt-5.4"


def test_5_6_a_list_of_no_provider_is_warned_about(build: Any) -> None:
    router = build(variables={"ORACLE_MODELS": "openai.gpt-oss-120b,xai.grok-3"}, **KEYS)

    assert "ORACLE_MODELS is set and oracle is no provider here" in router.warnings


# The file's endpoints


def test_an_entry_of_another_name_is_an_endpoint(build: Any) -> None:
    route = named(build(INSTANCE), "local-vllm/my-local-chat-model")

    assert (route.label, route.vendor, route.base_url) == (
        "local-vllm/my-local-chat-model",
        "vllm",
        "http://localhost:8000/v1",
    )
    assert (route.context_window, route.max_output_tokens, route.data_leaves_host) == (32768, 4096, False)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("providers: {mine: {base_url: 'http://x/v1'}}", "providers.mine: type: nothing is no provider"),
        ("providers: {mine: {type: azure}}", "providers.mine: azure needs an api_key"),
        ("providers: {mine: {type: openai-compatible}}", "providers.mine: openai-compatible needs a base_url"),
        ("providers: {mine: {type: vertex}}", "vertex takes a set of credentials"),
        ("providers: {mine: {type: vllm, base_url: 'ftp://x'}}", "begins with http:// or https://"),
        ("providers: {anthropic: {api_key: 'env:ANTHROPIC_API_KEY'}}", "give the entry another name"),
    ],
)
def test_an_entry_that_cannot_be_an_endpoint_is_named(build: Any, text: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        build(text)


def test_two_of_one_name_are_refused(build: Any) -> None:
    text = "providers: {openai-east: {type: vllm, base_url: 'http://x/v1'}}"

    with pytest.raises(ConfigError, match=r"openai-east is already defined by OPENAI_EAST_\*"):
        build(text, variables={"OPENAI_EAST_API_KEY": "k"})


def test_an_endpoint_may_be_declared_to_be_ones_own_machine(build: Any) -> None:
    text = "providers: {gateway: {type: openai-compatible, base_url: 'http://gw/v1'}}"

    assert named(build(text), "gateway/x").data_leaves_host is True
    assert named(build(text, rca_local_providers="gateway"), "gateway/x").data_leaves_host is False
    with pytest.raises(ConfigError, match="RCA_LOCAL_PROVIDERS: elsewhere is no provider"):
        build(text, rca_local_providers="elsewhere")
