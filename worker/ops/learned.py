"""Secrets that come up while a process runs: keys that are stored, and callers', who bring ever new ones."""

import threading
from collections.abc import Callable, Collection, Iterable

MAX_PASSING = 200
"""More callers' keys than investigations run at once in one process; each costs a look at every text."""


class Learned:
    """What several redactors know together. Safe to share between threads.

    Of passing secrets only so many are known at a time; one that is used is learned again. `spell` says how a secret
    may be spelled.
    """

    def __init__(self, spell: Callable[[str], Collection[str]]) -> None:
        self._spell = spell
        self._lasting: dict[str, Collection[str]] = {}
        self._passing: dict[str, Collection[str]] = {}
        self._lock = threading.Lock()
        self.forms: tuple[tuple[str, str], ...] = ()
        """Each spelling with its secret, the longest first."""

    def add(self, secrets: Iterable[str], *, is_passing: bool) -> None:
        known = self._passing if is_passing else self._lasting
        new = {secret: self._spell(secret) for secret in secrets if secret not in known}
        if not new:
            return
        with self._lock:
            known.update(new)
            while len(self._passing) > MAX_PASSING:
                del self._passing[next(iter(self._passing))]
            spelled = {
                form: s for each in (self._passing, self._lasting) for s, found in each.items() for form in found
            }
            self.forms = tuple(sorted(spelled.items(), key=lambda one: len(one[0]), reverse=True))
