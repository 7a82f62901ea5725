"""Who may use which model: the operator's rules, the most specific of which alone decides."""

from collections.abc import Iterable, Mapping

from worker.domain.conversation import Route
from worker.domain.incident import covers_path
from worker.domain.model_state import AccessRule
from worker.errors import ModelAccessDeniedError
from worker.llm.catalogue import find_model

_Key = tuple[str | None, str | None]


class Access:
    """The rules of one generation. Every spelling of a model is that model."""

    def __init__(self, rules: Iterable[AccessRule] = (), *, is_open: bool = True) -> None:
        self._rules: Mapping[_Key, AccessRule] = {_read(rule.selector): rule for rule in rules}
        self._is_open = is_open

    def allows(self, *, provider: str, model: str, user_path: str | None, alias: str = "") -> bool:
        """Say whether a caller may use a provider's model; through an alias, both have to be allowed."""
        if alias and not self._passes(self._rules.get((None, one_name(alias))), user_path, otherwise=True):
            return False
        name = one_name(model)
        keys: tuple[_Key, ...] = ((provider, name), (provider, None), (None, name), (None, None))
        rule = next((self._rules[key] for key in keys if key in self._rules), None)
        return self._passes(rule, user_path, otherwise=self._is_open)

    def require(self, route: Route, *, user_path: str | None) -> None:
        """Raise ModelAccessDeniedError for a route that the caller may not use."""
        if not self.allows(provider=route.provider, model=route.model, user_path=user_path, alias=route.alias):
            raise ModelAccessDeniedError(
                f"{user_path or 'a caller without a user_path'} may not use {route.alias or route.label}; name another"
                " model, or ask an operator for a rule that allows it"
            )

    def _passes(self, rule: AccessRule | None, user_path: str | None, *, otherwise: bool) -> bool:
        if rule is None:
            return otherwise
        is_covered = user_path is not None and any(covers_path(path, user_path) for path in rule.user_paths)
        return rule.enabled and is_covered


def _read(selector: str) -> _Key:
    """Take a selector apart into provider and model; None stands for all."""
    if selector == "/":
        return None, None
    provider, slash, model = selector.partition("/")
    if slash:
        return provider.lower(), one_name(model) if model else None
    return None, one_name(selector)


def one_name(model: str) -> str:
    """Return the name under which all spellings of a model are one."""
    card = find_model(model)
    return card.name if card else model
