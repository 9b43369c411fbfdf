"""The stand-in portal without a browser: `fusion.portal.Portal` over its JSON interface, for hundreds of quick runs.

As honest as the browser: every save is a request of its own right behind `about_to_save`, charts are read anew, and a
save whose reply is lost is an `EntryError`. It answers a duplicate warning with "create anyway" unless `heeds_warning`:
nothing public says that the real portal warns, so what keeps a child from a second chart must not rest on it.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import date
from types import TracebackType
from typing import Any, Self

import aiohttp

from fusion.codes import Code
from fusion.pages.pack import Pack
from fusion.pages.pack_file import load_pack
from fusion.pages.values import canonical, given_and_middle, shown
from fusion.patient import Edit, Field, Hit, Identity, Patient, Row, Section, Shown, Values
from fusion.portal import AboutToSave, Refused
from listener.errors import EntryError, Outage

_BY = (Field.LAST_NAME, Field.BIRTH_DATE, Field.PHONE)
_CHART = "/api/patients/{}"


class ApiPortal:
    """An async context manager. `passed` hears `click:DEED:before` and `:after` of each save; DEED: create, save, add.

    `before`: the intent is committed and the lease was ours a moment ago. `after`: the portal has committed and its
    reply has begun, of which nothing was read.
    """

    def __init__(
        self,
        *,
        url: str,
        username: str,
        password: str,
        passed: Callable[[str], None] = lambda _point: None,
        heeds_warning: bool = False,
        seconds: float = 20.0,
    ) -> None:
        """`seconds`: for one request."""
        self._url = url
        self._user = {"email": username, "password": password}
        self._passed = passed
        self._anyway = not heeds_warning
        self._timeout = aiohttp.ClientTimeout(total=seconds)
        self._pack: Pack = load_pack("fusion_web")
        self._http: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        # Its cookie jar would drop the cookies of a host that is a bare address.
        jar = aiohttp.CookieJar(unsafe=True)
        self._http = aiohttp.ClientSession(self._url, cookie_jar=jar, timeout=self._timeout)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None
    ) -> None:
        if self._http is not None:
            await self._http.close()

    async def find(self, patient: Patient) -> Sequence[Hit]:
        """See `fusion.portal.Portal.find`."""
        found: dict[str, Hit] = {}
        for field in _BY:
            query = self._shown(field, patient.values.get(field, ""))
            page, more = 1, bool(query)
            while more:
                answer = await self._get("/api/patients", search=query, page=str(page), inactive="1")
                for line in answer["results"]:
                    found.setdefault(line["id"], self._hit(line, patient))
                page, more = page + 1, answer["more"]
        return tuple(found.values())

    async def read(self, portal_id: str, *, wary: Collection[Section] = ()) -> Shown | None:
        """See `fusion.portal.Portal.read`."""
        answer = await self._get(_CHART.format(portal_id))
        return self._chart(answer["chart"]) if answer is not None else None

    async def create(self, patient: Patient, *, about_to_save: AboutToSave) -> str:
        """See `fusion.portal.Portal.create`."""
        values = {field: value for field, value in patient.values.items() if field.section is Section.PATIENT and value}
        answer = await self._save("create", "POST", "/api/patients", values, about_to_save, anyway=self._anyway)
        return str(answer["chart"]["id"])

    async def update(
        self,
        portal_id: str,
        edits: Sequence[Edit],
        *,
        expect: Identity,
        about_to_save: AboutToSave,
        wary: Collection[Section] = (),
    ) -> Shown:
        """See `fusion.portal.Portal.update`."""
        before = await self.read(portal_id)
        if before is None:
            raise Refused(Code.CHART_NOT_FOUND)
        if before.portal_id != portal_id or not before.identity.agrees_with(expect):
            raise Refused(Code.IDENTITY_MISMATCH)
        for edit in edits:
            path = f"{_CHART.format(portal_id)}/{edit.section}"
            if edit.row is None and edit.section is not Section.PATIENT:
                await self._save("add", "POST", path, edit.values, about_to_save)
            else:
                row = f"/{edit.row}" if edit.row else ""
                await self._save("save", "PUT", path + row, edit.values, about_to_save)
        after = await self.read(portal_id)
        if after is None:
            raise EntryError(f"chart {portal_id} is gone right after a save")
        return after

    async def _get(self, path: str, **query: str) -> Any:
        """The answer, None where there is no such chart. Nothing was saved, so it is asked again once inside."""
        for _ in range(3):
            try:
                async with self._session.get(path, params=query) as response:
                    answer = await response.json()
            except (aiohttp.ClientError, TimeoutError) as error:
                raise Outage(f"the portal does not answer ({type(error).__name__})") from None
            if response.status == 200:
                return answer
            if response.status == 404:
                return None
            if response.status >= 500 or response.status == 429:
                raise Outage(f"the portal answers {response.status}")
            await self._come_in(response.status)
        raise EntryError("the portal logs us out again and again")

    async def _save(
        self,
        deed: str,
        method: str,
        path: str,
        values: Values,
        about_to_save: AboutToSave,
        **more: object,
    ) -> Any:
        body = {"values": {self._label(field): self._shown(field, value) for field, value in values.items()}, **more}
        await self._get("/api/session")  # a save that meets the log-in would look like one that was cut off
        await about_to_save()
        self._passed(f"click:{deed}:before")
        try:
            async with self._session.request(method, path, json=body) as response:
                self._passed(f"click:{deed}:after")
                answer = await response.json()
        except (aiohttp.ClientError, TimeoutError):
            raise EntryError("the portal gave no evidence of the save", hint="the chart is looked at again") from None
        match response.status:
            case 200 | 201:
                return answer
            case 409:
                raise Refused(Code.DUPLICATE_WARNING)
            case 422:
                raise Refused(Code.REJECTED_VALUE, ", ".join(sorted(answer["problems"])))
            case status:
                raise EntryError(f"the portal answers a save with {status}", hint="the chart is looked at again")

    async def _come_in(self, status: int) -> None:
        """Log in, or open the locked screen."""
        door = {401: ("/api/login", self._user), 423: ("/api/unlock", {"password": self._user["password"]})}.get(status)
        if door is None:
            raise EntryError(f"the portal answers {status}")
        path, body = door
        try:
            async with self._session.post(path, json=body) as response:
                if response.status != 200:
                    raise Outage(f"the portal does not let us in ({response.status})")
        except (aiohttp.ClientError, TimeoutError) as error:
            raise Outage(f"the portal does not answer ({type(error).__name__})") from None

    @property
    def _session(self) -> aiohttp.ClientSession:
        if self._http is None:
            raise RuntimeError("the portal is used outside of its context")
        return self._http

    def _label(self, field: Field) -> str:
        return self._pack.sections[field.section].fields[field].label

    def _shown(self, field: Field, value: str) -> str:
        return shown(self._pack.sections[field.section].fields[field], value, self._pack.forms)

    def _values(self, section: Section, given: Mapping[str, str]) -> Values:
        entries = self._pack.sections[section].fields
        return {field: canonical(entry, given[entry.label], self._pack.forms) for field, entry in entries.items()}

    def _chart(self, chart: Mapping[str, Any]) -> Shown:
        rows: dict[Section, tuple[Row, ...]] = {
            section: tuple(Row(key=row["row_id"], values=self._values(section, row)) for row in chart[section])
            for section in Section
            if section is not Section.PATIENT
        }
        values = self._values(Section.PATIENT, chart[Section.PATIENT])
        return Shown(portal_id=chart["id"], values=values, rows=rows)

    def _hit(self, line: Mapping[str, str], patient: Patient) -> Hit:
        last, _, given = line["name"].partition(",")
        first, _ = given_and_middle(given.strip(), patient.values.get(Field.FIRST_NAME, ""))
        fields = self._pack.sections[Section.PATIENT].fields, self._pack.sections[Section.CONTACTS].fields
        born = canonical(fields[0][Field.BIRTH_DATE], line["birthdate"], self._pack.forms)
        return Hit(
            portal_id=line["id"],
            identity=Identity(first_name=first, last_name=last.strip(), birth_date=date.fromisoformat(born)),
            phone=canonical(fields[1][Field.PHONE], line["phone"], self._pack.forms),
        )
