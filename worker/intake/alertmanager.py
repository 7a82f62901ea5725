"""Prometheus Alertmanager's webhook, version 4: every alert of a group becomes one event.

Format: "webhook_config" in https://prometheus.io/docs/alerting/latest/configuration/ and the structs
`Data` and `Alert` of https://prometheus.io/docs/alerting/latest/notifications/. Grafana's alerting
sends the same shape with more links.
"""

import hashlib
from typing import Annotated, Any, Literal, TypeVar

from pydantic import AwareDatetime, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from worker.domain.incident import IncidentEvent, Severity
from worker.errors import EventError
from worker.intake.events import make_storable, read_event

SOURCE = "alertmanager"

_SERVICE_LABELS = ("service", "service_name", "app_kubernetes_io_name", "app", "deployment", "statefulset",
                   "daemonset", "container", "job")  # fmt: skip
"""Most telling first; `job` names the scrape, so it comes last."""

_TITLES = ("summary", "title", "message", "description")
_DESCRIPTIONS = ("description", "message")
_LINKS = ("runbook_url", "runbook", "dashboard_url", "dashboard", "__dashboard_url__")
_SEVERITY_LABELS = ("severity", "priority", "level")
_PRIORITIES = {"p1": "critical", "p2": "high", "p3": "medium", "p4": "low", "p5": "info", "crit": "critical",
               "emergency": "critical", "notice": "info", "debug": "info"}  # fmt: skip

_MAX_TITLE, _MAX_NAME, _MAX_LABEL, _MAX_LABELS, _MAX_DESCRIPTION, _MAX_LINK = 500, 500, 4000, 200, 20_000, 2000
_YEAR_NONE = 1
"""Go's zero time, year 1, stands for a time that is not known: an alert that has not ended, most of all."""

Words = Annotated[dict[str, str], BeforeValidator(lambda value: {} if value is None else value)]


class Alert(BaseModel):
    """One alert of the group, as far as it is read here."""

    model_config = ConfigDict(extra="allow")

    status: Literal["firing", "resolved"]
    labels: Words = Field(default_factory=dict)
    annotations: Words = Field(default_factory=dict)
    starts_at: AwareDatetime = Field(alias="startsAt")
    ends_at: AwareDatetime | None = Field(default=None, alias="endsAt")
    generator_url: str = Field(default="", alias="generatorURL")
    fingerprint: str = ""


class Notification(BaseModel):
    """What one POST carries. Alertmanager caps a group at `max_alerts`, so 1000 is far away."""

    model_config = ConfigDict(extra="allow")

    alerts: list[dict[str, Any]] = Field(min_length=1, max_length=1000)
    receiver: str = ""
    group_key: str = Field(default="", alias="groupKey")
    external_url: str = Field(default="", alias="externalURL")


_Model = TypeVar("_Model", bound=BaseModel)


def parse_alertmanager(payload: dict[str, Any]) -> list[IncidentEvent]:
    """Return one event for each alert, in their order; resolved alerts carry `ended_at`.

    All or nothing: one alert that cannot be read fails the call, so that Alertmanager's retry
    brings the whole group again and nothing is lost halfway.
    """
    notification = _read(Notification, make_storable(payload), at="")
    return [
        _event(_read(Alert, raw, at=f"alerts.{i}."), notification, raw) for i, raw in enumerate(notification.alerts)
    ]


def _event(alert: Alert, notification: Notification, raw: dict[str, Any]) -> IncidentEvent:
    title = _first(alert.annotations, _TITLES) or _first(alert.labels, ("alertname",)) or "Unnamed alert"
    return read_event({
        "title": title[:_MAX_TITLE],
        "source": SOURCE,
        "severity": _severity(alert.labels),
        "service": _first(alert.labels, _SERVICE_LABELS)[:_MAX_NAME].strip() or None,
        "started_at": None if alert.starts_at.year == _YEAR_NONE else alert.starts_at,
        "ended_at": _ended_at(alert),
        "resolved": alert.status == "resolved",
        "description": _first(alert.annotations, _DESCRIPTIONS)[:_MAX_DESCRIPTION],
        "labels": _labels(alert.labels),
        "links": _links(alert, notification, raw),
        "raw": {"alert": raw, "receiver": notification.receiver, "groupKey": notification.group_key},
        "idempotency_key": _idempotency_key(alert),
    })  # fmt: skip


def _first(words: dict[str, str], names: tuple[str, ...]) -> str:
    return next((words[name].strip() for name in names if words.get(name, "").strip()), "")


def _severity(labels: dict[str, str]) -> str:
    """Return a word that an event accepts; people invent others, and those must not lose the alert."""
    word = _first(labels, _SEVERITY_LABELS).lower()
    word = _PRIORITIES.get(word, word)
    try:
        return IncidentEvent.model_validate({"title": "severity", "severity": word}).severity
    except ValidationError:
        return Severity.MEDIUM


def _ended_at(alert: Alert) -> AwareDatetime | None:
    """Return when a resolved alert ended; while it fires, `endsAt` is a guess of when it would time out."""
    if alert.status == "firing" or alert.ends_at is None or alert.ends_at.year == _YEAR_NONE:
        return None
    return max(alert.ends_at, alert.starts_at)


def _labels(labels: dict[str, str]) -> dict[str, str]:
    named = [(name.strip()[:_MAX_NAME], value[:_MAX_LABEL]) for name, value in labels.items() if name.strip()]
    return dict(named[:_MAX_LABELS])


def _links(alert: Alert, notification: Notification, raw: dict[str, Any]) -> list[str]:
    """Return web addresses only, each once: a link of a report is clicked."""
    annotated = [alert.annotations.get(name, "") for name in _LINKS]
    grafana = [raw.get(name) for name in ("dashboardURL", "panelURL")]
    found = [alert.generator_url, *annotated, *grafana, notification.external_url]
    urls = [url for url in found if isinstance(url, str) and url.startswith(("http://", "https://"))]
    return list(dict.fromkeys(url for url in urls if len(url) <= _MAX_LINK))


def _idempotency_key(alert: Alert) -> str:
    """Name this firing of this alert: repeats of a notification share it, its end and a new firing do not."""
    identity = alert.fingerprint or repr(sorted(alert.labels.items()))
    told = f"{identity}\n{alert.starts_at.isoformat()}\n{alert.status}"
    return f"{SOURCE}:{hashlib.sha256(told.encode(errors='replace')).hexdigest()[:40]}"


def _read(model: type[_Model], value: Any, *, at: str) -> _Model:
    try:
        return model.model_validate(value)
    except ValidationError as error:
        problems = (f"{at}{'.'.join(str(p)[:60] for p in e['loc'])}: {e['msg']}" for e in error.errors())
        raise EventError("; ".join(problems)) from None
