"""`rca doctor`: looks at everything a running system needs, and says what to do about what is not well."""

import json
import platform
from collections.abc import Callable, Iterator
from dataclasses import asdict
from itertools import chain

import click

from worker.cli.config import look_at_roles
from worker.cli.doctor_providers import call_providers, look_at_providers
from worker.cli.doctor_redis import look_at_redis
from worker.cli.doctor_sign_in import look_at_sign_in
from worker.cli.doctor_storage import look_at_storage
from worker.cli.llm import describe_route
from worker.cli.managed import find_router
from worker.cli.system import find_settings
from worker.cli.upfile import read_up_file
from worker.errors import ConfigError, UserError
from worker.guardrails.policy import load_policy
from worker.guardrails.table import builtin_table
from worker.llm.routing import Role
from worker.ops.health import Check, CheckStatus, check_folder, render_check, worst
from worker.settings import Settings, find_problems
from worker.tools.sandbox import find_cage

NO_CALL = (
    "no model was called; `rca doctor --call` tries each provider, a small incident all of it:"
    ' echo \'{"title": "a test of the system"}\' | rca enqueue - --wait'
)

Look = Callable[[Settings], Iterator[Check]]


@click.command()
@click.option("--json", "as_json", is_flag=True, help="As JSON: a list of name, status, detail, fix.")
@click.option("--call", is_flag=True, help="Call each configured provider's default model once, with a few tokens.")
def doctor(*, as_json: bool, call: bool) -> None:
    """Check Python, folders, database, Redis, workers, models, providers and the policy; exit code 1 if anything fails.

    Nothing is changed, and no model is called but with --call.

    Example: rca doctor --json
    """
    found = examine(call=call)
    if as_json:
        click.echo(json.dumps([asdict(check) for check in found], indent=2, ensure_ascii=False))
    else:
        click.echo("\n".join(map(render_check, found)))
        if not call:
            click.echo(NO_CALL)
    raise SystemExit(1 if worst(found) is CheckStatus.FAIL else 0)


def examine(*, call: bool = False) -> list[Check]:
    """Look at everything; with settings that cannot be read, at these alone."""
    problems = [
        Check.fail(name or "settings", problem, fix="see `rca config list`") for name, problem in find_problems()
    ]
    if problems:
        return [look_at_python(), *problems]
    try:
        settings = find_settings()
    except UserError as error:
        return [look_at_python(), Check.fail("settings", str(error))]
    looks = (*LOOKS, call_providers) if call else LOOKS
    return [look_at_python(), *chain.from_iterable(look(settings) for look in looks)]


def look_at_python() -> Check:
    return Check.ok("Python", f"{platform.python_version()} on {platform.system()}")


def look_at_home(settings: Settings) -> Iterator[Check]:
    """Say where embedded data lives, whether there is room, and whether `rca up` runs there."""
    yield check_folder("RCA_HOME", settings.rca_home.resolve())
    up = read_up_file(settings.rca_home)
    yield Check.ok("rca up", f"runs as process {up.pid}, {up.web_url}" if up else "does not run in RCA_HOME")


def look_at_models(settings: Settings) -> Iterator[Check]:
    """Say which models are used and why; nothing is asked of them."""
    try:
        router = find_router(settings)
    except ConfigError as error:
        yield Check.fail("models", str(error), fix="mend the setting; `rca llm explain NAME` shows where a name leads")
        return
    yield Check.ok("model", describe_route(router.route(Role.RCA)))
    if settings.orchestrator_enabled:
        yield Check.ok("orchestrator", describe_route(router.route(Role.ORCHESTRATOR)))
    judge = router.judge_route()
    yield Check.ok("judge", describe_route(judge) if judge else "none: commands that no rule allows are denied")
    for note in router.notes:
        yield Check.ok("models", note)
    for warning in router.warnings:
        yield Check.warn("models", warning, fix="`rca llm routes` shows which variable names which model")


def look_at_policy(settings: Settings) -> Iterator[Check]:
    policy = load_policy(settings.rca_policy_file, settings.rca_rules_dir)
    if policy.fault:
        fix = "mend it: until then every command is denied"
        yield Check.fail("command policy", policy.fault, fix=fix)
        return
    own = f"{len(policy.deny)} deny, {len(policy.allow)} allow, {len(policy.paths)} paths"
    yield Check.ok("command policy", own if settings.rca_policy_file else "built-in rules only")
    added = set(policy.table.origins) - set(builtin_table().origins)
    if added:
        yield Check.ok("command rules", f"{', '.join(sorted(added))} from {settings.rca_rules_dir}")


def look_at_sandbox(settings: Settings) -> Iterator[Check]:
    try:
        cage = find_cage(settings.rca_sandbox)
    except ConfigError as error:
        yield Check.fail("sandbox", str(error), fix="install bubblewrap, or RCA_SANDBOX=auto")
        return
    yield Check.ok("sandbox", "commands run in bubblewrap" if cage else "none: commands run without bubblewrap")


LOOKS: tuple[Look, ...] = (
    look_at_home,
    look_at_storage,
    look_at_redis,
    look_at_models,
    look_at_providers,
    look_at_roles,
    look_at_policy,
    look_at_sandbox,
    look_at_sign_in,
)
