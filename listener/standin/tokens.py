"""Access and refresh tokens: what they stand for, how long they are good, and who hears when they end."""

import secrets
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from aiohttp import web

from listener.standin.people import Client, Person

CONSENTS = 5  # of one user for one app


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


@dataclass(slots=True, kw_only=True)
class Consent:
    """What one person gave one app in a browser: a refresh token, one after the other if the app rotates them."""

    client: Client
    person: Person
    scope: str
    refresh_token: str = field(repr=False)
    access_tokens: list[str] = field(default_factory=list, repr=False)


class Tokens:
    """Access and refresh tokens. Expired tokens fail in REST and at the next handshake, revoked ones at once."""

    def __init__(self, org_id: str, clock: Callable[[], datetime], life: timedelta) -> None:
        self.on_revoked: list[Callable[[], None]] = []
        self.life = life
        self._org_id = org_id
        self._clock = clock
        self._live: dict[str, Session] = {}
        self._consents: list[Consent] = []
        self._spent: dict[str, Consent] = {}

    def issue(self, client: Client, person: Person, consent: Consent | None = None) -> Session:
        token = f"{self._org_id[:15]}!{secrets.token_urlsafe(64)}"
        session = Session(token=token, person=person, client=client, issued_at=self._clock())
        self._live[token] = session
        if consent is not None:
            consent.access_tokens.append(token)
        return session

    def consent(self, client: Client, person: Person, scope: str) -> Consent:
        """A new consent. Of one app and one user five are kept, and the oldest ends: "Manage OAuth Access Policies"."""
        given = Consent(client=client, person=person, scope=scope, refresh_token=_new_refresh_token())
        theirs = [one for one in self._consents if (one.client.id, one.person.id) == (client.id, person.id)]
        for oldest in theirs[: max(0, len(theirs) + 1 - CONSENTS)]:
            self.end(oldest)
        self._consents.append(given)
        return given

    def of_refresh(self, refresh_token: str) -> Consent | None:
        """The consent whose token that is. One that was rotated away before ends its consent, access tokens and all:
        "any attempted reuse of an invalidated refresh token results in the immediate revocation of the current refresh
        token and all associated access tokens" (Help 005316711).
        """
        if refresh_token in self._spent:
            self.end(self._spent[refresh_token])
        return next((one for one in self._consents if one.refresh_token == refresh_token), None)

    def rotate(self, consent: Consent) -> None:
        """Gives the consent its next refresh token; the one before is spent."""
        self._spent[consent.refresh_token] = consent
        consent.refresh_token = _new_refresh_token()

    def end(self, consent: Consent) -> None:
        """Takes back what was given, and every access token that came of it."""
        if consent in self._consents:
            self._consents.remove(consent)
            self.revoke(*consent.access_tokens)

    def end_consents(self) -> int:
        """As when an administrator revokes the app in Setup ("Connected Apps OAuth Usage"). How many there were."""
        ended = list(self._consents)
        for consent in ended:
            self.end(consent)
        return len(ended)

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

    def revoke(self, *tokens: str) -> None:
        """Ends those access tokens; streams hear of it at once."""
        for ended in tokens:
            self._live.pop(ended, None)
        for listener in self.on_revoked:
            listener()

    def revoke_all(self) -> None:
        """Ends every access token."""
        self.revoke(*list(self._live))


def _new_refresh_token() -> str:
    return "5Aep" + secrets.token_urlsafe(48)


def bearer(request: web.Request) -> str | None:
    """The token of `Authorization: Bearer` or `OAuth`; the API takes both words."""
    kind, _, token = request.headers.get("Authorization", "").partition(" ")
    return token.strip() if kind.lower() in {"bearer", "oauth"} and token.strip() else None
