"""Whose chart it was when we last saw it, kept so that it can be recognised and not read.

A name or a birth date may be corrected in Salesforce on purpose. The chart then shows the *previous* value, and to tell
that from a stranger's chart we must know what we saw there last. No patient data rests with us, so we keep a salted
scrypt digest: guessing it takes the work of a password.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import os

from fusion.patient import Identity, folded

_COST = 2**13  # about 25 ms and 8 MB a guess on the machines of 2026


async def digest_of(identity: Identity) -> str:
    """`salt$digest` in hex, of the folded first name, last name and birth date."""
    salt = os.urandom(16)
    return f"{salt.hex()}${(await asyncio.to_thread(_digest, identity, salt)).hex()}"


async def is_of(identity: Identity, digest: str) -> bool:
    """Whether that digest was made of this identity."""
    salt, _, expected = digest.partition("$")
    found = await asyncio.to_thread(_digest, identity, bytes.fromhex(salt))
    return hmac.compare_digest(found.hex(), expected)


def _digest(identity: Identity, salt: bytes) -> bytes:
    born = identity.birth_date.isoformat() if identity.birth_date else ""
    words = "\x1f".join((folded(identity.first_name), folded(identity.last_name), born))
    return hashlib.scrypt(words.encode(), salt=salt, n=_COST, r=8, p=1)
