"""The invented shop of a generated case: its services, datastores, who calls whom, and its habits."""

from dataclasses import dataclass
from random import Random

_SERVICES = (
    "basket",
    "catalogue",
    "checkout",
    "coupons",
    "delivery",
    "identity",
    "invoices",
    "loyalty",
    "mailer",
    "media",
    "payments",
    "pricing",
    "profile",
    "reviews",
    "search",
    "stock",
    "wishlist",
)
_ENTRIES = ("storefront", "web-gateway", "edge-api", "shop-bff")
_STORES = ("orders-db", "stock-db", "catalogue-db", "sessions-cache", "accounts-db", "price-cache")
_SUFFIXES = ("", "-svc", "-service")
_BATCH = "nightly-batch"


@dataclass(frozen=True)
class Node:
    """A service or datastore in good health. `self_ms` is its own work on one request."""

    name: str
    is_store: bool
    self_ms: float
    cpu_percent: float
    memory_mib: float
    memory_limit_mib: float
    error_share: float
    pool_size: int


@dataclass(frozen=True)
class Edge:
    """A call relation: `calls` per request of the caller, `net_ms` on the wire both ways.

    `absorbed` is the share of the callee's errors the caller survives by a fallback; `retries` says whether
    it asks once more after an error.
    """

    caller: str
    callee: str
    calls: float
    net_ms: float
    absorbed: float
    retries: bool


@dataclass(frozen=True)
class MetricNames:
    """How this shop's monitoring names things; `latency_scale` turns milliseconds into its unit."""

    latency_p50: str
    latency_p99: str
    latency_scale: float
    rate: str
    errors: str
    cpu: str
    memory: str
    edge_latency: str


_VOCABULARIES = (
    MetricNames(
        "latency_p50_ms", "latency_p99_ms", 1.0, "requests_per_s", "error_rate_percent", "cpu_usage_percent",
        "memory_usage_mib", "edge_latency_p50_ms",
    ),
    MetricNames(
        "request_duration_p50_s", "request_duration_p99_s", 0.001, "request_rate_rps", "http_5xx_percent",
        "container_cpu_percent", "container_memory_mib", "client_latency_p50_s",
    ),
    MetricNames(
        "response_time_p50_ms", "response_time_p99_ms", 1.0, "throughput_rps", "failed_requests_percent",
        "cpu_utilization_percent", "memory_working_set_mib", "client_response_time_p50_ms",
    ),
)  # fmt: skip


@dataclass(frozen=True)
class Shop:
    """Nodes are ordered so that callers come before what they call; the entry is first."""

    nodes: dict[str, Node]
    edges: tuple[Edge, ...]
    entry: str
    rate_rps: float
    swing: float
    metrics: MetricNames
    has_client_spans: bool
    has_edge_metrics: bool
    batch: str = _BATCH

    def calls_of(self, caller: str) -> tuple[Edge, ...]:
        return tuple(e for e in self.edges if e.caller == caller)

    def callers_of(self, callee: str) -> tuple[Edge, ...]:
        return tuple(e for e in self.edges if e.callee == callee)

    @property
    def served(self) -> tuple[str, ...]:
        """Everything users' requests reach: all but the batch job."""
        return tuple(n for n in self.nodes if n != self.batch)


def build_shop(rng: Random) -> Shop:
    """Draw a shop of 6 to 12 services with one to three datastores and a batch job beside them."""
    suffix = rng.choice(_SUFFIXES)
    inner = [f"{name}{suffix}" for name in rng.sample(_SERVICES, rng.randint(5, 11))]
    services = [rng.choice(_ENTRIES), *inner]
    stores = rng.sample(_STORES, rng.randint(1, 3))
    edges = (*_service_edges(services, rng), *_store_edges(services, stores, rng))
    names = _callers_first([*services, *stores], edges)
    nodes = {name: _node(name, is_store=name in stores, rng=rng) for name in [*names, _BATCH]}
    return Shop(
        nodes=nodes,
        edges=edges,
        entry=services[0],
        rate_rps=rng.uniform(20, 150),
        swing=rng.uniform(0.02, 0.15),
        metrics=rng.choice(_VOCABULARIES),
        has_client_spans=_happens(rng, 0.5),
        has_edge_metrics=_happens(rng, 0.5),
    )


def _service_edges(services: list[str], rng: Random) -> list[Edge]:
    """Give every inner service one or two callers among those before it: never a cycle."""
    edges = []
    for index, callee in enumerate(services[1:], start=1):
        callers = {rng.choice(services[max(0, index - 4) : index])}
        if _happens(rng, 0.35):
            callers.add(rng.choice(services[:index]))
        edges += [_edge(caller, callee, rng) for caller in sorted(callers)]
    return edges


def _store_edges(services: list[str], stores: list[str], rng: Random) -> list[Edge]:
    owners = [rng.sample(services[1:], rng.randint(1, 3)) for _ in stores]
    return [_edge(o, store, rng) for store, users in zip(stores, owners, strict=True) for o in sorted(users)]


def _edge(caller: str, callee: str, rng: Random) -> Edge:
    return Edge(
        caller=caller,
        callee=callee,
        calls=rng.choice((0.6, 0.8, 1.0, 1.0, 1.0, 1.5)),
        net_ms=rng.uniform(0.4, 2.0),
        absorbed=rng.choice((0.0, 0.0, 0.0, 0.3)),
        retries=_happens(rng, 0.4),
    )


def _node(name: str, *, is_store: bool, rng: Random) -> Node:
    limit = rng.choice((512.0, 1024.0, 2048.0)) * (4 if is_store else 1)
    return Node(
        name=name,
        is_store=is_store,
        self_ms=rng.uniform(1.5, 6.0) if is_store else rng.uniform(3.0, 18.0),
        cpu_percent=rng.uniform(12, 45),
        memory_mib=limit * rng.uniform(0.35, 0.6),
        memory_limit_mib=limit,
        error_share=rng.uniform(0.0003, 0.003),
        pool_size=rng.choice((50, 100, 200)),
    )


def _happens(rng: Random, chance: float) -> bool:
    return rng.random() < chance


def _callers_first(names: list[str], edges: tuple[Edge, ...]) -> list[str]:
    """Order names so that every caller stands before its callees (edges hold no cycle)."""
    ordered: list[str] = []
    waiting = list(names)
    while waiting:
        ready = [n for n in waiting if all(e.caller in ordered for e in edges if e.callee == n)]
        ordered += ready
        waiting = [n for n in waiting if n not in ready]
    return ordered
