"""One source of access tokens, for stream and REST alike: JWT bearer or client credentials.

Whoever meets a 401 hands the token back with `refuse`, and the next call of `token` brings a new one for everybody.
Salesforce limits log-ins, so there is one call at a time, and after a failed one a pause in which none is made.

Sources, Salesforce Help: "OAuth 2.0 JWT Bearer Flow for Server-to-Server Integration", "OAuth 2.0 Client Credentials
Flow for Server-to-Server Integration", "OAuth 2.0 Authorization Errors".
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import jwt

from listener.change import MalformedEvent, long_id
from listener.errors import Outage, SetupError, SyncError
from listener.settings import SalesforceSettings

_JWT_BEARER = "urn:ietf:params:oauth:grant-type:jwt-bearer"
_ASSERTION_LIFE = timedelta(minutes=3)  # "exp ... within 3 minutes" ("OAuth 2.0 JWT Bearer Flow")
_PRODUCTION, _SANDBOX = "https://login.salesforce.com", "https://test.salesforce.com"
_LONGEST_PAUSE = 60.0
_IDENTITY = re.compile(r"/id/(00D[A-Za-z0-9]{12,15})/(005[A-Za-z0-9]{12,15})/?$")


@dataclass(frozen=True, slots=True, kw_only=True)
class Token:
    """Where the org is, who we are in it, and the key to it. The ids are from the answer's identity URL."""

    access_token: str = field(repr=False)
    instance_url: str
    user_id: str
    org_id: str


class Login:
    """The token source. `calls` counts the calls to the token endpoint, for the metrics."""

    def __init__(
        self,
        settings: SalesforceSettings,
        *,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
        monotonic: Callable[[], float] = time.monotonic,
        timeout: float = 20.0,
    ) -> None:
        """`timeout`: seconds for one call. Raises `SetupError` for an address that is neither https nor loopback."""
        self.calls = 0
        self._settings = settings
        self._url = origin_of(settings.login_url, named="SALESFORCE_LOGIN_URL")
        self._audiences = audiences_for(self._url)
        self._clock = clock
        self._monotonic = monotonic
        self._timeout = aiohttp.ClientTimeout(total=timeout)
        self._http: aiohttp.ClientSession | None = None
        self._one_call = asyncio.Lock()
        self._token: Token | None = None
        self._worked = False
        self._failure: SyncError | None = None
        self._failures = 0
        self._not_before = 0.0

    async def token(self) -> Token:
        """The current token, or a new one if there is none.

        Raises `Outage` where Salesforce does not answer, and `SetupError` where it says no. What has worked before in
        this process is an outage when it stops to: an administrator can mend it while we wait.
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
            self._token = None

    async def close(self) -> None:
        """Closes the connection; the next `token` call opens another."""
        if self._http is not None:
            await self._http.close()
            self._http = None

    async def _renewed(self) -> Token:
        left = self._not_before - self._monotonic()
        if self._failure is not None and left > 0:
            raise _copy_of(self._failure, retry_after=left)
        try:
            token = await self._asked()
        except (SetupError, Outage) as error:
            failure = Outage(str(error), hint=error.hint) if self._worked else error
            pause = min(_LONGEST_PAUSE, 2.0 ** min(self._failures, 6))
            self._failure, self._failures = failure, self._failures + 1
            self._not_before = self._monotonic() + pause
            raise _copy_of(failure, retry_after=pause) from None
        self._failure, self._failures, self._worked = None, 0, True
        return token

    async def _asked(self) -> Token:
        error = description = ""
        for audience, form in self._forms():
            status, answer = await self._post(form)
            if status == 200:
                self._audiences = (audience, *(one for one in self._audiences if one != audience))
                return token_in(answer)
            error, description = str(answer.get("error")), str(answer.get("error_description", ""))
            if "audience" not in description:
                break
        raise refusal(error, description)

    def _forms(self) -> Iterator[tuple[str, dict[str, str]]]:
        """What to post, one after the other while it is the audience that is refused."""
        match self._settings.auth:
            case "client_credentials":
                secret = self._settings.client_secret
                yield (
                    self._audiences[0],
                    {
                        "grant_type": "client_credentials",
                        "client_id": self._settings.client_id,
                        "client_secret": secret.get_secret_value() if secret else "",
                    },
                )
            case "jwt":
                for audience in self._audiences:
                    yield audience, {"grant_type": _JWT_BEARER, "assertion": self._assertion(audience)}
            case _:
                raise SetupError(
                    "SALESFORCE_AUTH=web needs a person to log in, and this version has no command for that",
                    hint="set SALESFORCE_AUTH to jwt or client_credentials",
                )

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

    async def _post(self, form: Mapping[str, str]) -> tuple[int, Mapping[str, Any]]:
        """Status 200 or 4xx, and the JSON object that came with it."""
        if self._http is None:
            # A proxy of the environment is for the way out, never for a stand-in on this host.
            self._http = aiohttp.ClientSession(trust_env=not is_loopback(self._url))
        self.calls += 1
        where = f"{self._url}/services/oauth2/token"
        status, answer, problem = 0, None, ""
        try:
            # Redirects are not followed: the form holds a secret.
            async with self._http.post(
                where, data=form, timeout=self._timeout, allow_redirects=False, headers={"Accept": "application/json"}
            ) as response:
                status = response.status
                answer = await response.json(content_type=None)
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            problem = type(error).__name__
        except ValueError:
            problem = f"HTTP {status}, not JSON"
        if isinstance(answer, dict) and (status == 200 or (400 <= status < 500 and status != 429)):
            return status, answer
        raise Outage(
            f"Salesforce's token endpoint does not answer ({problem or f'HTTP {status}'})",
            hint="is SALESFORCE_LOGIN_URL right, and reachable from this host?",
        )


def is_loopback(url: str) -> bool:
    """Whether the URL's host is this host, by its name or its address."""
    host = urlsplit(url).hostname or ""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def origin_of(url: str, *, named: str) -> str:
    """`https://host[:port]`. `SetupError` for anything else; plain http is good for loopback hosts only."""
    try:
        parts = urlsplit(url)
        good = bool(parts.hostname) and (parts.scheme == "https" or (parts.scheme == "http" and is_loopback(url)))
    except ValueError:
        good = False
    if not good or parts.username or parts.password:
        raise SetupError(
            f"{named} is not an address that a token may be sent to",
            hint="it looks like https://NAME.my.salesforce.com",
        )
    return f"{parts.scheme}://{parts.netloc}"


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


def token_in(answer: Mapping[str, Any]) -> Token:
    """The token of an answer with status 200. Raises `Outage` if it holds none (a captive portal, a proxy)."""
    access_token, identity = answer.get("access_token"), _IDENTITY.search(str(answer.get("id")))
    if not isinstance(access_token, str) or not access_token or identity is None:
        raise Outage("the token endpoint answered without a token", hint="is SALESFORCE_LOGIN_URL that of Salesforce?")
    try:
        org_id, user_id = long_id(identity[1]), long_id(identity[2])
    except MalformedEvent:
        raise Outage("the token endpoint answered without ids", hint="is SALESFORCE_LOGIN_URL right?") from None
    instance_url = origin_of(str(answer.get("instance_url")), named="the instance_url of Salesforce's answer")
    return Token(access_token=access_token, instance_url=instance_url, user_id=user_id, org_id=org_id)


_LATER = ("rate exceeded", "retry your request", "temporarily", "maintenance", "try again")
_HINTS = {
    "hasn't approved this consumer": "pre-authorise the app (OAuth policy: admin approved users) and give the user of "
    "SALESFORCE_USERNAME the permission set that the app names",
    "not admin approved": "give the user of SALESFORCE_USERNAME the permission set that the app names",
    "invalid assertion": "does the app's certificate belong to SALESFORCE_PRIVATE_KEY_FILE?",
    "audience is invalid": "SALESFORCE_LOGIN_URL: the org's My Domain, or https://test.salesforce.com for a sandbox",
    "expired": "is this host's clock right? the assertion is good for 3 minutes",
    "no client credentials user": "set a run-as user in the app's client credentials policy",
    "not supported on this domain": "set SALESFORCE_LOGIN_URL to the org's My Domain",
    "client identifier invalid": "SALESFORCE_CLIENT_ID is the consumer key of the External Client App",
    "invalid client credentials": "SALESFORCE_CLIENT_SECRET is the consumer secret of the External Client App",
    "grant type not supported": "turn on the flow that SALESFORCE_AUTH names in the app's OAuth settings",
    "inactive": "the user of SALESFORCE_USERNAME is inactive or frozen",
    "ip restricted": "the app's IP policy or the user's login range keeps this host out",
    "app_not_found": "is the app installed in the org that SALESFORCE_LOGIN_URL names?",
}


def refusal(error: str, description: str) -> SetupError | Outage:
    """What a 4xx answer of the token endpoint means. Quotes only words that we know, since others may hold a secret."""
    known = next((words for words in _HINTS if words in description.lower() or words == error), None)
    code = error if re.fullmatch(r"[a-z_]{1,40}", error) else "an unknown error"
    message = f"Salesforce refused the log-in: {code}" + (f" ({known})" if known and known != error else "")
    if code in {"server_error", "unknown_error", "rate_limit_exceeded"} or any(w in description for w in _LATER):
        return Outage(message, hint="Salesforce asks to try again later")
    fallback = "check SALESFORCE_CLIENT_ID, SALESFORCE_USERNAME, SALESFORCE_AUTH, and the app's policies"
    return SetupError(message, hint=_HINTS[known] if known else fallback)


def _copy_of(failure: SyncError, *, retry_after: float) -> SyncError:
    """The same failure as a new exception: one that is raised twice would collect tracebacks."""
    if isinstance(failure, Outage):
        return Outage(str(failure), hint=failure.hint, retry_after=round(retry_after, 3))
    return type(failure)(str(failure), hint=failure.hint)
