"""The web server flow: a person says yes in a browser, once, and we get a refresh token.

The errand's `state` and `verifier` never leave the process that began it, so an answer to somebody else's errand is
refused, and a code that was seen on the way is of no use (RFC 7636, S256). The callback listens on 127.0.0.1 only.

Sources, Salesforce Help: "OAuth 2.0 Web Server Flow for Web App Integration", "OAuth 2.0 Authorization Errors".
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import secrets
from dataclasses import dataclass, field
from urllib.parse import parse_qs, urlencode, urlsplit

from aiohttp import web

from listener.errors import SetupError
from listener.settings import SalesforceSettings
from listener.token_endpoint import TokenEndpoint, client_in, is_loopback, refusal, token_in
from listener.tokens import Grant

_AGAIN = "run `fusion-sync login` again"
_REFUSALS = {
    "access_denied": "was it Deny that was clicked? else give that user the permission set that the app names",
    "invalid_scope": "add the scopes api and refresh_token to the app's OAuth settings",
    "invalid_client_id": "SALESFORCE_CLIENT_ID is the consumer key of the External Client App",
    "redirect_uri_mismatch": "SALESFORCE_CALLBACK_URL is the app's callback URL, letter by letter",
    "immediate_unsuccessful": _AGAIN,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Errand:
    """One try to be let in. `url` is where the person goes; `callback` is where Salesforce sends the browser then."""

    url: str = field(repr=False)
    callback: str
    state: str = field(repr=False)
    verifier: str = field(repr=False)


def errand(settings: SalesforceSettings, *, login_url: str) -> Errand:
    """A new one, with secrets of its own."""
    state, verifier = secrets.token_urlsafe(32), secrets.token_urlsafe(64)
    challenge = base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()
    asked = {
        "response_type": "code",
        "client_id": settings.client_id,
        "redirect_uri": settings.callback_url,
        "scope": "api refresh_token",
        "state": state,
        "code_challenge": challenge,
        "code_challenge_method": "S256",
        "prompt": "login",  # or whoever is logged in to that browser would be it, most likely an administrator
    } | ({"login_hint": settings.username} if settings.username else {})
    url = f"{login_url}/services/oauth2/authorize?{urlencode(asked)}"
    return Errand(url=url, callback=settings.callback_url, state=state, verifier=verifier)


def code_in(errand: Errand, redirected: str) -> str:
    """The code in the address to which Salesforce sent the browser. `SetupError` where it is none of this errand's."""
    answer = {name: values[0] for name, values in parse_qs(urlsplit(redirected.strip()).query).items()}
    if not secrets.compare_digest(answer.get("state", "").encode(), errand.state.encode()):
        raise SetupError(
            "that address is not the answer to this log-in",
            hint="it begins with the callback URL and has the state of this very try; " + _AGAIN,
        )
    if "error" in answer:
        known = answer["error"] if answer["error"] in _REFUSALS else "an unknown error"
        raise SetupError(
            f"Salesforce did not let this program in: {known}",
            hint=_REFUSALS.get(known, "see the app's OAuth policies"),
        )
    if not answer.get("code"):
        raise SetupError("that address holds no code", hint="copy it whole from the browser's address bar")
    return answer["code"]


async def caught(errand: Errand, *, seconds: float) -> str:
    """The code, from the browser itself: it calls the callback on this host. `SetupError` if it does not in time."""
    parts = urlsplit(errand.callback)
    if not is_loopback(errand.callback) or parts.scheme != "http" or not parts.port:
        raise SetupError("the callback URL does not lead to this host", hint="`fusion-sync login --no-browser`")
    found: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    async def back(request: web.Request) -> web.Response:
        try:
            code = code_in(errand, str(request.rel_url))
        except SetupError as error:
            # Another program's call must not end our errand; Salesforce's own no does.
            if "error" in request.query and request.query.get("state") == errand.state and not found.done():
                found.set_exception(error)
            return _page(f"{error}. {error.hint}.", status=400)
        if not found.done():
            found.set_result(code)
        return _page("That was it. You can close this window, and go on in the terminal.")

    app = web.Application()
    app.router.add_get(parts.path or "/", back)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", parts.port).start()
        return await asyncio.wait_for(found, seconds)
    except TimeoutError:
        raise SetupError(f"nobody logged in within {seconds / 60:.0f} minutes", hint=_AGAIN) from None
    except OSError as error:
        raise SetupError(
            f"cannot wait for the browser at {errand.callback} ({error.strerror})",
            hint="end what listens there, or use --no-browser",
        ) from None
    finally:
        await runner.cleanup()


async def exchanged(errand: Errand, code: str, *, endpoint: TokenEndpoint, settings: SalesforceSettings) -> Grant:
    """What the code is worth. Raises `SetupError` where Salesforce refuses it, and `Outage`."""
    form = {
        "grant_type": "authorization_code",
        "code": code,
        "redirect_uri": errand.callback,
        "code_verifier": errand.verifier,
    }
    status, answer = await endpoint.ask(form | client_in(settings))
    if status != 200:
        error, description = str(answer.get("error")), str(answer.get("error_description", ""))
        if error == "invalid_grant" and "code" in description:
            raise SetupError("Salesforce does not take the code: it is used up, or older than 15 minutes", hint=_AGAIN)
        raise refusal(error, description)
    refresh_token = answer.get("refresh_token")
    if not isinstance(refresh_token, str) or not refresh_token:
        raise SetupError(
            "Salesforce gave no refresh token",
            hint="add the scope refresh_token to the app, with a policy that does not expire it at once",
        )
    return Grant(token=token_in(answer), refresh_token=refresh_token)


def _page(text: str, *, status: int = 200) -> web.Response:
    headers = {"Cache-Control": "no-store", "Content-Security-Policy": "default-src 'none'", "Connection": "close"}
    return web.Response(text=f"fusion-sync: {text}\n", status=status, headers=headers)
