"""Codes of an authenticator app: RFC 6238 as every portal uses it, six digits, SHA-1, a new one each 30 seconds."""

from __future__ import annotations

import base64
import binascii
from datetime import datetime

from cryptography.hazmat.primitives.hashes import SHA1
from cryptography.hazmat.primitives.twofactor.totp import TOTP


def totp_of(secret: str) -> TOTP:
    """The generator of a secret in base32, as a portal shows it beside its QR code; ValueError if it is none.

    Shorter ones than the RFC wants are taken: it is the portal that chose it, often with 80 bits.
    """
    letters = secret.replace(" ", "").replace("-", "").rstrip("=").upper()
    try:
        key = base64.b32decode(letters + "=" * (-len(letters) % 8))
    except binascii.Error:
        raise ValueError("is not base32: letters and the digits 2 to 7") from None
    if not key:
        raise ValueError("is empty")
    return TOTP(key, 6, SHA1(), 30, enforce_key_length=False)  # noqa: S303 - the RFC's, and no other is understood


def code_at(secret: str, moment: datetime) -> str:
    """The code that the app shows at that moment."""
    return totp_of(secret).generate(int(moment.timestamp())).decode()
