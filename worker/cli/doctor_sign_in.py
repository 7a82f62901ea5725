"""What the doctor says about signing in with an issuer."""

from collections.abc import Iterator

from worker.cli.doctor_providers import Fetch, fetch
from worker.errors import ConfigError
from worker.llm.wires.reading import fields_of, parse_json
from worker.ops.health import Check
from worker.settings import Settings
from worker.sign_in import SignIn, find_sign_in

NAME = "sign-in"
_WANTED = ("authorization_endpoint", "token_endpoint", "jwks_uri")


def check_sign_in(settings: Settings) -> Iterator[Check]:
    """Say what is wrong with the variables; nobody is asked."""
    try:
        found = find_sign_in(settings)
    except ConfigError as error:
        yield Check.fail(NAME, str(error), fix="until then `rca web` does not start")
        return
    if found is not None and settings.rca_public_url is None:
        fix = "set RCA_PUBLIC_URL to what people type in"
        yield Check.warn(NAME, "the issuer sends people back to a loopback address", fix=fix)


def look_at_sign_in(settings: Settings, *, get: Fetch = fetch) -> Iterator[Check]:
    """Say what is wrong with the variables, and whether the issuer answers as one."""
    yield from check_sign_in(settings)
    try:
        found = find_sign_in(settings)
    except ConfigError:
        return  # said above
    if found is not None:
        yield _look_at_issuer(found, get)


def _look_at_issuer(sign_in: SignIn, get: Fetch) -> Check:
    body = get(sign_in.document_url)
    if body is None:
        fix = "start it, or correct RCA_OIDC_ISSUER; until then only tokens sign in"
        return Check.fail(NAME, f"{sign_in.document_url} does not answer", fix=fix)
    try:
        document = fields_of(parse_json(body))
    except ValueError:
        document = {}
    missing = [name for name in _WANTED if not document.get(name)]
    if missing:
        return Check.fail(NAME, f"{sign_in.document_url} has no {', '.join(missing)}", fix="correct RCA_OIDC_ISSUER")
    if not sign_in.is_named(document.get("issuer")):
        return Check.fail(NAME, f"the issuer calls itself {document.get('issuer')}", fix="set RCA_OIDC_ISSUER to that")
    return Check.ok(NAME, f"{sign_in.issuer} answers; {len(sign_in.grants)} groups are let in")
