"""What operators have said of models while the product runs: aliases, who may use what, prices, the active backend.

One generation of it is a whole; a change makes the next. No secret is in here.
"""

from typing import Any

from pydantic import Field

from worker.domain.conversation import Frozen


class Alias(Frozen):
    """A name that stands for a model or a profile, in one hop; `target` is how that is written."""

    name: str
    target: str
    enabled: bool = True
    description: str = ""


class AccessRule(Frozen):
    """Who may use what the selector names: `user_paths` and all below them, nobody where it is not enabled.

    Selectors: `/` for everything, `provider/`, `provider/model`, or a model's or alias's bare name.
    """

    selector: str
    enabled: bool = True
    user_paths: tuple[str, ...] = ()


class PriceOverride(Frozen):
    """The operator's price of what the selector names, in the words of RCA_LLM_CONFIG's `pricing`."""

    selector: str
    pricing: dict[str, Any]


class Backend(Frozen):
    """What is stored of a provider: its models and its address, each None where the variables decide."""

    provider: str
    model: str | None = None
    orchestrator_model: str | None = None
    base_url: str | None = None


class ModelState(Frozen):
    """One generation; `active` is the provider that all picks go to, None where the variables decide."""

    generation: int = 0
    active: str | None = None
    backends: tuple[Backend, ...] = ()
    aliases: tuple[Alias, ...] = ()
    rules: tuple[AccessRule, ...] = Field(default=())
    prices: tuple[PriceOverride, ...] = ()
