"""What a metric or a message is about, told by the words in its name.

The natures follow the four golden signals (Google's SRE book, chapter 6: latency, errors, traffic, saturation) with
saturation told apart by resource (Gregg's USE method).
"""

import re
from enum import StrEnum


class Nature(StrEnum):
    LATENCY = "latency"
    ERRORS = "errors"
    TRAFFIC = "traffic"
    CPU = "cpu"
    MEMORY = "memory"
    DISK = "disk"
    NETWORK = "network"
    POOL = "pool"
    RESTARTS = "restarts"
    OTHER = "other"

    @property
    def is_symptom(self) -> bool:
        """Whether users feel it."""
        return self in {Nature.LATENCY, Nature.ERRORS}

    @property
    def is_resource(self) -> bool:
        return self not in {Nature.LATENCY, Nature.ERRORS, Nature.TRAFFIC, Nature.OTHER}


_WORDS: tuple[tuple[Nature, tuple[str, ...]], ...] = (
    (Nature.RESTARTS, ("restart", "crash", "oom", "evict")),
    (Nature.POOL, ("connection", "pool", "thread", "queue", "semaphore", "slots", "lag", "backlog", "locks")),
    (Nature.ERRORS, ("error", "fail", "5xx", "4xx", "exception", "availab", "success", "timeout", "reject", "drop")),
    (Nature.NETWORK, ("network", "retrans", "packet", "tcp", "bandwidth", "socket")),
    (Nature.LATENCY, ("latency", "duration", "response_time", "responsetime", "elapsed", "_wait", "delay")),
    (Nature.MEMORY, ("memory", "mem_", "heap", "swap", "rss", "working_set", "cache_size")),
    (Nature.CPU, ("cpu", "processor", "load_avg", "throttl")),
    (Nature.DISK, ("disk", "storage", "iops", "filesystem", "inode", "syscall_read", "syscall_write", "_io_")),
    (Nature.TRAFFIC, ("request", "rps", "qps", "throughput", "_ops", "calls", "traffic", "tps")),
)
_GOOD_WHEN_HIGH = ("success", "availab", "free", "remaining", "headroom", "hit_ratio", "hit_rate", "ready")
_TO_MS = {"ms": 1.0, "us": 0.001, "ns": 1e-6, "s": 1000.0, "sec": 1000.0, "seconds": 1000.0}
_STATISTICS = ("avg", "mean", "p50", "median", "p75", "p90", "p95", "p99", "max")
"""From the middle to the tail: waiting adds up in the middle, tails do not."""


def nature_of(metric: str) -> Nature:
    """Return what a metric measures; the first family with a word in the name decides."""
    name = _spaced(metric)
    return next((nature for nature, words in _WORDS if any(w in name for w in words)), Nature.OTHER)


def is_worse_when_high(metric: str) -> bool:
    return not any(word in _spaced(metric) for word in _GOOD_WHEN_HIGH)


def to_ms(metric: str) -> float:
    """Return the factor to milliseconds by the unit at the end of the name; 1 where it names none."""
    return _TO_MS.get(metric.lower().rsplit("_", 1)[-1], 1.0)


def statistic_rank(metric: str) -> int:
    """Return how far from the middle this statistic lies; a name without one counts as the middle."""
    name = metric.lower()
    return next((i for i, word in enumerate(_STATISTICS) if word in name), 0)


def _spaced(metric: str) -> str:
    """Make `FreeStorageSpace` and `free_storage_space` one spelling."""
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "_", metric).lower().replace("-", "_").replace(".", "_")
