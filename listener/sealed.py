"""Secrets at rest: sealed with keys from the environment, so that a copy of the database alone opens nothing.

Fernet: AES-128 in CBC mode and an HMAC, with a random start; what was changed or sealed with another key does not open.
"""

from __future__ import annotations

from collections.abc import Sequence

from cryptography.fernet import Fernet, InvalidToken, MultiFernet

from listener.errors import SetupError

MAKE_ONE = "make one: python -c 'from cryptography.fernet import Fernet; print(Fernet.generate_key().decode())'"


class Sealed:
    """Seals with the first key and opens with any, so that a new one is put in front and an old one leaves later."""

    def __init__(self, keys: Sequence[str]) -> None:
        """The newest first. `SetupError` if there is none, or one is not a key."""
        if not keys:
            raise SetupError("FUSION_SYNC_KEY is not set, and what is kept is sealed with it", hint=MAKE_ONE)
        try:
            each = [Fernet(key) for key in keys]
        except ValueError:
            raise SetupError("FUSION_SYNC_KEY holds something that is not a key", hint=MAKE_ONE) from None
        self._newest, self._fernet = each[0], MultiFernet(each)

    def seal(self, secret: bytes) -> bytes:
        """What may be written to a disk."""
        return self._fernet.encrypt(secret)

    def is_newest(self, sealed: bytes) -> bool:
        """Whether the first key opens it, so that the others are not needed for it."""
        try:
            self._newest.decrypt(sealed)
        except InvalidToken:
            return False
        return True

    def renewed(self, sealed: bytes) -> bytes:
        """The same secret under the first key; raises as `open` does."""
        return self.seal(self.open(sealed))

    def open(self, sealed: bytes) -> bytes:
        """The secret again; `SetupError` if none of the keys opens it."""
        try:
            return self._fernet.decrypt(sealed)
        except InvalidToken:
            raise SetupError(
                "what is kept was sealed with a key that FUSION_SYNC_KEY does not hold",
                hint="put the key of then behind the new one, with a comma",
            ) from None
