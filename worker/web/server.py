"""The process behind `rca web`: one uvicorn on loopback, or elsewhere once there is a token."""

import logging

import uvicorn

from worker.bootstrap import build_services
from worker.errors import ConfigError
from worker.ops.logging import configure_logging
from worker.ops.tracing import FLUSH_S
from worker.reloading import Hangups, hangups
from worker.services import Services
from worker.settings import Settings
from worker.sign_in import find_sign_in
from worker.web.app import create_app
from worker.web.credentials import has_tokens
from worker.web.origin import is_private

IDLE_S = 10
"""How long a connection may say nothing between two requests."""


def serve(settings: Settings) -> None:
    """Answer HTTP until told to stop.

    Raises `ConfigError` where others would reach it without a token, or nobody could sign in as it is configured.
    """
    with hangups() as found:
        _serve(settings, found)


def _serve(settings: Settings, found: Hangups) -> None:
    configure_logging(settings, process="web")
    logging.getLogger("alembic").setLevel(logging.WARNING)  # every question of readiness asks it for the schema
    services = build_services(settings)
    try:
        require_token(services)
        find_sign_in(settings)
        with found.reload(services, process="web"):
            uvicorn.Server(configured(services)).run()
    finally:
        services.database.close()
        services.tracer.flush(FLUSH_S)


def require_token(services: Services) -> None:
    """Refuse to be reached by others while nobody has a token."""
    settings = services.settings
    if is_private(settings) or has_tokens(services):
        return
    where = f"RCA_HTTP_HOST={settings.rca_http_host}"
    where += f", RCA_PUBLIC_URL={settings.rca_public_url}" if settings.rca_public_url else ""
    raise ConfigError(
        f"{where}: others reach this address, so a token is needed: set RCA_API_TOKEN, make one with"
        " `rca tokens create`, or bind RCA_HTTP_HOST=127.0.0.1"
    )


def configured(services: Services) -> uvicorn.Config:
    """Return how uvicorn runs: our logging, the true peer's address, nothing said of what serves."""
    settings = services.settings
    return uvicorn.Config(
        create_app(services),
        host=settings.rca_http_host,
        port=settings.rca_http_port,
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        ws="none",
        lifespan="off",
        timeout_keep_alive=IDLE_S,
        timeout_graceful_shutdown=round(settings.rca_grace_s),
    )
