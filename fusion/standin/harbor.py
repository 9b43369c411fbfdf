"""A second skin of the stand-in portal, "Harbor Practice": pages made by the server, as an older product has them.

The log-in takes two pages. The work is done in a frame; a chart's id is in its address and nowhere on the page. Fields
are cells of tables without labels, lists are native ones, a save is asked about once more: by the browser for the
person's own data, by a dialog for the rest. What is sent to a locked screen is lost. Made up, no product is meant.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from urllib.parse import quote

from aiohttp import web
from jinja2 import Environment, FileSystemLoader

from fusion.standin.api import broken
from fusion.standin.charts import Chart, NoSuchChart, NoSuchRow
from fusion.standin.clinic import Clinic, Invalid, PossibleDuplicate
from fusion.standin.faults import Faults
from fusion.standin.forms import PATIENT, ROW_SECTIONS, SECTIONS, Values
from fusion.standin.harbor_words import TITLES, Cell, cells, kept, problem, shown
from fusion.standin.ledger import Caller
from fusion.standin.search import PAGE, Hit
from fusion.standin.session import COOKIE, Denied, Locked, NoSession, Sessions
from fusion.standin.wire import SESSION, Wire, by

PAGES = Path(__file__).parent / "web2"
_BIRTHDATE = next(field for field in PATIENT.fields if field.label == "Birthdate")
_DENIED = {"incorrect": "User name or password is wrong.", "account_locked": "This user is blocked."}

Deed = Callable[[web.Request, Caller], Awaitable[web.Response]]


class Harbor:
    """All pages of the second skin over one clinic."""

    def __init__(self, *, clinic: Clinic, sessions: Sessions, faults: Faults, wire: Wire) -> None:
        self._clinic = clinic
        self._sessions = sessions
        self._faults = faults
        self._wire = wire
        self._templates = Environment(
            loader=FileSystemLoader(PAGES), autoescape=True, trim_blocks=True, lstrip_blocks=True
        )

    def routes(self) -> list[web.RouteDef]:
        """The log-in, the page around the frame, and what comes up in the frame."""
        return [
            web.get("/", self._outer("/w/search")),
            web.get("/login", self._login),
            web.post("/login", self._login),
            web.get("/app/new", self._outer("/w/new")),
            web.get("/app/patient/{id}", self._outer("/w/patient?id={id}")),
            web.post("/w/unlock", self._unlock),
            web.get("/w/search", self._within("search", self._search)),
            web.get("/w/patient", self._within("read", self._patient)),
            web.get("/w/new", self._within("form", self._new)),
            web.get("/w/edit", self._within("form", self._edit)),
            web.post("/w/new", self._within("create", self._create)),
            web.post("/w/add", self._within("add", self._save)),
            web.post("/w/edit", self._within("save", self._save)),
        ]

    def _page(self, name: str, *, status: int = 200, **told: object) -> web.Response:
        text = self._templates.get_template(f"{name}.html").render(told)
        response = web.Response(text=text, status=status, content_type="text/html")
        response.headers["Cache-Control"] = "no-store"
        return response

    # ---- the way in --------------------------------------------------------------------------------------------------

    async def _login(self, request: web.Request) -> web.Response:
        sent = await request.post() if request.method == "POST" else {}
        user, password = str(sent.get("user", "")), sent.get("password")
        if password is None:
            return self._page("login", user=user)
        try:
            session = self._sessions.log_in(user, str(password))
        except Denied as denied:
            self._clinic.ledger.append("login_failed", Caller(user=user), code=denied.code)
            return self._page("login", user="", problem=_DENIED[denied.code])
        self._clinic.ledger.append("login", by(session, Caller(user=user)))
        response = web.HTTPSeeOther("/")
        response.set_cookie(COOKIE, session.token, httponly=True, samesite="Strict", path="/")
        raise response

    async def _unlock(self, request: web.Request) -> web.Response:
        sent = await request.post()
        then = str(sent.get("then", ""))
        try:
            session = self._sessions.get(request.cookies.get(COOKIE))
        except NoSession:
            return self._page("out")
        try:
            self._sessions.unlock(session, str(sent.get("password", "")))
        except Denied as denied:
            self._clinic.ledger.append("unlock_failed", by(session, Caller(user="")), code=denied.code)
            return self._page("locked", then=then, problem=_DENIED[denied.code])
        self._clinic.ledger.append("unlock", by(session, Caller(user="")))
        raise web.HTTPSeeOther(then if then.startswith("/w/") else "/w/search")

    def _outer(self, frame: str) -> Callable[[web.Request], Awaitable[web.Response]]:
        async def handler(request: web.Request) -> web.Response:
            try:
                session = self._sessions.get(request.cookies.get(COOKIE))
            except NoSession:
                raise web.HTTPSeeOther("/login") from None
            address = frame.format(id=quote(request.match_info.get("id", ""), safe=""))
            return self._page("frame", frame=address, user=session.account.email)

        return handler

    def _within(self, kind: str, deed: Deed) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
        """A page in the frame: session, lock and faults before it, as for the first skin."""

        async def handler(request: web.Request) -> web.StreamResponse:
            self._wire.requests[kind] += 1
            try:
                session = self._sessions.admit(request.cookies.get(COOKIE))
            except NoSession:
                return self._page("out")
            except Locked as locked:
                if locked.fell:
                    whose = by(locked.session, Caller(user=""))
                    self._clinic.ledger.append("lock", whose, cause=locked.fell, kind_of_request=kind)
                lost = request.method == "POST"
                return self._page("locked", then="" if lost else request.path_qs)
            request[SESSION] = session
            return await self._with_faults(kind, deed, request, by(session, Caller(user="")))

        return handler

    async def _with_faults(self, kind: str, deed: Deed, request: web.Request, caller: Caller) -> web.StreamResponse:
        fault = self._faults.take(kind, request.path)
        if fault is None:
            return await self._done(deed, request, caller)
        self._clinic.ledger.append("fault", caller, kind_of_request=kind, path=request.path, rule=fault.as_json())
        await asyncio.sleep(fault.delay)
        if fault.breaks and not fault.after_commit:
            return await broken(request, fault) if fault.cut else self._page("error", status=fault.status or 500)
        try:
            response: web.StreamResponse = await self._done(deed, request, caller)
        except web.HTTPSeeOther as done:
            if not fault.breaks:
                raise
            response = done
        if fault.breaks:
            return await broken(request, fault) if fault.cut else self._page("error", status=fault.status or 500)
        if fault.notice is not None:
            title, text = fault.notice
            return self._page("notice", title=title, text=text)
        return response

    async def _done(self, deed: Deed, request: web.Request, caller: Caller) -> web.Response:
        try:
            return await deed(request, caller)
        except NoSuchChart:
            return self._page("missing", status=404)
        except NoSuchRow:
            return self._page("missing", status=404, row=True)

    # ---- the work ----------------------------------------------------------------------------------------------------

    async def _search(self, request: web.Request, caller: Caller) -> web.Response:
        query = request.query.get("q")
        if query is None:
            return self._page("search", asked=False, query="", inactive=False)
        number, inactive = int(request.query.get("page", "1")), request.query.get("inactive") == "1"
        hits = self._clinic.search(caller, _as_kept(query), inactive=inactive)
        rows = [self._row(hit) for hit in hits[(number - 1) * PAGE : number * PAGE]]
        further = len(hits) > number * PAGE
        return self._page(
            "search", asked=True, query=query, inactive=inactive, rows=rows, next=number + 1 if further else None
        )

    @staticmethod
    def _row(hit: Hit) -> dict[str, str]:
        phone = hit.phone.replace("(", "").replace(") ", "-")
        return {"id": hit.id, "name": hit.name, "born": shown(_BIRTHDATE, hit.birthdate), "phone": phone}

    async def _patient(self, request: web.Request, caller: Caller) -> web.Response:
        chart = self._clinic.read(caller, request.query.get("id", ""))
        tables = {
            name: [{"id": row.id, "cells": self._cells(name, row.values)} for row in chart.rows[name]]
            for name in ROW_SECTIONS
        }
        heads = {name: [cell.label for cell in self._cells(name, {})] for name in ROW_SECTIONS}
        return self._page(
            "chart",
            chart=chart,
            titles=TITLES,
            person=self._cells(PATIENT.name, chart.patient),
            tables=tables,
            heads=heads,
            saved=TITLES.get(request.query.get("saved", ""), ""),
        )

    async def _new(self, request: web.Request, caller: Caller) -> web.Response:
        del request, caller
        return self._form(PATIENT.name, {}, None, "", [])

    async def _edit(self, request: web.Request, caller: Caller) -> web.Response:
        chart, section, row = self._asked(request)
        del caller
        before = chart.patient if section == PATIENT.name else chart.row(section, row).values if row else {}
        return self._form(section, before, chart, row, [])

    async def _create(self, request: web.Request, caller: Caller) -> web.Response:
        values = kept(PATIENT.name, _texts(await request.post()))
        try:
            chart = self._clinic.create(caller, values, anyway=False)
        except Invalid as refused:
            return self._form(PATIENT.name, values, None, "", _problems(refused))
        except PossibleDuplicate:
            return self._page("duplicate")
        raise web.HTTPSeeOther(f"/w/patient?id={chart.id}&saved={PATIENT.name}")

    async def _save(self, request: web.Request, caller: Caller) -> web.Response:
        chart, section, row = self._asked(request)
        sent = _texts(await request.post())
        values = kept(section, sent)
        if self._wire.refuse_stale and sent.get("revision") != str(chart.revision):
            self._clinic.ledger.append("stale", caller, patient_id=chart.id, revision=chart.revision)
            return self._form(section, values, chart, row, ["Somebody else has saved this chart meanwhile."])
        try:
            if section == PATIENT.name:
                self._clinic.save_patient(caller, chart.id, values)
            elif row:
                self._clinic.save_row(caller, chart.id, ROW_SECTIONS[section], row, values)
            else:
                self._clinic.add_row(caller, chart.id, ROW_SECTIONS[section], values)
        except Invalid as refused:
            return self._form(section, values, chart, row, _problems(refused))
        raise web.HTTPSeeOther(f"/w/patient?id={chart.id}&saved={section}")

    def _asked(self, request: web.Request) -> tuple[Chart, str, str]:
        section = request.query.get("section", "")
        if section not in SECTIONS:
            raise web.HTTPNotFound
        return self._clinic.charts.get(request.query.get("id", "")), section, request.query.get("row", "")

    def _form(self, section: str, values: Values, chart: Chart | None, row: str, problems: list[str]) -> web.Response:
        to = "edit" if row or section == PATIENT.name else "add"
        address = f"/w/{to}?id={chart.id}&section={section}&row={row}" if chart else "/w/new"
        back = f"/w/patient?id={chart.id}" if chart else "/w/search"
        fields = self._cells(section, values)
        title = f"{'Change' if values and not problems else 'Enter'}: {TITLES[section]}"
        own = section == PATIENT.name
        return self._page(
            "form", title=title, to=address, back=back, fields=fields, problems=problems, own=own, chart=chart
        )

    def _cells(self, section: str, values: Values) -> list[Cell]:
        return cells(section, values, self._clinic.payers, self._wire.look)


def _as_kept(query: str) -> str:
    """A date or telephone number as this skin writes them, for the clinic's search; a name as it is."""
    sections = ((PATIENT.name, "Birthdate"), ("Contacts", "Phone"))
    for section, label in sections:
        number = next(n for n, field in enumerate(SECTIONS[section].fields, start=1) if field.label == label)
        if (plain := kept(section, {f"f{number}": query})[label]) != query.strip():
            return plain
    return query


def _texts(sent: Mapping[str, object]) -> dict[str, str]:
    return {name: value for name, value in sent.items() if isinstance(value, str)}


def _problems(refused: Invalid) -> list[str]:
    return [problem(label, message) for label, message in refused.problems.items()]
