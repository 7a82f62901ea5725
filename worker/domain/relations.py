"""Who calls whom: which services' alerts may tell of one thing."""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache


@dataclass(frozen=True)
class Relations:
    """Calls between services as (caller, callee). Names count without case and surrounding blanks."""

    calls: frozenset[tuple[str, str]] = frozenset()

    def of(self, service: str) -> Mapping[str, str]:
        """Return the folded names of the service and its neighbours, each with how it is related, in words."""
        own = fold_name(service)
        return {own: f"same service {service.strip()}"} | self._neighbours.get(own, {})

    @cached_property
    def _neighbours(self) -> dict[str, dict[str, str]]:
        found: dict[str, dict[str, str]] = defaultdict(dict)
        for caller, callee in sorted(self.calls):
            one, other = fold_name(caller), fold_name(callee)
            if one != other:
                found[one].setdefault(other, f"{caller} calls {callee}")
                found[other].setdefault(one, f"{caller} calls {callee}")
        return dict(found)


def fold_name(service: str) -> str:
    """Return the one spelling under which a service's name is compared."""
    return service.strip().lower()


@lru_cache(maxsize=4)
def relations_of(calls: frozenset[tuple[str, str]]) -> Relations:
    """Return the relations of these calls, indexed once per process."""
    return Relations(calls)
