"""What a person can do about an investigation that failed, by the class of its failure."""

_FIXES = {
    "provider_auth": "check the provider's key and that its account may use the model (`rca llm routes`), then retry",
    "provider_credential_missing": "the provider's key is gone: store it again, or name another model; then retry",
    "model_access_denied": "a rule keeps this model from the incident's user_path: change it, or name another; retry",
    "provider_quota": "the provider's account has no credit left: top it up, or set {model} to another model; retry",
    "provider_unavailable": "the provider was down: retry when it answers, or set {model} to another model first",
    "provider_rate_limited": "the provider kept refusing: retry later, or lower RCA_MAX_RUNNING",
    "limit_reached": "the limits in RCA_LLM_CONFIG held it back: raise them, or lower RCA_MAX_RUNNING; then retry",
    "malformed_answer": "the endpoint does not speak the protocol it should: check its base URL, then retry",
    "storage_unavailable": "the database was away: see `rca doctor`, then retry",
    "model_not_found": "the provider does not know the model: check the name with `rca llm explain NAME`, then retry",
    "invalid_request": "the provider refused the request: name another model in {model}, then retry",
    "model_refused": "the model declined to answer: name another one in {model}, then retry",
    "context_overflow": "lower RCA_TOOL_OUTPUT_CHARS, or name a model with a larger window in {model}, then retry",
    "route": "the model's name leads nowhere: `rca llm explain NAME` says why; mend it, then retry",
    "byo_credential_expired": "the caller's key is no longer kept: retry it with a fresh `llm`",
    "budget_exceeded": "raise RCA_MAX_TOKENS, RCA_MAX_COST_USD or RCA_MAX_SECONDS, then retry",
    "missing_input": "the incident names data that is not there: check its labels and RCA_RECORDED_ROOT, then retry",
    "synthesis_failed": "the lead wrote no report from the findings: name another RCA_ORCHESTRATOR_MODEL, then retry",
    "worker_lost": "its worker died each time: look for memory or crashes in the worker's output, then retry",
    "unexpected": "a defect: the worker's log has the trace; please report it; a retry goes on from the last turn",
}
_ELSE = "see the worker's log; a retry goes on from the last finished turn"


def fix_for(failure_class: str | None, *, setting: str = "RCA_MODEL") -> str:
    """Return one line that says what to do; `setting` is the variable that names the model which failed."""
    return _FIXES.get(failure_class or "", _ELSE).format(model=setting)
