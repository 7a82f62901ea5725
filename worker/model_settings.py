"""What may be set about models and their providers: one field for each variable, named as its document names it.

S0 names stand before S1's `LLM_` names where both mean the same. A key and an address that belong together are one
set (see `worker/llm/accounts.py`): a key never goes to an address of another set.
"""

import json
from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict


def trimmed(value: object) -> object:
    """Take off blanks and one pair of quotes around a pasted value; nothing left means unset."""
    if not isinstance(value, str):
        return value
    text = value.strip()
    if len(text) > 1 and text[0] == text[-1] and text[0] in "'\"":
        text = text[1:-1].strip()
    return text or None


def _checked_address(value: str | None) -> str | None:
    """Take off the slash at the end. Raises ValueError for what no request can go to, or what would tell a secret."""
    if value is None:
        return None
    parts = urlsplit(value)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise ValueError("has to be an address that begins with http:// or https://")
    if parts.username or parts.password:
        raise ValueError("has to be without user and password; a key has a variable of its own")
    return value.rstrip("/")


def _checked_json(value: SecretStr | None) -> SecretStr | None:
    if value is None:
        return None
    try:
        is_whole = isinstance(json.loads(value.get_secret_value()), dict)
    except ValueError:
        is_whole = False
    if not is_whole:
        raise ValueError("has to be the whole JSON of a service account's key file")
    return value


def _lower(value: object) -> object:
    return value.lower().rstrip(".") if isinstance(value, str) else value


Backend = Literal["ollama", "vllm", "openai", "deepseek", "gemini", "anthropic", "auto"]
Geography = Literal["us", "eu", "apac", "jp", "au", "us-gov", "global"]
Key = SecretStr | None
Text = str | None
Address = Annotated[str, AfterValidator(_checked_address)]
OwnAddress = Annotated[str | None, AfterValidator(_checked_address)]


class ModelSettings(BaseSettings):
    """Providers, their accounts, and who uses which model. Empty variables count as unset."""

    model_config = SettingsConfigDict(env_ignore_empty=True, frozen=True, extra="ignore")

    # Which provider
    llm_provider_mode: Text = Field(default=None, description="`openrouter`, `direct` or one provider's name.")
    llm_backend: Annotated[Backend | None, BeforeValidator(_lower)] = Field(
        default=None, description="Mode and default model in one; `auto`: the vLLM or else the Ollama that answers."
    )

    # Hosted providers
    openrouter_api_key: Key = Field(default=None, description="Key of OpenRouter.")
    openrouter_base_url: Address = Field(default="https://openrouter.ai/api/v1", description="API of OpenRouter.")
    openai_api_key: Key = Field(default=None, description="Key of OpenAI.")
    openai_base_url: Address = Field(default="https://api.openai.com/v1", description="API of OpenAI.")
    anthropic_api_key: Key = Field(default=None, description="Key of Anthropic.")
    anthropic_base_url: Address = Field(default="https://api.anthropic.com", description="API of Anthropic.")
    llm_anthropic_api_key: Key = Field(default=None, description="Another name of ANTHROPIC_API_KEY.")
    llm_anthropic_base_url: OwnAddress = Field(
        default=None, description="Where LLM_ANTHROPIC_API_KEY goes; unset: Anthropic."
    )
    google_ai_api_key: Key = Field(default=None, description="Key of Google AI (Gemini).")
    llm_gemini_api_key: Key = Field(default=None, description="Another name of GOOGLE_AI_API_KEY.")
    llm_gemini_base_url: Text = Field(default=None, description="Ignored with a warning: Gemini takes no base URL.")
    llm_deepseek_api_key: Key = Field(default=None, description="Key of DeepSeek.")
    llm_deepseek_base_url: Address = Field(default="https://api.deepseek.com", description="API of DeepSeek.")

    # Vertex AI
    vertex_ai_project: Text = Field(
        default=None, description="Google Cloud project; unset: the one in VERTEX_AI_SERVICE_ACCOUNT_JSON."
    )
    vertex_ai_service_account_json: Annotated[Key, AfterValidator(_checked_json)] = Field(
        default=None, description="The service account's key file, its text; never written to a file."
    )
    google_application_credentials: Text = Field(
        default=None, description="Path of a key file; unset too: Application Default Credentials."
    )
    vertex_ai_location: str = Field(default="global", description="Location of Vertex AI.")

    # Azure OpenAI
    azure_openai_api_key: Key = Field(default=None, description="Key of the Azure OpenAI resource.")
    azure_openai_endpoint: OwnAddress = Field(
        default=None, description="The resource, or one deployment of it (`…/openai/deployments/NAME`)."
    )
    azure_openai_api_version: Text = Field(
        default=None, description="Version of Azure's API; not needed where the endpoint ends with `/openai/v1`."
    )

    # AWS Bedrock
    bedrock_base_url: OwnAddress = Field(
        default=None, description="OpenAI-compatible gateway before Bedrock; unset: Bedrock itself, by the AWS SDK."
    )
    bedrock_api_key: Key = Field(default=None, description="The gateway's key, if it wants one.")
    bedrock_region: Text = Field(
        default=None,
        description="Region of Bedrock; unset: AWS_REGION or AWS_DEFAULT_REGION once Bedrock is asked for.",
    )
    bedrock_access_key_id: Key = Field(
        default=None, description="AWS access key; any BEDROCK_ one beats all AWS_ ones."
    )
    bedrock_secret_access_key: Key = Field(default=None, description="Its secret.")
    bedrock_session_token: Key = Field(default=None, description="Its session token, with temporary credentials.")
    bedrock_profile: Text = Field(default=None, description="A named AWS profile in place of keys.")
    bedrock_inference_profile_prefix: Annotated[Geography | None, BeforeValidator(_lower)] = Field(
        default=None, description="Geography of inference profiles; unset: that of the region."
    )
    aws_region: Text = Field(default=None, description="Read for Bedrock where BEDROCK_REGION is unset.")
    aws_default_region: Text = Field(default=None, description="The same, after AWS_REGION.")
    aws_access_key_id: Key = Field(default=None, description="Read for Bedrock where no BEDROCK_ credential is set.")
    aws_secret_access_key: Key = Field(default=None, description="Its secret.")
    aws_session_token: Key = Field(default=None, description="Its session token.")
    aws_profile: Text = Field(default=None, description="A named profile, after the AWS_ keys.")

    # Endpoints of one's own
    ollama_base_url: OwnAddress = Field(default=None, description="Ollama, with or without `/v1`.")
    ollama_num_ctx: Annotated[int, Field(ge=1024)] = Field(
        default=32_768, description="Tokens of context asked of Ollama, which cuts what is longer; more takes memory."
    )
    vllm_base_url: OwnAddress = Field(default=None, description="vLLM, with or without `/v1`.")
    vllm_api_key: Key = Field(default=None, description="Its key, if it was started with one.")
    llm_openai_compatible_base_url: OwnAddress = Field(
        default=None, description="Any endpoint that speaks OpenAI chat."
    )
    llm_openai_compatible_api_key: Key = Field(default=None, description="Its key, if it wants one.")
    rca_local_providers: Text = Field(
        default=None,
        description="Providers, by comma, whose address of your own keeps data on your machines:"
        " a compatible endpoint, a Bedrock gateway. `local_only` incidents may use them.",
    )

    rca_llm_config: Path | None = Field(
        default=None, description="Your YAML file about models: what they cost and can do."
    )

    models_enabled_by_default: bool = Field(
        default=True, description="Whether models that no access rule names may be used."
    )
    configured_provider_models_mode: Annotated[Literal["fallback", "allowlist"], BeforeValidator(_lower)] = Field(
        default="fallback",
        description="What lists such as OPENAI_MODELS are: what to show while a provider lists none, or all it may"
        " be asked for.",
    )

    rca_model_list_s: Annotated[float, Field(ge=0)] = Field(
        default=300.0,
        description="How long what an endpoint lists of its models is remembered; 0: endpoints are not asked.",
    )

    # Keys that are stored, and who manages models
    aurora_secret_key: Key = Field(default=None, description="Seed that stored keys are sealed with; keep it stable.")
    aurora_secret_key_previous: Key = Field(
        default=None, description="The seed before, which still opens: for `rca secrets rotate`."
    )
    jwt_secret_key: Key = Field(default=None, description="The seed where AURORA_SECRET_KEY is unset.")
    byo_base_url_allowlist: Text = Field(
        default=None, description="Hosts, by comma, that callers may name though they are yours, by http too."
    )
    rca_byo_ttl_s: Annotated[float, Field(gt=0)] = Field(
        default=86_400.0, description="How long a caller's key is kept: to be admitted, to run, to be retried."
    )
    vault_addr: OwnAddress = Field(default=None, description="Vault or OpenBao; keys are stored there, not here.")
    vault_token: Key = Field(default=None, description="Its token.")
    vault_llm_mount: str = Field(default="aurorasoc", description="KV version 2 mount of the providers' keys.")
    vault_llm_path: str = Field(default="llm-providers", description="Path below it, one secret for each provider.")
    aurora_master_key: Key = Field(default=None, description="Bearer of `/admin/api/v1`, with every permission.")
    keep_only_aliases_at_models_endpoint: bool = Field(
        default=False, description="Whether `/v1/models` lists aliases alone; the models behind them stay usable."
    )

    # Which model
    main_model: Text = Field(default=None, description="Model of follow-up questions, `provider/model`.")
    rca_model: Text = Field(default=None, description="Model of an investigation, `provider/model`.")
    rca_optimize_costs: bool = Field(default=True, description="With no RCA_MODEL: true a cheap model, false a strong.")
    orchestrator_enabled: bool = Field(
        default=False, description="Whether a lead may send out sub-agents; RCA_MODEL is bypassed then."
    )
    rca_orchestrator_model: Text = Field(default=None, description="Model of the lead: triage, synthesis, verify.")
    rca_subagent_model: Text = Field(default=None, description="Model of sub-agents, and of an agent that works alone.")
    guardrails_llm_model: Text = Field(default=None, description="Model of the command judge.")
    main_model_fallback: Text = Field(
        default=None, description="Models by comma, asked in place of MAIN_MODEL while that cannot be."
    )
    rca_model_fallback: Text = Field(default=None, description="The same for an investigation's model.")
    rca_orchestrator_model_fallback: Text = Field(default=None, description="The same for the lead's.")
    rca_subagent_model_fallback: Text = Field(default=None, description="The same for that of sub-agents.")
    guardrails_llm_model_fallback: Text = Field(default=None, description="The same for the judge's.")
    rca_temperature: Annotated[float | None, Field(ge=0, allow_inf_nan=False)] = Field(
        default=None, description="Sampling temperature of every agent, in the provider's range; unset: its default."
    )

    # The default models of each provider
    llm_openrouter_model: Text = Field(default=None, description="Default model where OpenRouter is asked.")
    llm_openrouter_orchestrator_model: Text = Field(default=None, description="The same for the lead.")
    llm_openai_model: Text = Field(default=None, description="Default model where OpenAI is asked.")
    llm_openai_orchestrator_model: Text = Field(default=None, description="The same for the lead.")
    llm_openai_compatible_model: Text = Field(default=None, description="Default model of the compatible endpoint.")
    llm_openai_compatible_orchestrator_model: Text = Field(default=None, description="The same for the lead.")
    llm_azure_model: Text = Field(default=None, description="Default deployment of Azure OpenAI.")
    llm_azure_orchestrator_model: Text = Field(default=None, description="The same for the lead.")
    llm_anthropic_model: Text = Field(default=None, description="Default model where Anthropic is asked.")
    llm_anthropic_orchestrator_model: Text = Field(default=None, description="The same for the lead.")
    llm_gemini_model: Text = Field(default=None, description="Default model where Google AI is asked.")
    llm_gemini_orchestrator_model: Text = Field(default=None, description="The same for the lead.")
    llm_vertex_model: Text = Field(default=None, description="Default model where Vertex AI is asked.")
    llm_vertex_orchestrator_model: Text = Field(default=None, description="The same for the lead.")
    llm_bedrock_model: Text = Field(default=None, description="Default model where Bedrock is asked.")
    llm_bedrock_orchestrator_model: Text = Field(default=None, description="The same for the lead.")
    llm_deepseek_model: Text = Field(default=None, description="Default model where DeepSeek is asked.")
    llm_deepseek_orchestrator_model: Text = Field(default=None, description="The same for the lead.")
    llm_ollama_model: Text = Field(default=None, description="Default model of Ollama.")
    llm_ollama_orchestrator_model: Text = Field(default=None, description="The same for the lead.")
    llm_vllm_model: Text = Field(default=None, description="Default model of vLLM.")
    llm_vllm_orchestrator_model: Text = Field(default=None, description="The same for the lead.")

    @model_validator(mode="before")
    @classmethod
    def _trim(cls, given: object) -> object:
        """Trim every text; what was nothing but blanks or quotes is unset."""
        if not isinstance(given, dict):
            return given
        clean = {name: (value, trimmed(value)) for name, value in given.items()}
        return {name: text for name, (value, text) in clean.items() if text is not None or value is None}
