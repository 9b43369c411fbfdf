"""Access and refresh tokens: what they stand for, how long they are good, and who hears when they end."""

import secrets
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from aiohttp import web

from listener.standin.people import Client, Person


@dataclass(frozen=True, slots=True, kw_only=True)
class Credentials:
    """All a program needs to log in as one user, whichever flow it likes."""

    client_id: str
    client_secret: str = field(repr=False)
    username: str
    private_key: str = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """What an access token stands for."""

    token: str = field(repr=False)
    person: Person
    client: Client
    issued_at: datetime
    scope: str = "api refresh_token"


class Tokens:
    """Access and refresh tokens. Expired tokens fail in REST and at the next handshake, revoked ones at once."""

    def __init__(self, org_id: str, clock: Callable[[], datetime], life: timedelta) -> None:
        self.on_revoked: list[Callable[[], None]] = []
        self.life = life
        self._org_id = org_id
        self._clock = clock
        self._live: dict[str, Session] = {}
        self._refresh: dict[str, tuple[Client, Person]] = {}

    def issue(self, client: Client, person: Person) -> Session:
        token = f"{self._org_id[:15]}!{secrets.token_urlsafe(64)}"
        session = Session(token=token, person=person, client=client, issued_at=self._clock())
        self._live[token] = session
        return session

    def issue_refresh(self, client: Client, person: Person) -> str:
        token = "5Aep" + secrets.token_urlsafe(48)
        self._refresh[token] = (client, person)
        return token

    def refresh(self, token: str) -> tuple[Client, Person] | None:
        return self._refresh.get(token)

    def drop_refresh(self, token: str) -> None:
        self._refresh.pop(token, None)

    def known(self, token: str) -> Session | None:
        """The session of a token that was not revoked, however old: a connected stream outlives its token's life."""
        return self._live.get(token)

    def check(self, token: str) -> Session | None:
        """The session of a token that is good for REST and a handshake now. Each use moves its end (idle timeout)."""
        session = self._live.get(token)
        if session is None or self._clock() >= session.issued_at + self.life:
            return None
        self._live[token] = replace(session, issued_at=self._clock())
        return session

    def revoke(self, token: str | None = None) -> None:
        """Ends one access token, or all of them; streams hear of it at once."""
        for ended in [token] if token else list(self._live):
            self._live.pop(ended, None)
        for listener in self.on_revoked:
            listener()


def bearer(request: web.Request) -> str | None:
    """The token of `Authorization: Bearer` or `OAuth`; the API takes both words."""
    kind, _, token = request.headers.get("Authorization", "").partition(" ")
    return token.strip() if kind.lower() in {"bearer", "oauth"} and token.strip() else None
