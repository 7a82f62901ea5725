"""Libraries that only some providers want, and which extra of ours brings them."""

from importlib.util import find_spec

from worker.errors import ConfigError


def require(module: str, *, extra: str, provider: str) -> None:
    """Raise ConfigError that names the extra where a provider's library is not installed. Imports nothing."""
    whole, _, _ = module.partition(".")
    if find_spec(whole) is None or find_spec(module) is None:
        raise ConfigError(f"{provider} needs {module}, which is not installed; `pip install 'rca-worker[{extra}]'`")
