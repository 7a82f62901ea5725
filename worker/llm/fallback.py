"""Asks another model where the one of the route cannot be asked, once a call, if the route allows it."""

import time
from collections.abc import Callable

from worker.domain.conversation import Confirm, Fallback, Model, ModelAnswer, ModelRequest, Route
from worker.errors import ProviderError, ProviderRateLimitedError, ProviderUnavailableError

FIRST_SHARE = 2 / 3
"""How much of a call's time the model of the route has, where another waits to be asked."""


class FallbackModel:
    """A model that others stand in for, by the chain of its route."""

    def __init__(self, model: Model, clock: Callable[[], float] = time.monotonic) -> None:
        self._model = model
        self._clock = clock

    def ask(
        self, request: ModelRequest, *, route: Route, timeout_s: float, confirm: Confirm | None = None
    ) -> ModelAnswer:
        """Ask once. Raises what the model of the route raised, where nobody answers in its place."""
        if not route.fallbacks:
            return self._model.ask(request, route=route, timeout_s=timeout_s, confirm=confirm)
        deadline = self._clock() + timeout_s
        try:
            return self._model.ask(request, route=route, timeout_s=timeout_s * FIRST_SHARE, confirm=confirm)
        except (ProviderUnavailableError, ProviderRateLimitedError) as error:
            return self._ask_another(request, route, confirm, first=error, deadline=deadline)

    def _ask_another(
        self, request: ModelRequest, route: Route, confirm: Confirm | None, *, first: ProviderError, deadline: float
    ) -> ModelAnswer:
        """Ask the first of the chain that can be asked; who is held back now is passed over."""
        for other in route.fallbacks:
            try:
                left_s = deadline - self._clock()
                answer = self._model.ask(request, route=other, timeout_s=left_s, confirm=confirm)
            except ProviderError as error:
                first.args = (f"{first}; in its place {error}",)
                if error.was_asked:
                    break
            else:
                return answer.model_copy(update={"fallback": Fallback(route=other, reason=first.reason)})
        raise first
