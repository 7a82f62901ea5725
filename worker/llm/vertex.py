"""Vertex AI's account: a project, a location, and which of Google's credentials are used."""

import json

from worker.llm.accounts import Account, Value
from worker.llm.extras import require
from worker.settings import Settings

DEFAULT_CREDENTIALS = "google:default"
"""The reference of Application Default Credentials, which google-auth finds by itself."""

_JSON, _FILE = "vertex_ai_service_account_json", "google_application_credentials"
_WIDE = {"us", "eu"}


def find_vertex(settings: Settings, _asked: bool) -> Account | None:  # noqa: FBT001 - see FindAccount
    project = _find_project(settings)
    if project is None:
        return None
    require("google.auth", extra="vertex", provider="Vertex AI")
    location = settings.vertex_ai_location
    is_set = "vertex_ai_location" in settings.model_fields_set and location != "global"
    return Account(
        "gemini_generate",
        Value(_host(location)),
        next((f"google:{f.upper()}" for f in (_JSON, _FILE) if getattr(settings, f)), DEFAULT_CREDENTIALS),
        project=project,
        location=Value(location, "VERTEX_AI_LOCATION") if is_set else Value(location),
    )


def _find_project(settings: Settings) -> Value | None:
    if settings.vertex_ai_project:
        return Value(settings.vertex_ai_project, "VERTEX_AI_PROJECT")
    if settings.vertex_ai_service_account_json is None:
        return None
    inside = json.loads(settings.vertex_ai_service_account_json.get_secret_value()).get("project_id")
    return Value(inside, f"project_id in {_JSON.upper()}") if inside else None


def _host(location: str) -> str:
    if location == "global":
        return "https://aiplatform.googleapis.com"
    if location in _WIDE:
        return f"https://aiplatform.{location}.rep.googleapis.com"
    return f"https://{location}-aiplatform.googleapis.com"
