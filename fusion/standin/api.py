"""The JSON interface under /api/, whose only client is the page: requests in, deeds of the clinic, answers out.

Each route's name is the kind of its requests, for faults and statistics. What may stop a request, in this order: the
session (401), the lock (423), a fault, and then the deed's own refusals (404, 409, 422).
"""

import asyncio
import json
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import asdict, dataclass, field
from datetime import timedelta

from aiohttp import web

from fusion.standin.charts import Chart, NoSuchChart, NoSuchRow, Row
from fusion.standin.clinic import Clinic, Invalid, PossibleDuplicate
from fusion.standin.faults import Fault, Faults
from fusion.standin.forms import PATIENT, ROW_SECTIONS, Section, Values, as_json
from fusion.standin.ledger import Caller
from fusion.standin.search import PAGE, shown_name
from fusion.standin.session import COOKIE, Denied, Locked, NoSession, Session, Sessions

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

WITHOUT_SESSION = {"login", "unlock", "logout"}


class BadRequest(Exception):
    """The request is not of the form the page sends; the message says what was expected."""


@dataclass(slots=True, kw_only=True)
class Wire:
    """What lies between the browser and the clinic, changed by the control endpoint; and what passed over it."""

    latency: timedelta = timedelta(0)
    labels: dict[str, str] = field(default_factory=dict)
    requests: Counter[str] = field(default_factory=Counter)
    statuses: Counter[int] = field(default_factory=Counter)


CALLER: web.RequestKey[Caller] = web.RequestKey("caller", Caller)
SESSION: web.RequestKey[Session] = web.RequestKey("session", Session)


class Api:
    """Handlers of /api/ and the gate before them."""

    def __init__(self, *, clinic: Clinic, sessions: Sessions, faults: Faults, wire: Wire) -> None:
        self._clinic = clinic
        self._ledger = clinic.ledger
        self._sessions = sessions
        self._faults = faults
        self._wire = wire

    def routes(self) -> list[web.RouteDef]:
        """All routes, named by the kind of request."""
        return [
            web.post("/api/login", self._log_in, name="login"),
            web.post("/api/logout", self._log_out, name="logout"),
            web.post("/api/unlock", self._unlock, name="unlock"),
            web.get("/api/session", self._session, name="session"),
            web.get("/api/payers", self._payers, name="payers"),
            web.get("/api/patients", self._search, name="search"),
            web.post("/api/patients", self._create, name="create"),
            web.get("/api/patients/{id}", self._read, name="read"),
            web.put("/api/patients/{id}/Patient", self._save_patient, name="save"),
            web.post("/api/patients/{id}/{section}", self._add_row, name="add"),
            web.put("/api/patients/{id}/{section}/{row}", self._save_row, name="save-row"),
        ]

    async def gate(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Let one request through to its handler, or answer in its place."""
        kind = (request.match_info.route.name or "unknown").removesuffix("-row")
        self._wire.requests[kind] += 1
        response = await self._pass(request, handler, kind)
        self._wire.statuses[response.status] += 1
        response.headers["Cache-Control"] = "no-store"
        return response

    async def _pass(self, request: web.Request, handler: Handler, kind: str) -> web.StreamResponse:
        caller = Caller(user="")
        await asyncio.sleep(self._wire.latency.total_seconds())
        if kind not in WITHOUT_SESSION:
            try:
                session = self._sessions.admit(request.cookies.get(COOKIE))
            except NoSession:
                return problem(401, "no_session")
            except Locked as locked:
                if locked.fell:
                    self._ledger.append("lock", _by(locked.session, caller), cause=locked.fell, kind_of_request=kind)
                return problem(423, "locked")
            request[SESSION] = session
            caller = _by(session, caller)
        request[CALLER] = caller
        fault = self._faults.take(kind, request.path)
        if fault is None:
            return await self._answer(request, handler)
        self._ledger.append("fault", caller, kind_of_request=kind, path=request.path, rule=fault.as_json())
        if fault.after_commit or not fault.breaks:
            if not fault.after_commit:
                await asyncio.sleep(fault.delay)
            response = await self._answer(request, handler)
            if fault.after_commit:
                await asyncio.sleep(fault.delay)
            if not fault.breaks:
                return _with_notice(response, fault)
            if response.status >= 400:
                # Nothing was committed, so there is no reply worth losing.
                return response
            return await broken(request, fault)
        await asyncio.sleep(fault.delay)
        return await broken(request, fault)

    async def _answer(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        try:
            return await handler(request)
        except Invalid as refused:
            return problem(422, "invalid", problems=refused.problems)
        except PossibleDuplicate as found:
            return problem(409, "duplicate", candidates=[_candidate(chart) for chart in found.candidates])
        except (NoSuchChart, NoSuchRow):
            return problem(404, "not_found")
        except BadRequest as bad:
            return problem(400, "bad_request", message=str(bad))

    async def _log_in(self, request: web.Request) -> web.Response:
        body = await _object(request)
        email, password = _text(body, "email"), _text(body, "password")
        try:
            session = self._sessions.log_in(email, password)
        except Denied as denied:
            self._ledger.append("login_failed", Caller(user=email, began=request[CALLER].began), code=denied.code)
            return problem(401, denied.code)
        self._ledger.append("login", _by(session, request[CALLER]))
        response = web.json_response(self._opening(session))
        response.set_cookie(COOKIE, session.token, httponly=True, samesite="Strict", path="/")
        return response

    async def _log_out(self, request: web.Request) -> web.Response:
        try:
            session = self._sessions.get(request.cookies.get(COOKIE))
        except NoSession:
            return problem(401, "no_session")
        self._sessions.log_out(session)
        self._ledger.append("logout", _by(session, request[CALLER]))
        response = web.json_response({})
        response.del_cookie(COOKIE, path="/")
        return response

    async def _unlock(self, request: web.Request) -> web.Response:
        try:
            session = self._sessions.get(request.cookies.get(COOKIE))
        except NoSession:
            return problem(401, "no_session")
        caller = _by(session, request[CALLER])
        try:
            self._sessions.unlock(session, _text(await _object(request), "password"))
        except Denied as denied:
            self._ledger.append("unlock_failed", caller, code=denied.code)
            return problem(403, denied.code)
        self._ledger.append("unlock", caller)
        return web.json_response({})

    async def _session(self, request: web.Request) -> web.Response:
        self._ledger.append("session", request[CALLER])
        return web.json_response(self._opening(request[SESSION]))

    def _opening(self, session: Session) -> dict[str, object]:
        return {"user": session.account.email, "sections": as_json(self._wire.labels)}

    async def _payers(self, request: web.Request) -> web.Response:
        return web.json_response({"payers": self._clinic.payers_like(request[CALLER], request.query.get("search", ""))})

    async def _search(self, request: web.Request) -> web.Response:
        number = request.query.get("page", "1")
        if not number.isdecimal() or (page := int(number)) < 1:
            raise BadRequest("page must be a number from 1 up")
        inactive = request.query.get("inactive") == "1"
        hits = self._clinic.search(request[CALLER], request.query.get("search", ""), inactive=inactive)
        shown = hits[(page - 1) * PAGE : page * PAGE]
        return web.json_response({"results": [asdict(hit) for hit in shown], "more": len(hits) > page * PAGE})

    async def _read(self, request: web.Request) -> web.Response:
        return _chart(self._clinic.read(request[CALLER], request.match_info["id"]))

    async def _create(self, request: web.Request) -> web.Response:
        body = await _object(request)
        chart = self._clinic.create(request[CALLER], _values(body, PATIENT), anyway=body.get("anyway") is True)
        return _chart(chart, status=201)

    async def _save_patient(self, request: web.Request) -> web.Response:
        values = _values(await _object(request), PATIENT)
        return _chart(self._clinic.save_patient(request[CALLER], request.match_info["id"], values))

    async def _add_row(self, request: web.Request) -> web.Response:
        section = _section(request)
        values = _values(await _object(request), section)
        chart, row = self._clinic.add_row(request[CALLER], request.match_info["id"], section, values)
        return _chart(chart, row, status=201)

    async def _save_row(self, request: web.Request) -> web.Response:
        section, row_id = _section(request), request.match_info["row"]
        values = _values(await _object(request), section)
        return _chart(*self._clinic.save_row(request[CALLER], request.match_info["id"], section, row_id, values))


def problem(status: int, code: str, **more: object) -> web.Response:
    """An answer other than success: a code the page turns into its words."""
    return web.json_response({"code": code, **more}, status=status)


async def broken(request: web.Request, fault: Fault) -> web.StreamResponse:
    """The fault's own answer: its status, or a connection that breaks in the middle of the body.

    The head of the reply is sent before the break unless the fault is `bare`: Chromium sends a request again by itself,
    even a POST, when a kept-alive connection ends without a byte of reply (seen with Chromium 156), and the browser
    would do the deed twice.
    """
    if not fault.cut:
        return problem(fault.status or 500, "fault")
    response = web.StreamResponse(headers={"Content-Type": "application/json", "Content-Length": "4096"})
    if not fault.bare:
        await response.prepare(request)
        await response.write(b'{"id"')
    if request.transport is not None:
        request.transport.abort()
    return response


def _with_notice(response: web.StreamResponse, fault: Fault) -> web.StreamResponse:
    if fault.notice:
        title, text = fault.notice
        response.headers["X-Notice"] = json.dumps({"title": title, "text": text})
    return response


def _by(session: Session, caller: Caller) -> Caller:
    return Caller(user=session.account.email, session=session.number, began=caller.began)


def _candidate(chart: Chart) -> dict[str, str]:
    return {"id": chart.id, "name": shown_name(chart), "birthdate": chart.patient["Birthdate"]}


def _chart(chart: Chart, row: Row | None = None, *, status: int = 200) -> web.Response:
    body: dict[str, object] = {"chart": chart.as_json()}
    if row is not None:
        body["row_id"] = row.id
    return web.json_response(body, status=status)


def _section(request: web.Request) -> Section:
    section = ROW_SECTIONS.get(request.match_info["section"])
    if section is None:
        raise BadRequest("no such section")
    return section


async def _object(request: web.Request) -> dict[str, object]:
    try:
        body = await request.json()
    except ValueError:
        raise BadRequest("JSON was expected") from None
    if not isinstance(body, dict):
        raise BadRequest("an object was expected")
    return body


def _text(body: dict[str, object], key: str) -> str:
    value = body.get(key)
    if not isinstance(value, str):
        raise BadRequest(f"{key} must be a text")
    return value


def _values(body: dict[str, object], section: Section) -> Values:
    values = body.get("values")
    if not isinstance(values, dict) or not all(isinstance(value, str) for value in values.values()):
        raise BadRequest("values must be an object of texts")
    if unknown := values.keys() - set(section.labels()):
        raise BadRequest(f"no such field: {', '.join(sorted(unknown))}")
    return values
