"""The token endpoint and its neighbours, with Salesforce's grants, answers and error words.

Sources, Salesforce Help: "OAuth 2.0 JWT Bearer Flow for Server-to-Server Integration", "OAuth 2.0 Client Credentials
Flow", "OAuth 2.0 Web Server Flow" with "Proof Key for Code Exchange", "OAuth 2.0 Refresh Token Flow", "OAuth 2.0
Authorization Errors". The username-password flow is refused: orgs block it by default (`blockOAuthUnPwFlow`).
"""

import base64
import hashlib
import html
import secrets
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from urllib.parse import urlencode

import jwt
from aiohttp import web

from listener.standin.ledger import Ledger
from listener.standin.people import Client, Flow, Person
from listener.standin.tokens import Consent, Tokens, bearer

CODE_LIFE = timedelta(minutes=15)  # "the authorization code expires after 15 minutes", web server flow
ASSERTION_SLACK = timedelta(minutes=3)  # "exp ... must be within 3 minutes", JWT bearer flow
MILLISECONDS = 1e11  # as seconds, the year 5138
SCOPES = frozenset({"api", "refresh_token", "offline_access"})  # what the app's OAuth settings name
AUDIENCES = frozenset({"https://login.salesforce.com", "https://test.salesforce.com"})


class GrantRefused(Exception):
    """An OAuth error answer: 400 `{error, error_description}`."""

    def __init__(self, error: str, description: str) -> None:
        super().__init__(f"{error}: {description}")
        self.error = error
        self.description = description


@dataclass(frozen=True, slots=True, kw_only=True)
class _Code:
    client_id: str
    person: Person
    redirect_uri: str
    challenge: str
    scope: str
    expires_at: datetime


class OAuth:
    """The endpoints under /services/oauth2 and the identity URL. `auto_approve` names the user whose browser always
    says Allow, so that a test needs no browser."""

    def __init__(
        self,
        *,
        tokens: Tokens,
        people: Iterable[Person],
        clients: Iterable[Client],
        org_id: str,
        base_url: Callable[[], str],
        ledger: Ledger,
        clock: Callable[[], datetime],
    ) -> None:
        self.auto_approve: str | None = None
        self._tokens = tokens
        self._people = {p.username: p for p in people}
        self._clients = {c.id: c for c in clients}
        self._org_id = org_id
        self._base_url = base_url
        self._ledger = ledger
        self._clock = clock
        self._codes: dict[str, _Code] = {}

    def routes(self) -> list[web.RouteDef]:
        return [
            web.post("/services/oauth2/token", self.token),
            web.get("/services/oauth2/authorize", self.authorize),
            web.post("/services/oauth2/authorize", self.decide),
            web.route("*", "/services/oauth2/userinfo", self.userinfo),
            web.route("*", "/id/{org}/{user}", self.userinfo),
            web.post("/services/oauth2/revoke", self.revoke),
            web.post("/services/oauth2/introspect", self.introspect),
        ]

    async def token(self, request: web.Request) -> web.Response:
        form = await self._form(request)
        grant = form.get("grant_type", "")
        try:
            answer, client, person = self._grant(grant, form)
        except GrantRefused as refused:
            self._ledger.record(
                "token",
                grant=grant,
                client_id=form.get("client_id"),
                status=400,
                error=refused.error,
                description=refused.description,
            )
            return web.json_response({"error": refused.error, "error_description": refused.description}, status=400)
        self._ledger.record("token", grant=grant, client_id=client.id, user=person.username, status=200, error=None)
        return web.json_response(answer, headers={"Cache-Control": "no-cache, no-store"})

    @staticmethod
    async def _form(request: web.Request) -> dict[str, str]:
        form = {k: str(v) for k, v in (await request.post()).items()}
        kind, _, encoded = request.headers.get("Authorization", "").partition(" ")
        if kind == "Basic":  # client id and secret may come as Basic authentication instead
            client_id, _, secret = base64.b64decode(encoded).decode().partition(":")
            form |= {"client_id": client_id, "client_secret": secret}
        return dict(request.query) | form

    def _grant(self, grant: str, form: Mapping[str, str]) -> tuple[dict[str, str], Client, Person]:
        match grant:
            case Flow.JWT_BEARER:
                client, person = self._assertion(form.get("assertion", ""))
                answer = self._answer(client, person)
                # The JWT answer carries neither refresh token nor signature.
                return {k: v for k, v in answer.items() if k not in {"issued_at", "signature"}}, client, person
            case Flow.CLIENT_CREDENTIALS:
                client = self._client(form, Flow.CLIENT_CREDENTIALS, secret_needed=True)
                if client.run_as is None or client.run_as not in self._people:
                    raise GrantRefused("invalid_grant", "no client credentials user enabled")
                return self._answer(client, self._people[client.run_as]), client, self._people[client.run_as]
            case Flow.AUTHORIZATION_CODE:
                return self._exchange(form)
            case Flow.REFRESH_TOKEN:
                return self._refresh(form)
            case "password":
                raise GrantRefused("unsupported_grant_type", "grant type not supported")
            case "":
                raise GrantRefused("invalid_request", "must specify a grant type")
            case _:
                raise GrantRefused("unsupported_grant_type", "grant type not supported")

    def _assertion(self, assertion: str) -> tuple[Client, Person]:
        try:
            claims = jwt.decode(
                assertion, options={"verify_signature": False, "verify_exp": False, "verify_aud": False}
            )
        except jwt.InvalidTokenError:
            raise GrantRefused("invalid_grant", "invalid assertion") from None
        client = self._clients.get(str(claims.get("iss")))
        if client is None:
            raise GrantRefused("invalid_client_id", "client identifier invalid")
        if Flow.JWT_BEARER not in client.flows or client.public_key is None:
            raise GrantRefused("invalid_client", "invalid client credentials")
        try:
            jwt.decode(
                assertion,
                client.public_key,
                algorithms=["RS256"],
                options={"verify_exp": False, "verify_aud": False, "verify_iat": False, "verify_nbf": False},
            )
        except jwt.InvalidTokenError:
            raise GrantRefused("invalid_grant", "invalid assertion") from None
        if not _is_good_at(claims.get("exp"), self._clock().timestamp()):
            raise GrantRefused("invalid_grant", "expired authorization code")  # the org's own, misleading, words
        audience = claims.get("aud")
        if audience not in AUDIENCES | {self._base_url(), self._base_url().replace("localhost", "127.0.0.1")}:
            raise GrantRefused("invalid_grant", "audience is invalid")
        person = self._people.get(str(claims.get("sub")))
        if person is None or person.username not in client.usernames:
            raise GrantRefused("invalid_grant", "user hasn't approved this consumer")
        return client, person

    def _client(self, form: Mapping[str, str], flow: Flow, *, secret_needed: bool) -> Client:
        client = self._clients.get(form.get("client_id", ""))
        if client is None:
            raise GrantRefused("invalid_client_id", "client identifier invalid")
        secret = form.get("client_secret")
        wrong = secret is not None and not secrets.compare_digest(secret.encode(), client.secret.encode())
        if wrong or (secret_needed and secret is None) or flow not in client.flows:
            raise GrantRefused("invalid_client", "invalid client credentials")
        return client

    def _exchange(self, form: Mapping[str, str]) -> tuple[dict[str, str], Client, Person]:
        code = self._codes.pop(form.get("code", ""), None)  # good for one try
        if code is None or self._clock() >= code.expires_at or code.client_id != form.get("client_id"):
            raise GrantRefused("invalid_grant", "expired authorization code")
        client = self._client(form, Flow.AUTHORIZATION_CODE, secret_needed=False)
        if form.get("redirect_uri") != code.redirect_uri:
            raise GrantRefused("redirect_uri_mismatch", "redirect_uri must match configuration")
        digest = hashlib.sha256(form.get("code_verifier", "").encode()).digest()
        if base64.urlsafe_b64encode(digest).rstrip(b"=").decode() != code.challenge:
            raise GrantRefused("invalid_grant", "invalid code verifier")
        if not {"refresh_token", "offline_access", "full"} & set(code.scope.split()):
            return self._answer(client, code.person), client, code.person
        consent = self._tokens.consent(client, code.person, code.scope)
        answer = self._answer(client, code.person, consent) | {"refresh_token": consent.refresh_token}
        return answer, client, code.person

    def _refresh(self, form: Mapping[str, str]) -> tuple[dict[str, str], Client, Person]:
        client = self._client(form, Flow.REFRESH_TOKEN, secret_needed=False)
        consent = self._tokens.of_refresh(form.get("refresh_token", ""))
        if consent is None or consent.client.id != client.id:
            raise GrantRefused("invalid_grant", "expired access/refresh token")
        if client.rotates:  # "Refresh Token Rotation": the answer carries the next one, the old one is spent
            self._tokens.rotate(consent)
        answer = self._answer(client, consent.person, consent)
        if client.rotates:
            answer["refresh_token"] = consent.refresh_token
        return answer, client, consent.person

    def _answer(self, client: Client, person: Person, consent: Consent | None = None) -> dict[str, str]:
        session = self._tokens.issue(client, person, consent)
        identity = f"{self._base_url()}/id/{self._org_id}/{person.id}"
        issued_at = str(int(session.issued_at.timestamp() * 1000))
        signature = hashlib.sha256(f"{identity}{issued_at}{client.secret}".encode()).digest()
        return {
            "access_token": session.token,
            "signature": base64.b64encode(signature).decode(),
            "scope": consent.scope if consent else session.scope,
            "instance_url": self._base_url(),
            "id": identity,
            "token_type": "Bearer",
            "issued_at": issued_at,
        }

    async def authorize(self, request: web.Request) -> web.Response:
        """The approval page, or straight back to the app when `auto_approve` is set."""
        asked = dict(request.query)
        self._checked_request(asked)
        if self.auto_approve is not None:
            return self._decided(asked, self.auto_approve)
        hidden = "".join(
            f'<input type="hidden" name="{html.escape(k)}" value="{html.escape(v)}">' for k, v in asked.items()
        )
        users = "".join(f"<option>{html.escape(name)}</option>" for name in self._people)
        page = (
            "<!doctype html><title>Allow Access?</title><h1>Allow Access?</h1>"
            f'<form method="post">{hidden}<label>Username <select name="username">{users}</select></label> '
            '<button name="decision" value="allow">Allow</button> '
            '<button name="decision" value="deny">Deny</button></form>'
        )
        return web.Response(text=page, content_type="text/html")

    async def decide(self, request: web.Request) -> web.Response:
        """The form of the approval page."""
        form = {k: str(v) for k, v in (await request.post()).items()}
        self._checked_request(form)
        return self._decided(form, form.get("username") if form.get("decision") == "allow" else None)

    def _checked_request(self, asked: Mapping[str, str]) -> None:
        """A bad client or redirect URI is answered here: nothing may be sent to an address the app did not register."""
        client = self._clients.get(asked.get("client_id", ""))
        if client is None or Flow.AUTHORIZATION_CODE not in client.flows:
            raise web.HTTPBadRequest(text="error=invalid_client_id&error_description=client%20identifier%20invalid")
        if asked.get("redirect_uri") not in client.redirect_uris:
            raise web.HTTPBadRequest(
                text="error=redirect_uri_mismatch&error_description=redirect_uri%20must%20match%20configuration"
            )

    def _decided(self, asked: Mapping[str, str], username: str | None) -> web.Response:
        back: dict[str, str] = {"state": asked["state"]} if "state" in asked else {}
        challenge = asked.get("code_challenge", "")
        if asked.get("response_type") != "code":
            back |= {"error": "unsupported_response_type", "error_description": "response type must be code"}
        elif not challenge or asked.get("code_challenge_method") != "S256":
            # `isPkceRequired` is on here, as Salesforce recommends.
            back |= {"error": "invalid_request", "error_description": "missing required code challenge"}
        elif unknown := set(asked.get("scope", "").split()) - SCOPES:
            back |= {"error": "invalid_scope", "error_description": f"the requested scope is not allowed: {unknown}"}
        elif username is None or username not in self._people:
            back |= {"error": "access_denied", "error_description": "end-user denied authorization"}
        else:
            code = "aPrx" + secrets.token_urlsafe(32)
            self._codes[code] = _Code(
                client_id=asked["client_id"],
                person=self._people[username],
                redirect_uri=asked["redirect_uri"],
                challenge=challenge,
                scope=asked.get("scope") or "api refresh_token",  # none asked for: all that the app has
                expires_at=self._clock() + CODE_LIFE,
            )
            back["code"] = code
        raise web.HTTPFound(f"{asked['redirect_uri']}?{urlencode(back)}")

    async def userinfo(self, request: web.Request) -> web.Response:
        session = self._tokens.check(bearer(request) or "")
        if session is None:
            return web.Response(status=403, text="Bad_OAuth_Token")
        return web.json_response(
            {
                "sub": f"{self._base_url()}/id/{self._org_id}/{session.person.id}",
                "user_id": session.person.id,
                "organization_id": self._org_id,
                "preferred_username": session.person.username,
                "username": session.person.username,
                "name": session.person.name,
                "urls": {"rest": f"{self._base_url()}/services/data/v{{version}}/"},
            }
        )

    async def revoke(self, request: web.Request) -> web.Response:
        token = (await self._form(request)).get("token", "")
        consent = self._tokens.of_refresh(token)
        if self._tokens.known(token) is None and consent is None:
            return web.json_response(
                {"error": "unsupported_token_type", "error_description": "invalid token"}, status=400
            )
        if consent is not None:
            self._tokens.end(consent)
        self._tokens.revoke(token)
        self._ledger.record("revoke", refresh=consent is not None)
        return web.Response()

    async def introspect(self, request: web.Request) -> web.Response:
        session = self._tokens.check((await self._form(request)).get("token", ""))
        if session is None:
            return web.json_response({"active": False})
        return web.json_response(
            {
                "active": True,
                "client_id": session.client.id,
                "username": session.person.username,
                "scope": session.scope,
                "exp": int((session.issued_at + self._tokens.life).timestamp()),
            }
        )


def _is_good_at(expires: object, now: float) -> bool:
    """Whether an assertion with that `exp` is taken. The Salesforce CLI signs `exp: Date.now() + 300`, milliseconds
    where seconds are asked for, and 300 of them; orgs take it, so what such a number names may be a while ago.
    """
    if not isinstance(expires, int | float) or isinstance(expires, bool):
        return False
    slack = ASSERTION_SLACK.total_seconds()
    if expires > MILLISECONDS:
        return now - slack < expires / 1000 <= now + slack
    return now < expires <= now + slack + 5
