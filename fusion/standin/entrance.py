"""The way in and out of a session, over HTTP: password, code, expired password, terms, lock, log-out.

The cookie is set once the password was right; until the log-in lacks nothing more, it admits to nothing else.
"""

from aiohttp import web

from fusion.standin.doorway import Doorway, Need
from fusion.standin.ledger import Caller, Ledger
from fusion.standin.look import INACTIVE
from fusion.standin.session import COOKIE, Denied, Session, Sessions
from fusion.standin.wire import CALLER, SESSION, Wire, body_of, by, problem, text_of

KINDS = frozenset({"login", "code", "resend", "expired", "terms", "unlock", "logout"})
"""Requests that need no session to be let through."""


class Entrance:
    """Handlers of everything that happens at the door."""

    def __init__(self, *, sessions: Sessions, doorway: Doorway, ledger: Ledger, wire: Wire) -> None:
        self._sessions = sessions
        self._doorway = doorway
        self._ledger = ledger
        self._wire = wire

    def routes(self) -> list[web.RouteDef]:
        """All routes, named by the kind of request."""
        return [
            web.post("/api/login", self._log_in, name="login"),
            web.post("/api/login/code", self._code, name="code"),
            web.post("/api/login/code/again", self._resend, name="resend"),
            web.post("/api/login/password", self._expired, name="expired"),
            web.post("/api/login/terms", self._terms, name="terms"),
            web.post("/api/logout", self._log_out, name="logout"),
            web.post("/api/unlock", self._unlock, name="unlock"),
            web.get("/api/session", self._session, name="session"),
            web.post("/api/password", self._password, name="password"),
        ]

    def refusal(self) -> web.Response:
        """The answer to who has no session: what is shown in place of the log-in page, if anything is."""
        for asked, code in ((self._doorway.blocked, "blocked"), (self._doorway.captcha, "captcha")):
            if asked:
                self._ledger.append(code, Caller(user=""))
                return problem(401, "no_session", instead=code)
        return problem(401, "no_session")

    async def _log_in(self, request: web.Request) -> web.Response:
        body = await body_of(request)
        email, password, device = text_of(body, "email"), text_of(body, "password"), body.get("device")
        try:
            session = self._sessions.log_in(email, password, device=device if isinstance(device, str) else None)
        except Denied as denied:
            self._ledger.append("login_failed", Caller(user=email, began=request[CALLER].began), code=denied.code)
            return problem(401, denied.code)
        if session.needs:
            needs = [need.value for need in session.needs]
            self._ledger.append("password_accepted", by(session, request[CALLER]), needs=needs)
        response = self._further(session, request[CALLER])
        response.set_cookie(COOKIE, session.token, httponly=True, samesite="Strict", path="/")
        return response

    async def _code(self, request: web.Request) -> web.Response:
        session = self._entering(request, Need.CODE)
        if not self._doorway.accepts(session.account.email, text_of(await body_of(request), "code")):
            self._ledger.append("code_failed", by(session, request[CALLER]))
            return problem(403, "wrong_code")
        self._ledger.append("code_accepted", by(session, request[CALLER]))
        session.needs.remove(Need.CODE)
        return self._further(session, request[CALLER], device=self._doorway.remember())

    async def _resend(self, request: web.Request) -> web.Response:
        self._send_code(self._entering(request, Need.CODE), request[CALLER])
        return web.json_response({})

    async def _expired(self, request: web.Request) -> web.Response:
        session = self._entering(request, Need.NEW_PASSWORD)
        try:
            self._sessions.change_password(session.account, text_of(await body_of(request), "new"))
        except Denied as denied:
            return problem(422, denied.code)
        self._ledger.append("password_changed", by(session, request[CALLER]), expired=True)
        session.needs.remove(Need.NEW_PASSWORD)
        return self._further(session, request[CALLER])

    async def _terms(self, request: web.Request) -> web.Response:
        session = self._entering(request, Need.TERMS)
        self._ledger.append("terms_accepted", by(session, request[CALLER]))
        session.needs.remove(Need.TERMS)
        return self._further(session, request[CALLER])

    async def _log_out(self, request: web.Request) -> web.Response:
        session = self._sessions.get(request.cookies.get(COOKIE))
        self._sessions.log_out(session)
        self._ledger.append("logout", by(session, request[CALLER]))
        response = web.json_response({})
        response.del_cookie(COOKIE, path="/")
        return response

    async def _unlock(self, request: web.Request) -> web.Response:
        session = self._sessions.get(request.cookies.get(COOKIE))
        caller = by(session, request[CALLER])
        try:
            self._sessions.unlock(session, text_of(await body_of(request), "password"))
        except Denied as denied:
            self._ledger.append("unlock_failed", caller, code=denied.code)
            return problem(403, denied.code)
        self._ledger.append("unlock", caller)
        return web.json_response({})

    async def _session(self, request: web.Request) -> web.Response:
        self._ledger.append("session", request[CALLER])
        return web.json_response(self._opening(request[SESSION]))

    async def _password(self, request: web.Request) -> web.Response:
        body, session = await body_of(request), request[SESSION]
        try:
            self._sessions.change_password(session.account, text_of(body, "new"), old=text_of(body, "old"))
        except Denied as denied:
            self._ledger.append("password_refused", request[CALLER], code=denied.code)
            return problem(422, denied.code)
        # A changed password logs its user out (F4).
        ended = self._sessions.end(email=session.account.email)
        self._ledger.append("password_changed", request[CALLER], expired=False, sessions=ended)
        return web.json_response({})

    def _entering(self, request: web.Request, need: Need) -> Session:
        return self._sessions.entering(request.cookies.get(COOKIE), need)

    def _further(self, session: Session, caller: Caller, *, device: str | None = None) -> web.Response:
        """What the log-in lacks next, or the inside."""
        remember = {"device": device} if device else {}
        if session.needs:
            if session.needs[0] is Need.CODE:
                self._send_code(session, caller)
            return web.json_response({"next": session.needs[0], **remember})
        self._ledger.append("login", by(session, caller))
        if self._doorway.one_session and (kicked := self._sessions.kick_others(session)):
            self._ledger.append("kicked", by(session, caller), sessions=kicked)
        return web.json_response({**self._opening(session), **remember})

    def _send_code(self, session: Session, caller: Caller) -> None:
        if self._doorway.send(session.account.email):
            self._ledger.append("code_sent", by(session, caller))

    def _opening(self, session: Session) -> dict[str, object]:
        return {
            "user": session.account.email,
            "sections": self._wire.look.sections(),
            "search": {"long": self._wire.look.long_lists, "drawn": self._wire.look.widgets.get(INACTIVE, "")},
            "window": session.window,
        }
