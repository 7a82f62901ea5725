"""`rca config`: what is set, what is wrong with it, and what there is to set."""

import difflib
import json
import re
from collections.abc import Callable, Iterator
from typing import Any

import click
from pydantic import SecretStr

from worker.cli.doctor_sign_in import check_sign_in
from worker.cli.managed import find_router
from worker.errors import ConfigError
from worker.guardrails.policy import load_policy
from worker.investigation.roles import load_roles
from worker.model_settings import ModelSettings
from worker.ops.health import Check, CheckStatus, check_folder, render_check, worst
from worker.ops.tracing import open_tracer
from worker.settings import Settings, find_problems, is_secret, load_settings, unknown_variables
from worker.tools.sandbox import find_cage

LOOPBACK = {"127.0.0.1", "::1", "localhost"}
_URL_PASSWORD = re.compile(r"(?<=://)([^/@\s]*):[^/@\s]*(?=@)")


@click.group()
def config() -> None:
    """Look at the configuration."""


@config.command()
def check() -> None:
    """Show every setting with its origin, and what is wrong; exit code 1 if anything is."""
    problems = [_explain(variable, problem) for variable, problem in find_problems()]
    for problem in problems:
        click.echo(render_check(problem), err=True)
    if problems:
        raise SystemExit(1)
    settings = load_settings()
    for line in describe_settings(settings):
        click.echo(line)
    findings = [finding for look in CHECKS for finding in look(settings)]
    for finding in findings:
        click.echo(render_check(finding), err=finding.status is not CheckStatus.OK)
    raise SystemExit(1 if worst(findings) is CheckStatus.FAIL else 0)


@config.command(name="list")
@click.option("--markdown", is_flag=True, help="As a table for a document.")
def list_settings(markdown: bool) -> None:  # noqa: FBT001 - click passes flags by name
    """List every variable with its default, what it accepts and what it is for."""
    click.echo(render_table(variables()) if markdown else "\n".join(map(_as_text, variables())))


def describe_settings(settings: Settings) -> Iterator[str]:
    """Return a line for each setting: its variable, its value (never a secret's) and where it comes from."""
    for name in Settings.model_fields:
        origin = "set" if name in settings.model_fields_set else "default"
        yield f"{name.upper():<34} {origin:<8} {_shown(name, getattr(settings, name))}"


def variables() -> list[dict[str, str]]:
    """Return variable, default, accepted values and description of every setting, those of models last."""
    shapes = Settings.model_json_schema()["properties"]
    return [
        {
            "variable": name.upper(),
            "default": "" if field.default is None else _plain(field.default),
            "accepts": accepts(shapes[name]),
            "description": field.description or "",
        }
        for name, field in sorted(
            Settings.model_fields.items(), key=lambda named: named[0] in ModelSettings.model_fields
        )
    ]


def render_table(rows: list[dict[str, str]]) -> str:
    """Return the variables as a Markdown table."""
    lines = ["| Variable | Default | Accepts | What it is |", "| --- | --- | --- | --- |"]
    for row in rows:
        default = f"`{row['default']}`" if row["default"] else ""
        cells = (f"`{row['variable']}`", default, row["accepts"], row["description"])
        lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    return "\n".join(lines)


def accepts(shape: dict[str, Any]) -> str:
    """Say in words what a setting's JSON Schema takes."""
    options = [option for option in shape.get("anyOf", [shape]) if option.get("type") != "null"]
    return " or ".join(_accepts_one(option) for option in options)


def _accepts_one(shape: dict[str, Any]) -> str:
    if words := shape.get("enum") or ([shape["const"]] if "const" in shape else None):
        return ", ".join(map(str, words))
    signs = {"exclusiveMinimum": ">", "minimum": ">=", "exclusiveMaximum": "<", "maximum": "<="}
    bounds = [f"{sign} {shape[key]:g}" for key, sign in signs.items() if key in shape]
    kind = {"integer": "whole number", "boolean": "true, false", "string": "text"}.get(shape["type"], shape["type"])
    return " ".join(["path" if shape.get("format") == "path" else kind, *bounds])


def _explain(variable: str, problem: str) -> Check:
    shapes = Settings.model_json_schema()["properties"]
    shape = shapes.get(variable.lower())
    return Check.fail(variable or "settings", problem, fix=f"accepts {accepts(shape)}" if shape else "")


def _shown(name: str, value: object) -> str:
    if is_secret(name):
        return "unset" if value is None else "set, not shown"
    return "unset" if value is None else _URL_PASSWORD.sub(r"\1:***", _plain(value))


def _plain(value: object) -> str:
    if isinstance(value, SecretStr):
        return "set, not shown"
    return str(value) if isinstance(value, str) or not isinstance(value, bool | list | dict) else json.dumps(value)


def _as_text(row: dict[str, str]) -> str:
    default = f" Default: {row['default']}." if row["default"] else ""
    return f"{row['variable']}  ({row['accepts']})\n    {row['description']}{default}"


def _check_names(_settings: Settings) -> Iterator[Check]:
    known = [name.upper() for name in Settings.model_fields]
    for name in unknown_variables():
        near = difflib.get_close_matches(name, known, n=1)
        fix = f"did you mean {near[0]}?" if near else "see `rca config list`"
        yield Check.warn(name, "is set and means nothing here", fix=fix)


def _check_home(settings: Settings) -> Iterator[Check]:
    yield check_folder("RCA_HOME", settings.rca_home)


def _check_lease(settings: Settings) -> Iterator[Check]:
    if settings.rca_lease_s <= 2 * settings.rca_heartbeat_s:
        fix = "make RCA_LEASE_S at least three times RCA_HEARTBEAT_S"
        yield Check.fail("RCA_LEASE_S", "one late heartbeat would lose every running step", fix=fix)


def _check_exposure(settings: Settings) -> Iterator[Check]:
    has_way_in = settings.rca_api_token is not None or settings.rca_oidc_issuer is not None
    if settings.rca_http_host not in LOOPBACK and not has_way_in:
        fix = "set RCA_API_TOKEN, or create tokens, before others can reach it"
        yield Check.warn("RCA_HTTP_HOST", "listens beyond this machine without RCA_API_TOKEN", fix=fix)


def _check_budgets(settings: Settings) -> Iterator[Check]:
    """Warn of a bound that another one makes meaningless: it would be found out in the middle of an incident."""
    units = (("RCA_MAX_TOKENS", "RCA_DAY_TOKENS"), ("RCA_MAX_COST_USD", "RCA_DAY_COST_USD"))
    for one, day in units:
        for smaller, larger in ((one, day), (one, f"{day}_PER_PATH"), (f"{day}_PER_PATH", day)):
            low, high = getattr(settings, smaller.lower()), getattr(settings, larger.lower())
            if low is not None and high is not None and low > high:
                fix = f"lower {smaller}, or raise {larger}"
                yield Check.warn(smaller, f"{low:g} is more than {larger} allows ({high:g})", fix=fix)


def _check_models(settings: Settings) -> Iterator[Check]:
    try:
        warnings = find_router(settings).warnings
    except ConfigError as error:
        yield Check.fail("models", str(error))
        return
    for warning in warnings:
        yield Check.warn("models", warning)


def _check_traces(settings: Settings) -> Iterator[Check]:
    try:
        open_tracer(settings.otel_exporter_otlp_endpoint)
    except ConfigError as error:
        yield Check.fail("traces", str(error))


def _check_commands(settings: Settings) -> Iterator[Check]:
    policy = load_policy(settings.rca_policy_file, settings.rca_rules_dir)
    if policy.fault:
        yield Check.fail("commands", policy.fault, fix="mend it: until then every command is denied")
    try:
        find_cage(settings.rca_sandbox)
    except ConfigError as error:
        yield Check.fail("commands", str(error), fix="install bubblewrap, or RCA_SANDBOX=auto")


def look_at_roles(settings: Settings) -> Iterator[Check]:
    """Name what is wrong with role files, models that lead nowhere included."""
    roles = load_roles(settings.rca_roles_dir)
    for problem in roles.problems:
        yield Check.fail("roles", problem, fix="mend it: until then it is skipped")
    try:
        router = find_router(settings)
    except ConfigError:
        return  # said where models are looked at
    for card in roles.cards.values():
        pinned = router.pinned([card], named=None, local_only=False)
        for note in pinned.notes if pinned else ():
            yield Check.fail("roles", f"{roles.origins[card.name]}: model: {note}")


CHECKS: tuple[Callable[[Settings], Iterator[Check]], ...] = (
    _check_names,  # a misspelled variable is silent otherwise
    _check_home,
    _check_lease,
    _check_budgets,
    _check_exposure,
    _check_models,
    _check_traces,
    check_sign_in,
    _check_commands,
    look_at_roles,
)
