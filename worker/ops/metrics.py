"""What Prometheus may ask a process: the counters of its work and the gauges that tell when it falls behind."""

from threading import Thread
from wsgiref.simple_server import WSGIServer

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest, start_http_server
from prometheus_client.exposition import CONTENT_TYPE_LATEST

REGISTRY = CollectorRegistry()

_CALL_BUCKETS_S = (0.1, 0.25, 0.5, 1, 2, 4, 8, 15, 30, 60, 120)
_RUN_BUCKETS_S = (5, 15, 30, 60, 120, 300, 600, 1200, 1800, 3600)


def _counter(name: str, text: str, *labels: str) -> Counter:
    return Counter(f"rca_{name}", text, labels, registry=REGISTRY)


def _gauge(name: str, text: str, *labels: str) -> Gauge:
    return Gauge(f"rca_{name}", text, labels, registry=REGISTRY)


def _histogram(name: str, text: str, *labels: str, buckets: tuple[float, ...]) -> Histogram:
    return Histogram(f"rca_{name}", text, labels, registry=REGISTRY, buckets=buckets)


# Incidents
EVENTS = _counter("events", "Events that arrived.", "source", "outcome")  # accepted, repeated, folded, rejected
INVESTIGATIONS_ENDED = _counter("investigations_ended", "Investigations that ended.", "status", "verdict")
INVESTIGATION_SECONDS = _histogram(
    "investigation_seconds", "From admission to the end.", "status", buckets=_RUN_BUCKETS_S
)
INVESTIGATIONS = _gauge("investigations", "Investigations by status, from the database.", "status")

SUB_AGENTS = _counter("sub_agents", "Sub-agents created.", "role")
FINDINGS = _counter("findings", "Findings, by who made them.", "role", "by")  # model, code

# Secrets
WITHHELD = _counter("texts_withheld", "Parts of texts that could not be searched for secrets, and were left out.")

# Steps
STEPS = _counter("steps", "Steps that ended.", "step", "outcome")  # stored, lease_lost, or the reason of the error
STEP_RETRIES = _counter("step_retries", "Steps put back to be tried again.", "step", "reason")
LEASES_LOST = _counter("leases_lost", "Claims whose lease ran out.", "step")
RUNNING_STEPS = _gauge("running_steps", "Steps this process holds a claim on.")
QUEUE_DEPTH = _gauge("queue_depth", "Steps that may run now, from the database.", "queue")
OLDEST_RUNNABLE_SECONDS = _gauge("oldest_runnable_seconds", "How long the oldest of them has waited.", "queue")

# Models
TURNS = _counter("turns", "Turns stored.", "purpose", "model")
MODEL_CALLS = _counter("model_calls", "Model calls.", "purpose", "model", "outcome")
MODEL_CALL_SECONDS = _histogram(
    "model_call_seconds", "One model call, retries included.", "purpose", "model", buckets=_CALL_BUCKETS_S
)
TOKENS = _counter("tokens", "Tokens used.", "purpose", "model", "kind")  # input, cached_input, output, reasoning
COST_USD = _counter("cost_usd", "Dollars spent, where the price is known.", "purpose", "model")
UNPRICED_CALLS = _counter("unpriced_calls", "Calls whose price is unknown.", "model")
COOLDOWNS = _counter("cooldowns", "Times a provider asked for more patience than a worker has.", "provider", "reason")
FALLBACKS = _counter("fallbacks", "Calls that another model answered.", "purpose", "model", "instead_of", "reason")
MODEL_RETRIES = _counter("model_retries", "Requests repeated inside a model call.", "provider")

# The day's budgets: what its calls count as, the limits (+Inf where there is none), and who waits because of them
DAY_TOKENS = _gauge("day_tokens", "Tokens of this UTC day, from the database.")
DAY_TOKENS_LIMIT = _gauge("day_tokens_limit", "What RCA_DAY_TOKENS allows; +Inf while nothing binds.")
DAY_COST_USD = _gauge("day_cost_usd", "Dollars of this UTC day, unknown prices by the ceiling.")
DAY_COST_USD_LIMIT = _gauge("day_cost_usd_limit", "What RCA_DAY_COST_USD allows; +Inf while nothing binds.")
DAY_PATHS_REACHED = _gauge("day_paths_reached", "User paths that a budget of the day keeps waiting.")
DAY_INVESTIGATIONS_HELD = _gauge("day_investigations_held", "Queued investigations that a budget of the day holds.")

# Tools and guardrails
TOOL_CALLS = _counter("tool_calls", "Tool calls that ended.", "tool", "status")
SHARED_CALLS = _counter("shared_calls", "Tool calls answered by what another agent had asked.", "tool")
TOOL_CALL_SECONDS = _histogram("tool_call_seconds", "One tool call.", "tool", buckets=_CALL_BUCKETS_S)
JUDGE_VERDICTS = _counter("judge_verdicts", "What the judge said.", "verdict")
GUARDRAIL_DECISIONS = _counter("guardrail_decisions", "Commands by the layer that decided them.", "layer", "verdict")
DENIALS = _counter("denials", "Tool calls a guardrail refused.", "layer")

# Reports
DELIVERIES = _counter("deliveries", "Attempts to deliver a report.", "destination", "outcome")

# Logins
FAILED_LOGINS = _counter("failed_logins", "Logins and secrets that were refused.", "via", "outcome")

# Ourselves
SWEEPER_AGE_SECONDS = _gauge("sweeper_age_seconds", "Since any sweeper last finished a round.")
OUTBOX_DUE = _gauge("outbox_due", "Messages that should have been sent by now.")
OUTBOX_LAG_SECONDS = _gauge("outbox_lag_seconds", "How long the oldest of them is overdue.")
HEARTBEAT_LAG_SECONDS = _gauge("heartbeat_lag_seconds", "How late the last renewal of claims was.")

SPANS_DROPPED = _counter("spans_dropped", "Spans of traces that were not sent.", "reason")  # queue_full, not_sent


def render() -> tuple[bytes, str]:
    """Return this process's metrics and their content type."""
    return generate_latest(REGISTRY), CONTENT_TYPE_LATEST


def serve(port: int, *, host: str = "127.0.0.1") -> tuple[WSGIServer, Thread]:
    """Answer Prometheus on a port of this process, from a thread; 0 takes a free port."""
    return start_http_server(port, addr=host, registry=REGISTRY)
