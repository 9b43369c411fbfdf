"""Salesforce's token endpoint: one call, what a good answer holds, and what a refusal means in plain words.

Nothing of an answer is quoted but words that we know: others may hold a secret.

Sources, Salesforce Help: "OAuth 2.0 Authorization Errors", "Identity URLs",
"OAuth Token Revocation".
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import ip_address
from typing import Any
from urllib.parse import urlsplit

import aiohttp

from listener.change import MalformedEvent, long_id
from listener.errors import Outage, SetupError
from listener.settings import SalesforceSettings

_IDENTITY = re.compile(r"/id/(00D[A-Za-z0-9]{12,15})/(005[A-Za-z0-9]{12,15})/?$")


@dataclass(frozen=True, slots=True, kw_only=True)
class Token:
    """Where the org is, who we are in it, and the key to it. The ids are from the answer's identity URL."""

    access_token: str = field(repr=False)
    instance_url: str
    user_id: str
    org_id: str


class TokenEndpoint:
    """The endpoint of one log-in address. `calls` counts the calls that ask for a token, for the metrics."""

    def __init__(self, login_url: str, *, timeout: float) -> None:
        """`timeout`: seconds for one call. Raises `SetupError` for an address that is neither https nor loopback."""
        self.url = origin_of(login_url, named="SALESFORCE_LOGIN_URL")
        self.calls = 0
        self._timeout = aiohttp.ClientTimeout(total=timeout)
        self._http: aiohttp.ClientSession | None = None

    async def ask(self, form: Mapping[str, str]) -> tuple[int, Mapping[str, Any]]:
        """Status 200 or 4xx, and the JSON object that came with it. Raises `Outage`."""
        self.calls += 1
        status, answer, problem = await self._post("token", form)
        if isinstance(answer, dict) and (status == 200 or (400 <= status < 500 and status != 429)):
            return status, answer
        raise Outage(
            f"Salesforce's token endpoint does not answer ({problem or f'HTTP {status}'})",
            hint="is SALESFORCE_LOGIN_URL right, and reachable from this host?",
        )

    async def revoke(self, token: str) -> bool:
        """Whether Salesforce has ended that token, and whatever was given out for it. Never raises."""
        status, _, _ = await self._post("revoke", {"token": token})
        return status == 200

    async def close(self) -> None:
        """Closes the connection; the next call opens another."""
        if self._http is not None:
            await self._http.close()
            self._http = None

    async def _post(self, place: str, form: Mapping[str, str]) -> tuple[int, Any, str]:
        if self._http is None:
            # A proxy of the environment is for the way out, never for a stand-in on this host.
            self._http = aiohttp.ClientSession(trust_env=not is_loopback(self.url))
        status, answer, problem = 0, None, ""
        try:
            # Redirects are not followed: the form holds a secret.
            async with self._http.post(
                f"{self.url}/services/oauth2/{place}",
                data=form,
                timeout=self._timeout,
                allow_redirects=False,
                headers={"Accept": "application/json"},
            ) as response:
                status = response.status
                answer = await response.json(content_type=None)
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            problem = type(error).__name__
        except ValueError:
            problem = f"HTTP {status}, not JSON"
        return status, answer, problem


def client_in(settings: SalesforceSettings) -> dict[str, str]:
    """Who the app is, as a form says it; without a secret where there is none."""
    secret = settings.client_secret
    return {"client_id": settings.client_id} | ({"client_secret": secret.get_secret_value()} if secret else {})


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
    "authentication failure": "is the user active, and its password unchanged? if not: `fusion-sync login`",
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
