"""What makes two events the same alert: source, owner, masked title, service, and the labels that identify."""

import hashlib
import json
import re

from worker.domain.incident import IncidentEvent

_INSTANCE_LABELS = frozenset({
    "instance", "pod", "pod_name", "pod_ip", "container_id", "host_ip", "endpoint", "replica", "replicaset",
    "k8s_pod_name", "kubernetes_pod_name", "uid", "pod_uid",
})  # fmt: skip
"""Which copy of a service spoke. Where the service is known, its copies tell one story."""

_VOLATILE_LABELS = frozenset({
    "severity", "priority", "level", "status", "value", "timestamp", "time", "pod_template_hash", "trace_id",
    "span_id", "request_id", "prometheus", "prometheus_replica", "__replica__", "monitor", "startsat", "endsat",
    "revision", "version", "image", "image_id", "container_image",
})  # fmt: skip
"""What differs between two tellings of one alert: how bad, by whom, at which value, of which build."""

_UNITS = "%|percent|[nuµm]?s|secs?|seconds?|min|minutes?|h|hours?|[kmgt]?i?b|bytes|[rq]ps|req/s|errors?|requests?|times"
_BEFORE = (
    r"(?:(?<=[<>=])|(?<=[<>=]\s)|(?<=\b(?:at|to|is|of)\s)|(?<=\bover\s)|(?<=\b(?:above|below|under|limit|since)\s))"
)
"""What comes before a number that was measured or is a threshold."""

_MASKS = (
    (re.compile(r"\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b"), "<id>"),
    (re.compile(r"\b(?=[0-9a-f]*[0-9])(?=[0-9a-f]*[a-f])[0-9a-f]{8,}\b"), "<id>"),
    (re.compile(rf"(?<![\w.-])\d+(?:[.,:]\d+)*(?=\s?(?:{_UNITS})(?![\w-]))"), "<n>"),
    (re.compile(rf"{_BEFORE}\d+(?:[.,:]\d+)*(?![\w-])"), "<n>"),
    (re.compile(r"(?<![\w.-])\d+(?:[.,:]\d+)+(?![\w.-])"), "<n>"),
    (re.compile(r"\s+"), " "),
)


def fingerprint(event: IncidentEvent) -> str:
    """Return 32 hex digits that are equal for repeated tellings of one alert.

    The owner's path is part of it: an alert of one team never joins another team's incident.
    """
    service = (event.service or "").strip().lower()
    ignored = _VOLATILE_LABELS | _INSTANCE_LABELS if service else _VOLATILE_LABELS
    labels = sorted((k.lower(), v.strip()) for k, v in event.labels.items() if k.lower() not in ignored)
    identity = [event.user_path, event.source.strip().lower(), service, mask_title(event.title), labels]
    told = json.dumps(identity, ensure_ascii=True, separators=(",", ":"))
    return hashlib.sha256(told.encode()).hexdigest()[:32]


def mask_title(title: str) -> str:
    """Put placeholders for ids and measurements: "p99 at 2.1 s" and "p99 at 3 s" are one alert.

    A bare whole number stays: "shard 3" and "shard 4" are two, and to look into one thing twice is the lesser evil.
    """
    masked = title.lower().strip()
    for pattern, placeholder in _MASKS:
        masked = pattern.sub(placeholder, masked)
    return masked
