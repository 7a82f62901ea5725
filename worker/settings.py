"""Every environment variable, once: the name of a field in capitals is the name of its variable.

Those of models and providers stand in `worker/model_settings.py`; the environment itself is read here only.
"""

import json
import os
from functools import cached_property
from pathlib import Path
from typing import Annotated, Literal, get_args
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, Field, SecretStr, ValidationError

from worker.errors import ConfigError
from worker.model_settings import Key, ModelSettings, OwnAddress, Text


class _TopologyFile(BaseModel):
    nodes: tuple[str, ...] = ()
    edges: tuple[tuple[str, str], ...]


def _read_topology(file: Path) -> _TopologyFile:
    """Read who calls whom. Raises ValueError that says what is wrong with the file, and shows nothing of it."""
    try:
        return _TopologyFile.model_validate_json(file.read_bytes())
    except OSError as error:
        raise ValueError(f"{file} cannot be read ({error.strerror})") from None
    except ValidationError as error:
        first = error.errors()[0]
        raise ValueError(f"{file}: {'.'.join(map(str, first['loc'])) or 'the file'}: {first['msg']}") from None


def _checked_topology(file: Path | None) -> Path | None:
    if file is not None:
        _read_topology(file)
    return file


Seconds = Annotated[float, Field(gt=0)]
Count = Annotated[int, Field(ge=0)]
Dollars = Annotated[float, Field(ge=0, allow_inf_nan=False)]


class Settings(ModelSettings):
    """The configuration of one process. Empty variables count as unset."""

    # Places
    rca_home: Path = Field(default=Path(".rca"), description="Where embedded data lives.")
    database_url: Text = Field(default=None, description="SQLAlchemy URL; unset: SQLite below RCA_HOME.")
    redis_url: Text = Field(default=None, description="Redis URL; unset: `rca up` starts an embedded one.")
    rca_recorded_root: Path | None = Field(
        default=None, description="Folder below which the label `recorded_case` names a recorded incident."
    )

    # Logging
    rca_log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field(
        default="INFO", description="Least level that is logged."
    )
    rca_log_format: Literal["json", "console"] = Field(default="json", description="How log lines look.")

    rca_metrics_port: Annotated[int, Field(ge=0, le=65535)] = Field(
        default=0, description="Loopback port on which a worker serves its Prometheus metrics; 0: none."
    )
    otel_exporter_otlp_endpoint: Text = Field(
        default=None, description="OTLP receiver of traces over HTTP, as OpenTelemetry names it; unset: no traces."
    )

    # Steps
    rca_lease_s: Seconds = Field(default=4.0, description="How long a claimed step is held without a heartbeat.")
    rca_heartbeat_s: Seconds = Field(default=1.0, description="How often running claims are renewed.")
    rca_sweep_s: Seconds = Field(default=0.5, description="How often the sweeper looks.")
    rca_grace_s: Seconds = Field(default=20.0, description="What a worker may finish after SIGTERM.")
    rca_worker_slots: Annotated[int, Field(ge=1)] = Field(default=200, description="Threads of one worker process.")
    rca_worker_processes: Annotated[int, Field(ge=1)] = Field(
        default=1, description="Main worker processes that `rca up` starts."
    )
    rca_quarantine_slots: Annotated[int, Field(ge=1)] = Field(
        default=2, description="Threads of the quarantine process."
    )
    rca_step_attempts: Annotated[int, Field(ge=1)] = Field(
        default=3, description="Unexpected errors one step survives before its agent fails."
    )
    rca_max_running: Annotated[int, Field(ge=1)] = Field(
        default=50, description="Investigations that run at once; more wait as queued."
    )
    rca_max_running_per_path: Count = Field(
        default=0, description="Investigations of one user path that run at once; 0: no limit of its own."
    )
    rca_provider_outage_s: Seconds = Field(
        default=900.0, description="How long a provider may stay down before the agent fails."
    )

    # Budgets of one investigation
    rca_max_turns: Count = Field(default=30, description="Model turns of one agent.")
    rca_max_tokens: Count = Field(default=1_000_000, description="Tokens of one investigation, in and out.")
    rca_max_cost_usd: Dollars = Field(default=5.0, description="Dollars of one investigation.")
    rca_max_seconds: Annotated[float, Field(ge=0)] = Field(
        default=1800.0, description="Wall clock of one investigation."
    )

    # Budgets of one UTC day; unset: none, 0: nothing may be spent
    rca_day_tokens: Count | None = Field(default=None, description="Tokens of all investigations together in one day.")
    rca_day_cost_usd: Dollars | None = Field(default=None, description="Dollars of all together in one day.")
    rca_day_tokens_per_path: Count | None = Field(
        default=None, description="Tokens of each `user_path` in one day; a path below it has its own."
    )
    rca_day_cost_usd_per_path: Dollars | None = Field(
        default=None, description="Dollars of each `user_path` in one day; a path below it has its own."
    )
    rca_unpriced_usd_per_mtok: Dollars = Field(
        default=20.0,
        description="What a million tokens of unknown price count as in every budget of dollars: never as nothing.",
    )

    # Incidents
    rca_window_before_s: Seconds = Field(default=3600.0, description="Window of an incident before its start.")
    rca_window_after_s: Seconds = Field(default=1800.0, description="Window after its start, if it has not ended.")
    rca_fold_window_s: Seconds = Field(
        default=3600.0, description="How long the same alert joins an incident that is still open."
    )
    rca_related_window_s: Annotated[float, Field(ge=0)] = Field(
        default=120.0,
        description="How close in time an alert of the same or a neighbouring service joins an incident; 0: never.",
    )
    rca_topology_file: Annotated[Path | None, AfterValidator(_checked_topology)] = Field(
        default=None, description="JSON `{nodes, edges}`, edges being [caller, callee]: whose alerts are neighbours."
    )
    rca_stream: str = Field(default="rca:incidents", description="Redis stream that events arrive on.")
    rca_list: str = Field(default="rca:incidents:list", description="Redis list accepted besides.")

    rca_on_resolve: Literal["continue", "finish", "cancel"] = Field(
        default="continue",
        description="What an investigation does when its incident is over: go on, report what it has, or end.",
    )
    rca_retention_days: Annotated[float, Field(ge=0)] = Field(
        default=0, description="Days after which workers delete what is finished, like `rca purge`; 0: never."
    )

    # Deliveries
    rca_delivery_webhook_url: Key = Field(default=None, description="Where every report is posted as JSON.")
    rca_delivery_webhook_secret: Key = Field(default=None, description="Signs what is posted there (HMAC-SHA256).")
    rca_delivery_attempts: Annotated[int, Field(ge=1)] = Field(
        default=8, description="How often a report is sent before its delivery has failed."
    )
    rca_delivery_timeout_s: Seconds = Field(default=10.0, description="One attempt to deliver a report.")

    # Agents and their calls
    rca_roles_dir: Path | None = Field(
        default=None, description="Folder of role files that are added to the shipped ones, or replace them by name."
    )
    rca_verify: bool | None = Field(
        default=None, description="Whether a second call tries to refute each root cause; unset: when orchestrated."
    )
    guardrails_judge: Literal["unproven", "every"] = Field(
        default="unproven", description="Which commands the judge sees."
    )
    rca_call_timeout_s: Seconds = Field(default=120.0, description="One model call, retries included.")
    rca_judge_timeout_s: Seconds = Field(default=10.0, description="One judge call, retries included.")
    rca_call_attempts: Annotated[int, Field(ge=1)] = Field(default=3, description="Requests of one model call.")

    # Tools
    rca_tool_timeout_s: Seconds = Field(default=60.0, description="One tool call.")
    rca_tool_output_chars: Annotated[int, Field(ge=1000)] = Field(
        default=12_000, description="What a model sees of one output; the whole is stored as an artifact."
    )
    rca_commands: bool = Field(default=True, description="Whether `run_command` is offered.")
    rca_policy_file: Path | None = Field(
        default=None, description="The operator's `deny` and `allow` patterns of commands; unreadable: all are denied."
    )
    rca_rules_dir: Path | None = Field(
        default=None, description="Folder of rule files that add programs and hosts; unreadable: all are denied."
    )
    rca_sandbox: Literal["auto", "bwrap", "none"] = Field(
        default="auto", description="Whether commands run in bubblewrap; `auto`: where it is installed and works."
    )
    rca_sql_url: Text = Field(
        default=None, description="URL of the PostgreSQL database that `query_sql` reads; unset: it is not offered."
    )
    rca_kubeconfig: Path | None = Field(
        default=None, description="KUBECONFIG of the commands that `run_command` runs; unset: they have none."
    )

    # Web
    rca_http_host: str = Field(default="127.0.0.1", description="Address the web server binds.")
    rca_http_port: int = Field(default=8642, description="Its port.")
    rca_api_token: Key = Field(default=None, description="A token with all scopes, for a start without `rca tokens`.")
    rca_public_url: Text = Field(default=None, description="How people reach the web server.")
    rca_session_hours: Annotated[float, Field(gt=0, le=720)] = Field(
        default=12.0, description="How long a browser stays signed in."
    )
    rca_failed_logins_per_minute: Count = Field(
        default=10, description="Refused logins and secrets of one address before it has to wait; 0: no limit."
    )
    rca_oidc_issuer: OwnAddress = Field(default=None, description="OpenID Connect issuer that people sign in with.")
    rca_oidc_client_id: Text = Field(default=None, description="Who we are to the issuer.")
    rca_oidc_client_secret: Key = Field(default=None, description="Our secret there; unset: a public client.")
    rca_oidc_groups_claim: str = Field(default="groups", description="Claim of the ID token that lists groups.")
    rca_oidc_access: Text = Field(
        default=None,
        description='JSON `{group: {"scopes": [...], "user_path": "/..."}}`; the first that fits a person counts.',
    )
    rca_flower_port: int = Field(default=5555, description="Port of Flower, loopback only.")
    rca_flower_auth: Key = Field(default=None, description="`user:password` of Flower; unset: made on start.")

    @cached_property
    def database(self) -> str:
        """The database's URL with the driver that is installed."""
        url = self.database_url or f"sqlite:///{(self.rca_home / 'rca.db').resolve()}"
        for scheme in ("postgresql://", "postgres://"):
            url = url.replace(scheme, "postgresql+psycopg://", 1) if url.startswith(scheme) else url
        return url

    @cached_property
    def calls(self) -> frozenset[tuple[str, str]]:
        """Who calls whom, as (caller, callee), by the file of the topology as it was at the start."""
        return frozenset(_read_topology(self.rca_topology_file).edges) if self.rca_topology_file else frozenset()

    @cached_property
    def secrets(self) -> tuple[str, ...]:
        """Every secret value given, passwords inside URLs among them, for redaction."""
        values = [getattr(self, name) for name in type(self).model_fields]
        keys = [v.get_secret_value() for v in values if isinstance(v, SecretStr)]
        addresses = [getattr(self, name) for name in _ADDRESSES]
        passwords = filter(None, map(_password, filter(None, addresses)))
        return (*keys, *passwords, *_keys_inside(self.vertex_ai_service_account_json))


def _keys_inside(account: SecretStr | None) -> tuple[str, ...]:
    """Return what is secret in a service account's key file, which nobody sees whole."""
    fields = json.loads(account.get_secret_value()) if account else {}
    return tuple(str(fields[name]) for name in ("private_key", "private_key_id") if fields.get(name))


def _password(url: str) -> str | None:
    try:
        return urlsplit(url).password
    except ValueError:
        return None  # not a URL: whoever connects with it will say so


def find_problems() -> list[tuple[str, str]]:
    """List (variable, what is wrong with it) of this process's environment; empty when all is well."""
    try:
        Settings()
    except ValidationError as error:
        return _problems_of(error)
    return []


def load_settings() -> Settings:
    """Read the environment. Raises `ConfigError` that names each bad variable and what it accepts."""
    try:
        return Settings()
    except ValidationError as error:
        problems = "; ".join(f"{variable}: {problem}" for variable, problem in _problems_of(error))
    raise ConfigError(problems)


def _problems_of(error: ValidationError) -> list[tuple[str, str]]:
    return [(".".join(map(str, e["loc"])).upper(), e["msg"]) for e in error.errors()]


_ADDRESSES = ("database_url", "redis_url", "rca_sql_url", "otel_exporter_otlp_endpoint")
"""URLs that may hold a password."""


def is_secret(field: str) -> bool:
    """Say whether a field's value is never shown: a key, or a URL that may hold a password."""
    annotation = Settings.model_fields[field].annotation
    return field in _ADDRESSES or SecretStr in {annotation, *get_args(annotation)}


def read_variable(name: str) -> str | None:
    """Return a variable that somebody's file names; None where it is unset or empty."""
    return os.environ.get(name) or None  # noqa: TID251 - the one module that reads the environment


def read_environment() -> dict[str, str]:
    """Return all variables: some make a provider by their name alone, such as OPENAI_EAST_API_KEY."""
    return dict(os.environ)  # noqa: TID251 - the one module that reads the environment


def unknown_variables() -> list[str]:
    """List the variables that are set, look like ours and mean nothing here: most likely misspelled."""
    given = {name.upper() for name in os.environ}  # noqa: TID251 - the one module that reads the environment
    known = {name.upper() for name in Settings.model_fields} | _TEST_VARIABLES
    return sorted(name for name in given - known if name.startswith(_OUR_PREFIXES))


_OUR_PREFIXES = ("RCA_", "LLM_", "BEDROCK_", "VERTEX_AI_", "GUARDRAILS_")
_TEST_VARIABLES = {"RCA_TEST_REQUIRE_SERVICES", "RCA_CASES_DIR", "RCA_CORPORA_DIR"}

_HARMLESS = {"PATH", "HOME", "USER", "LANG", "LC_ALL", "LC_CTYPE", "TZ", "TMPDIR", "VIRTUAL_ENV", "LD_LIBRARY_PATH"}
"""What any program may know; everything else has to be asked for."""


def child_environment(*, keys: bool, **overrides: str) -> dict[str, str]:
    """Build the environment of a child process.

    With `keys` it is a copy of ours, for processes of this product. Without, it holds only what is
    known to be harmless: a list of what to drop would miss the key nobody has thought of yet.
    """
    ours = dict(os.environ)  # noqa: TID251 - the one module that reads the environment
    if keys:
        return ours | overrides
    ours_only = Settings.model_fields.keys() - ModelSettings.model_fields.keys()  # a profile leads to keys too
    plain = {name.upper() for name in ours_only if not is_secret(name)}
    allowed = {name: value for name, value in ours.items() if name in _HARMLESS or name.upper() in plain}
    return allowed | overrides
