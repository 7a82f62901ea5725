"""The HTTP application: its routes, its errors, its OpenAPI document."""

from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic.json_schema import models_json_schema

from worker.domain.incident import IncidentEvent
from worker.domain.report import Report
from worker.services import Services
from worker.web import (
    budget,
    callers,
    chat,
    deliveries,
    health,
    incidents,
    investigations,
    login,
    model_admin,
    model_backends,
    model_pages,
    models,
    oidc_login,
    pages,
    published,
    reports,
)
from worker.web.answers import ErrorAnswer, failures
from worker.web.body import MOST_BYTES
from worker.web.chat_format import ChatBody
from worker.web.credentials import Credentials
from worker.web.door import Door
from worker.web.headers import SecureAnswers
from worker.web.identity import identities_of
from worker.web.refusals import install_refusals

OPENAPI_PATH = "/v1/openapi.json"
_PARTS = (
    incidents,
    investigations,
    budget,
    reports,
    deliveries,
    models,
    chat,
    callers,
    model_admin,
    model_backends,
    health,
    published,
    login,
    oidc_login,
    pages,
    model_pages,
)


def create_app(services: Services) -> FastAPI:
    """Return the application over these services; it starts nothing and owns nothing of them."""
    # Paths are answered as they are written: a redirect to another spelling would echo the caller's Host.
    app = FastAPI(
        title="rca-worker",
        openapi_url=OPENAPI_PATH,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        max_body_size=MOST_BYTES,  # where the framework reads the body; `RawBody` ends sooner
    )
    app.state.services = services
    app.state.door = Door(services)
    app.state.credentials = Credentials(services)
    app.state.identities = identities_of(app.state.credentials)
    for part in _PARTS:
        app.include_router(part.router)
    install_refusals(app)
    app.add_middleware(SecureAnswers)
    app.openapi = lambda: describe(app)  # type: ignore[method-assign]  # FastAPI documents this way to change it
    return app


def describe(app: FastAPI) -> dict[str, Any]:
    """Return the OpenAPI document of what is true: what cannot be read is answered 400 here, never 422."""
    if app.openapi_schema is None:
        document = get_openapi(title=app.title, version="1", routes=app.routes)
        for operations in document["paths"].values():
            for operation in operations.values():
                if "HTTPValidationError" in str(operation["responses"].get("422")):
                    operation["responses"].pop("422")
        schemas = document["components"]["schemas"]
        for unused in ("HTTPValidationError", "ValidationError"):
            schemas.pop(unused, None)
        schemas |= _own_schemas()
        _add_security(document)
        _add_too_large(document)
        app.openapi_schema = document
    return app.openapi_schema


def _own_schemas() -> dict[str, Any]:
    models: Any = [
        (IncidentEvent, "validation"),
        (ChatBody, "validation"),
        (Report, "serialization"),
        (ErrorAnswer, "serialization"),
    ]
    _, defined = models_json_schema(models, ref_template="#/components/schemas/{model}")
    return dict(defined["$defs"])


def _add_too_large(document: dict[str, Any]) -> None:
    """Say of all operations with a body that there is an end to it."""
    for operations in document["paths"].values():
        for operation in operations.values():
            if "requestBody" in operation:
                operation["responses"].setdefault("413", failures(413)[413])


def _add_security(document: dict[str, Any]) -> None:
    """Say which operations want a token: those that may answer 401."""
    document["components"]["securitySchemes"] = {
        "bearer": {"type": "http", "scheme": "bearer"},
        "basic": {"type": "http", "scheme": "basic", "description": "The token as the password."},
    }
    for operations in document["paths"].values():
        for operation in operations.values():
            if "401" in operation["responses"]:
                operation["security"] = [{"bearer": []}, {"basic": []}]
