"""The JSON interface under /api/, whose only client is the page: requests in, deeds of the clinic, answers out.

Each route's name is the kind of its requests, for faults and statistics. What may stop a request, in this order: the
session (401), the lock (423), a fault, and then the deed's own refusals (404, 409, 422).
"""

import asyncio
import json
from collections.abc import Awaitable, Callable
from dataclasses import asdict

from aiohttp import web

from fusion.standin.charts import Chart, NoSuchChart, NoSuchRow, Row
from fusion.standin.clinic import Clinic, Invalid, PossibleDuplicate
from fusion.standin.doorway import Doorway
from fusion.standin.entrance import KINDS, Entrance
from fusion.standin.faults import Fault, Faults
from fusion.standin.forms import PATIENT, ROW_SECTIONS, Section, Values
from fusion.standin.ledger import Caller
from fusion.standin.search import PAGE, shown_name
from fusion.standin.session import COOKIE, Locked, NoSession, Sessions
from fusion.standin.wire import CALLER, SESSION, BadRequest, Wire, body_of, by, problem

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Stale(Exception):
    """The save is based on an older chart than there is by now."""


class Api:
    """Handlers of /api/ and the gate before them."""

    def __init__(self, *, clinic: Clinic, sessions: Sessions, doorway: Doorway, faults: Faults, wire: Wire) -> None:
        self._clinic = clinic
        self._doorway = doorway
        self._entrance = Entrance(sessions=sessions, doorway=doorway, ledger=clinic.ledger, wire=wire)
        self._ledger = clinic.ledger
        self._sessions = sessions
        self._faults = faults
        self._wire = wire

    def routes(self) -> list[web.RouteDef]:
        """All routes, named by the kind of request."""
        return [
            *self._entrance.routes(),
            web.get("/api/payers", self._payers, name="payers"),
            web.get("/api/patients", self._search, name="search"),
            web.delete("/api/filter", self._clear_filter, name="filter"),
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
        if self._doorway.maintenance:
            return problem(503, "maintenance")
        if kind not in KINDS:
            try:
                session = self._sessions.admit(request.cookies.get(COOKIE), request.headers.get("X-Window"))
            except NoSession:
                return self._entrance.refusal()
            except Locked as locked:
                if locked.fell:
                    self._ledger.append("lock", by(locked.session, caller), cause=locked.fell, kind_of_request=kind)
                return problem(423, "locked")
            request[SESSION] = session
            caller = by(session, caller)
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
                return _told(response, fault)
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
        except Stale:
            return problem(409, "stale")
        except (NoSuchChart, NoSuchRow):
            return problem(404, "not_found")
        except NoSession:
            return problem(401, "no_session")
        except BadRequest as bad:
            return problem(400, "bad_request", message=str(bad))

    async def _payers(self, request: web.Request) -> web.Response:
        return web.json_response({"payers": self._clinic.payers_like(request[CALLER], request.query.get("search", ""))})

    async def _search(self, request: web.Request) -> web.Response:
        number = request.query.get("page", "1")
        if not number.isdecimal() or (page := int(number)) < 1:
            raise BadRequest("page must be a number from 1 up")
        inactive = request.query.get("inactive") == "1"
        hits = self._clinic.search(
            request[CALLER], request.query.get("search", ""), inactive=inactive, location=self._wire.saved_filter
        )
        shown = hits[(page - 1) * PAGE : page * PAGE]
        return web.json_response(
            {
                "results": [asdict(hit) for hit in shown],
                "more": len(hits) > page * PAGE,
                "total": len(hits),
                "filter": self._wire.saved_filter,
            }
        )

    async def _clear_filter(self, request: web.Request) -> web.Response:
        self._ledger.append("filter_cleared", request[CALLER], location=self._wire.saved_filter)
        self._wire.saved_filter = ""
        return web.json_response({})

    async def _read(self, request: web.Request) -> web.Response:
        return _chart(self._clinic.read(request[CALLER], request.match_info["id"]))

    async def _create(self, request: web.Request) -> web.Response:
        body = await body_of(request)
        chart = self._clinic.create(request[CALLER], _values(body, PATIENT), anyway=body.get("anyway") is True)
        return _chart(chart, status=201)

    def _refuse_if_stale(self, request: web.Request, body: dict[str, object]) -> None:
        """`Stale` if the page has read an older chart than there is, where that is held against it."""
        chart = self._clinic.charts.get(request.match_info["id"])
        if self._wire.refuse_stale and body.get("revision") != chart.revision:
            self._ledger.append("stale", request[CALLER], patient_id=chart.id, revision=chart.revision)
            raise Stale

    async def _save_patient(self, request: web.Request) -> web.Response:
        body = await body_of(request)
        self._refuse_if_stale(request, body)
        values = _values(body, PATIENT)
        return _chart(self._clinic.save_patient(request[CALLER], request.match_info["id"], values))

    async def _add_row(self, request: web.Request) -> web.Response:
        section, body = _section(request), await body_of(request)
        self._refuse_if_stale(request, body)
        values = _values(body, section)
        chart, row = self._clinic.add_row(request[CALLER], request.match_info["id"], section, values)
        return _chart(chart, row, status=201)

    async def _save_row(self, request: web.Request) -> web.Response:
        section, row_id, body = _section(request), request.match_info["row"], await body_of(request)
        self._refuse_if_stale(request, body)
        values = _values(body, section)
        return _chart(*self._clinic.save_row(request[CALLER], request.match_info["id"], section, row_id, values))


async def broken(request: web.Request, fault: Fault) -> web.StreamResponse:
    """The fault's own answer: its status, or a connection that breaks in the middle of the body.

    The head of the reply is sent before the break unless the fault is `bare`: Chromium sends a request again by itself,
    even a POST, when a kept-alive connection ends without a byte of reply (seen with Chromium 156), and the browser
    would do the deed twice.
    """
    if not fault.cut:
        return _told(problem(fault.status or 500, "fault"), fault)
    response = web.StreamResponse(headers={"Content-Type": "application/json", "Content-Length": "4096"})
    if not fault.bare:
        await response.prepare(request)
        await response.write(b'{"id"')
    if request.transport is not None:
        request.transport.abort()
    return response


def _told(response: web.StreamResponse, fault: Fault) -> web.StreamResponse:
    if fault.notice:
        title, text = fault.notice
        response.headers["X-Notice"] = json.dumps({"title": title, "text": text})
    if fault.alert is not None:
        response.headers["X-Alert"] = json.dumps(fault.alert)
    return response


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


def _values(body: dict[str, object], section: Section) -> Values:
    values = body.get("values")
    if not isinstance(values, dict) or not all(isinstance(value, str) for value in values.values()):
        raise BadRequest("values must be an object of texts")
    if unknown := values.keys() - set(section.labels()):
        raise BadRequest(f"no such field: {', '.join(sorted(unknown))}")
    return values
