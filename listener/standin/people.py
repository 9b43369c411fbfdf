"""Who may knock: users with what they may see, and the OAuth clients (External Client Apps) they come through."""

from dataclasses import dataclass, field
from enum import StrEnum
from functools import lru_cache

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa


@dataclass(frozen=True, slots=True, kw_only=True)
class Person:
    """A user of the org: a system administrator, or somebody with no more than their permission sets give."""

    id: str
    username: str
    name: str
    administrator: bool = False


class Flow(StrEnum):
    """Grant types of the token endpoint, spelled as on the wire."""

    JWT_BEARER = "urn:ietf:params:oauth:grant-type:jwt-bearer"
    CLIENT_CREDENTIALS = "client_credentials"
    AUTHORIZATION_CODE = "authorization_code"
    REFRESH_TOKEN = "refresh_token"  # noqa: S105  the name of a grant, not a secret


@dataclass(frozen=True, slots=True, kw_only=True)
class Client:
    """One External Client App: its key and secret, what it may use, and whom it may act for.

    `usernames` are pre-authorised for JWT bearer; `run_as` is the client-credentials user; with `rotates` each refresh
    returns a new refresh token and ends the old one.
    """

    id: str
    secret: str = field(repr=False)
    flows: frozenset[Flow]
    usernames: frozenset[str]
    run_as: str | None = None
    public_key: str | None = field(default=None, repr=False)
    redirect_uris: frozenset[str] = frozenset()
    rotates: bool = False


def new_private_key() -> str:
    """A fresh 2048-bit RSA key as unencrypted PKCS#8 PEM."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ).decode()


@lru_cache(maxsize=8)
def public_key_of(private_pem: str) -> str:
    """The public half of a private key, as PEM: what an admin uploads (inside a certificate) to the app.

    Kept, since loading a key checks its numbers: that takes longer than all else at a start.
    """
    key = serialization.load_pem_private_key(private_pem.encode(), password=None)
    return (
        key.public_key()
        .public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
        .decode()
    )
