"""One source of access tokens, for stream and REST alike: JWT bearer, client credentials, or a person's log-in.

Whoever meets a 401 hands the token back with `refuse`, and the next call of `token` brings a new one for everybody.
Salesforce limits log-ins, so there is one call at a time, and after a failed one a pause in which none is made.

Sources, Salesforce Help: "OAuth 2.0 JWT Bearer Flow for Server-to-Server Integration", "OAuth 2.0 Client Credentials
Flow for Server-to-Server Integration", "OAuth 2.0 Refresh Token Flow for Renewed Sessions".
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from urllib.parse import urlsplit

import jwt

from listener.errors import Outage, SetupError, SyncError
from listener.renewal import Renewal
from listener.settings import SalesforceSettings
from listener.token_endpoint import Token, TokenEndpoint, client_in, refusal, token_in
from listener.tokens import KeptLogin, LoginEnded

_JWT_BEARER = "urn:ietf:params:oauth:grant-type:jwt-bearer"
_ASSERTION_LIFE = timedelta(minutes=3)  # "exp ... within 3 minutes" ("OAuth 2.0 JWT Bearer Flow")
_PRODUCTION, _SANDBOX = "https://login.salesforce.com", "https://test.salesforce.com"
_LONGEST_PAUSE = 60.0


class Login:
    """The token source of a process."""

    def __init__(
        self,
        settings: SalesforceSettings,
        *,
        kept: KeptLogin | None = None,
        token: Token | None = None,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
        monotonic: Callable[[], float] = time.monotonic,
        timeout: float = 20.0,
    ) -> None:
        """`kept`: a person's log-in, for `SALESFORCE_AUTH=web`; `token`: one to begin with.

        `timeout`: seconds for one call. Raises `SetupError` for an address that is neither https nor loopback.
        """
        self._settings = settings
        self._endpoint = TokenEndpoint(settings.login_url, timeout=timeout)
        self._by_a_person = Renewal(kept, self._endpoint, settings) if kept else None
        self._audiences = audiences_for(self._endpoint.url)
        self._clock = clock
        self._monotonic = monotonic
        self._one_call = asyncio.Lock()
        self._token = token
        self._refused: Token | None = None
        self._worked = False
        self._failure: SyncError | None = None
        self._failures = 0
        self._not_before = 0.0

    @property
    def calls(self) -> int:
        """Calls to the token endpoint so far, for the metrics."""
        return self._endpoint.calls

    async def token(self) -> Token:
        """The current token, or a new one if there is none.

        Raises `Outage` where Salesforce does not answer, and `SetupError` where it says no. What has worked before in
        this process is an outage when it stops to: an administrator can mend it while we wait. Not so a person's
        log-in that is over (`LoginEnded`).
        """
        if self._token is None:
            async with self._one_call:
                if self._token is None:
                    self._token = await self._renewed()
                return self._token
        return self._token

    def refuse(self, token: Token) -> None:
        """The org answered 401 to this token: forget it, unless somebody has renewed it already."""
        if self._token == token:
            self._token, self._refused = None, token

    async def close(self) -> None:
        """Closes the connection, but lets a renewal come to its end; the next `token` call opens another."""
        if self._by_a_person is not None:
            await self._by_a_person.close()
        await self._endpoint.close()

    async def _renewed(self) -> Token:
        left = self._not_before - self._monotonic()
        if self._failure is not None and left > 0:
            raise _copy_of(self._failure, retry_after=left)
        try:
            token = await self._asked()
        except (SetupError, Outage) as error:
            mended_elsewhere = self._worked and not isinstance(error, LoginEnded)
            failure = Outage(str(error), hint=error.hint) if mended_elsewhere else error
            pause = min(_LONGEST_PAUSE, 2.0 ** min(self._failures, 6))
            self._failure, self._failures = failure, self._failures + 1
            self._not_before = self._monotonic() + pause
            raise _copy_of(failure, retry_after=pause) from None
        self._failure, self._failures, self._worked = None, 0, True
        return token

    async def _asked(self) -> Token:
        if self._settings.auth == "web":
            if self._by_a_person is None:
                raise SetupError("SALESFORCE_AUTH=web needs a log-in that is kept", hint="run `fusion-sync login`")
            return await self._by_a_person.token(refused=self._refused)
        error = description = ""
        for audience, form in self._forms():
            status, answer = await self._endpoint.ask(form)
            if status == 200:
                self._audiences = (audience, *(one for one in self._audiences if one != audience))
                return token_in(answer)
            error, description = str(answer.get("error")), str(answer.get("error_description", ""))
            if "audience" not in description:
                break
        raise refusal(error, description)

    def _forms(self) -> Iterator[tuple[str, dict[str, str]]]:
        """What to post, one after the other while it is the audience that is refused."""
        if self._settings.auth == "client_credentials":
            yield self._audiences[0], {"grant_type": "client_credentials"} | client_in(self._settings)
            return
        for audience in self._audiences:
            yield audience, {"grant_type": _JWT_BEARER, "assertion": self._assertion(audience)}

    def _assertion(self, audience: str) -> str:
        key_file = self._settings.private_key_file
        if key_file is None or not self._settings.username:
            raise SetupError(
                "SALESFORCE_AUTH=jwt needs SALESFORCE_USERNAME and SALESFORCE_PRIVATE_KEY_FILE", hint="set both"
            )
        claims = {
            "iss": self._settings.client_id,
            "sub": self._settings.username,
            "aud": audience,
            "exp": int((self._clock() + _ASSERTION_LIFE).timestamp()),
        }
        try:
            # Read anew each time, so that a changed key needs no restart.
            return jwt.encode(claims, key_file.read_text(encoding="ascii"), algorithm="RS256")
        except OSError as failed:
            problem = failed.strerror or type(failed).__name__
        except (ValueError, TypeError, jwt.PyJWTError):
            problem = "not a private RSA key in PEM form without a passphrase"
        raise SetupError(
            f"the file that SALESFORCE_PRIVATE_KEY_FILE names cannot be used: {problem}",
            hint="it holds the private key of the certificate that was uploaded to the External Client App",
        )


def audiences_for(url: str) -> tuple[str, ...]:
    """What may stand in an assertion's `aud` for that log-in address, the likelier first.

    The help page names login.salesforce.com, test.salesforce.com and a site's own address; orgs with a My Domain take
    that (External Client Apps nothing else), older Connected Apps only the generic one. Salesforce's own CLI tries.
    """
    host = urlsplit(url).hostname or ""
    if not host.endswith((".salesforce.com", ".salesforce.mil")):
        return (url,)
    sandbox = host.startswith("test.") or "--" in host or ".sandbox." in host or ".scratch." in host
    return tuple(dict.fromkeys((url, _SANDBOX if sandbox else _PRODUCTION)))


def _copy_of(failure: SyncError, *, retry_after: float) -> SyncError:
    """The same failure as a new exception: one that is raised twice would collect tracebacks."""
    if isinstance(failure, Outage):
        return Outage(str(failure), hint=failure.hint, retry_after=round(retry_after, 3))
    return type(failure)(str(failure), hint=failure.hint)
