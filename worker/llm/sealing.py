"""Seals keys for storage with a seed that only the environment holds. Needs the extra `keys`."""

import base64
import hashlib
from functools import cached_property
from typing import TYPE_CHECKING

from pydantic import SecretStr

from worker.errors import ConfigError, SealError
from worker.llm.extras import require
from worker.settings import Settings

if TYPE_CHECKING:
    from cryptography.fernet import Fernet

_ID_PURPOSE = b"rca-worker seed id"


class Seals:
    """The seal of the present seed, and that of the one before, which opens and never seals."""

    def __init__(self, settings: Settings, *, purpose: str = "provider keys") -> None:
        self._purpose = f"rca-worker {purpose}".encode()
        self._seed = settings.aurora_secret_key or settings.jwt_secret_key
        self._previous = settings.aurora_secret_key_previous

    def seal(self, text: str) -> tuple[str, str]:
        """Return the text sealed and the id of the seed. Raises ConfigError without a seed."""
        if self._seed is None:
            raise ConfigError("keys are stored only where AURORA_SECRET_KEY (or JWT_SECRET_KEY) is set")
        seed_id, fernet = next(iter(self._fernets.items()))
        return fernet.encrypt(text.encode()).decode(), seed_id

    def open(self, sealed: str, seed_id: str) -> str:
        """Return what was sealed. Raises SealError where the seed is another one, or was tampered with.

        ConfigError where the extra is missing.
        """
        fernet = self._fernets.get(seed_id)
        if fernet is None:
            raise SealError(
                "it was sealed with another seed; set AURORA_SECRET_KEY as it was, or the old one as"
                " AURORA_SECRET_KEY_PREVIOUS and run `rca secrets rotate`"
            )
        from cryptography.fernet import InvalidToken  # noqa: PLC0415  # an extra

        try:
            return fernet.decrypt(sealed.encode()).decode()
        except InvalidToken as error:
            raise SealError("it was changed since it was stored; store the key again") from error

    @cached_property
    def _fernets(self) -> dict[str, "Fernet"]:
        """The seals by the ids of their seeds, the present one first. Made once: an id takes tens of milliseconds."""
        return {_id_of(seed): self._of(seed) for seed in (self._seed, self._previous) if seed}

    def _of(self, seed: SecretStr) -> "Fernet":
        require("cryptography", extra="keys", provider="The store of keys")
        from cryptography.fernet import Fernet  # noqa: PLC0415  # an extra
        from cryptography.hazmat.primitives.hashes import SHA256  # noqa: PLC0415
        from cryptography.hazmat.primitives.kdf.hkdf import HKDF  # noqa: PLC0415

        derived = HKDF(SHA256(), 32, salt=None, info=self._purpose).derive(seed.get_secret_value().encode())
        return Fernet(base64.urlsafe_b64encode(derived))


def _id_of(seed: SecretStr) -> str:
    """Return a name for a seed that tells it from another one, and nothing of it."""
    told = hashlib.pbkdf2_hmac("sha256", seed.get_secret_value().encode(), _ID_PURPOSE, 50_000)
    return told.hex()[:16]
