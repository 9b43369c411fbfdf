"""REST resources of one record and of one object: create, read, update, delete, upsert, describe, updated, deleted.

"REST API Developer Guide: Reference" (sObject Basic Information, Rows, Rows by External ID, Describe, Get Updated,
Get Deleted, Versions, Resources by Version, Limits).
"""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

from aiohttp import web

from listener.standin import problems
from listener.standin.allowance import Allowance
from listener.standin.api import NEWEST, OLDEST, SERVICES, Api, Call
from listener.standin.problems import ApiError
from listener.standin.schema import Field, Row, Sobject, describe
from listener.standin.store import record_id_of
from listener.standin.values import rest_form

RELEASES = {66: "Spring '26", 67: "Summer '26", 68: "Winter '27"}
REPLICATION_WINDOW = timedelta(days=30)


class Rest:
    """The resources below /services/data that deal with one record or one object."""

    def __init__(self, api: Api, allowance: Allowance) -> None:
        self._api = api
        self._allowance = allowance
        self._store = api.store

    def routes(self) -> list[web.RouteDef]:
        route = self._api.route
        rows = r"/sobjects/{sobject}/{record}"
        by_key = r"/sobjects/{sobject}/{key}/{value:[^/]+}"
        return [
            web.get(f"{SERVICES}/data{{slash:/?}}", self.versions),
            route("GET", "", self.resources),
            route("GET", "/limits", self.limits),
            route("GET", "/sobjects", self.objects),
            route("GET", "/sobjects/{sobject}/describe", self.describe),
            route("GET", "/sobjects/{sobject}/updated", self.updated),
            route("GET", "/sobjects/{sobject}/deleted", self.deleted),
            route("POST", "/sobjects/{sobject}", self.create),
            route("GET", rows, self.read),
            route("PATCH", rows, self.update),
            route("DELETE", rows, self.delete),
            route("GET", by_key, self.read_by_key),
            route("PATCH", by_key, self.upsert),
        ]

    async def versions(self, request: web.Request) -> web.Response:
        """The list every client may read without a token."""
        return web.json_response(
            [
                {"label": RELEASES.get(n, f"Release {n}"), "url": f"/services/data/v{n}.0", "version": f"{n}.0"}
                for n in range(OLDEST, NEWEST + 1)
            ]
        )

    async def resources(self, call: Call) -> web.Response:
        names = ("sobjects", "query", "queryAll", "composite", "limits")
        found = {name: f"/services/data/v{call.version}/{name}" for name in names}
        organization = next(self._store.rows(self._store.schema.objects["Organization"]))
        me = f"{call.request.url.origin()}/id/{organization['Id']}/{call.session.person.id}"
        return web.json_response(found | {"identity": me})  # jsforce learns from here who it is

    async def limits(self, call: Call) -> web.Response:
        return web.json_response(self._allowance.body())

    async def objects(self, call: Call) -> web.Response:
        names = self._store.schema.objects
        seen = [o for o in (self._api.access.sobject(call.session.person, name) for name in names) if o is not None]
        brief = [{k: v for k, v in describe(o).items() if k != "fields"} for o in seen]
        return web.json_response({"encoding": "UTF-8", "maxBatchSize": 200, "sobjects": brief})

    async def describe(self, call: Call) -> web.Response:
        return web.json_response(describe(self._api.sobject(call, call.part("sobject"))))

    async def create(self, call: Call) -> web.Response:
        sobject, values = self._api.sobject(call, call.part("sobject")), await call.json_object()
        record_id = self._save(call, "create", sobject, None, values)
        location = f"/services/data/v{call.version}/sobjects/{sobject.name}/{record_id}"
        body = {"id": record_id, "success": True, "errors": []}
        return web.json_response(body, status=201, headers={"Location": location})

    async def read(self, call: Call) -> web.Response:
        sobject = self._api.sobject(call, call.part("sobject"))
        record_id = _row_id(sobject, call.part("record"))
        return self._read(call, sobject, self._api.access.get(call.session.person, sobject, record_id))

    async def update(self, call: Call) -> web.Response:
        sobject, values = self._api.sobject(call, call.part("sobject")), await call.json_object()
        self._save(call, "update", sobject, _row_id(sobject, call.part("record")), values)
        return web.Response(status=204)

    async def delete(self, call: Call) -> web.Response:
        sobject = self._api.sobject(call, call.part("sobject"))
        self._save(call, "delete", sobject, _row_id(sobject, call.part("record")), {})
        return web.Response(status=204)

    async def read_by_key(self, call: Call) -> web.Response:
        sobject, f = self._key(call)
        row = self._store.by_external_id(sobject, f, call.part("value"))
        if row is None or not self._api.access.sees(call.session.person, sobject, row):
            raise problems.not_found()
        return self._read(call, sobject, row)

    async def upsert(self, call: Call) -> web.Response:
        """Creates (201) or updates (200) the record with that external id."""
        sobject, f = self._key(call)
        values = await call.json_object()
        if any(name.lower() == f.name.lower() for name in values):
            message = f"The {f.name} field should not be specified in the sobject data."
            raise ApiError("INVALID_FIELD", message, fields=[f.name])
        row = self._store.by_external_id(sobject, f, call.part("value"))
        if row is None:
            record_id = self._save(call, "create", sobject, None, {**values, f.name: call.part("value")})
        else:
            record_id = self._save(call, "update", sobject, str(row["Id"]), values)
        body = {"id": record_id, "success": True, "errors": [], "created": row is None}
        return web.json_response(body, status=201 if row is None else 200)

    def _save(
        self, call: Call, operation: str, sobject: Sobject, record_id: str | None, values: Mapping[str, object]
    ) -> str:
        before = self._store.peek(sobject, record_id) if record_id else None
        change = self._api.begin(call)
        status = {"create": 201}.get(operation, 204)
        try:
            if record_id is None:
                record_id = change.create(sobject, values)
            elif operation == "update":
                change.update(sobject, record_id, values)
            else:
                change.delete(sobject, record_id)
        except ApiError as refused:
            self._note(call, operation, sobject, record_id, values, before, refused.status, refused)
            raise
        self._note(call, operation, sobject, record_id, values, before, status, None)
        change.commit()
        return record_id

    def _note(
        self,
        call: Call,
        operation: str,
        sobject: Sobject,
        record_id: str | None,
        values: Mapping[str, object],
        before: Row | None,
        status: int,
        error: ApiError | None,
    ) -> None:
        self._api.note_write(
            call,
            operation=operation,
            object_name=sobject.name,
            record_id=record_id,
            values=values,
            before=before,
            status=status,
            error=error,
        )

    def _read(self, call: Call, sobject: Sobject, row: Row) -> web.Response:
        asked = call.request.query.get("fields")
        names = [field_of(sobject, name.strip()).name for name in asked.split(",")] if asked else None
        self._api.note_read(call, object_name=sobject.name, record_id=str(row["Id"]))
        return web.json_response(self._api.body(call, sobject, row, names))

    def _key(self, call: Call) -> tuple[Sobject, Field]:
        sobject = self._api.sobject(call, call.part("sobject"))
        f = sobject.find(call.part("key"))
        if f is None or not (f.external_id or f.name == "Id"):
            raise _no_such_key(call.part("key"))
        return sobject, f

    async def updated(self, call: Call) -> web.Response:
        """Ids saved in the window and not deleted, by SystemModstamp."""
        sobject, start, end = self._window(call)
        rows = self._api.access.visible(call.session.person, sobject, self._store.rows(sobject))
        ids = [row["Id"] for row in rows if start <= _modstamp(row) < end]
        return web.json_response({"ids": ids, "latestDateCovered": rest_form(end)})

    async def deleted(self, call: Call) -> web.Response:
        """Records that were deleted in the window, purged ones too."""
        sobject, start, end = self._window(call)
        gone = [
            {"id": record_id, "deletedDate": rest_form(at)}
            for record_id, at in self._store.log_of_deletes(sobject)
            if start <= at < end
        ]
        earliest = rest_form(self._store.now() - REPLICATION_WINDOW)
        body = {"deletedRecords": gone, "earliestDateAvailable": earliest, "latestDateCovered": rest_form(end)}
        return web.json_response(body)

    def _window(self, call: Call) -> tuple[Sobject, datetime, datetime]:
        sobject = self._api.sobject(call, call.part("sobject"))
        try:
            start, end = (datetime.fromisoformat(call.request.query[name]) for name in ("start", "end"))
            start, end = start.astimezone(UTC), end.astimezone(UTC)
        except (KeyError, ValueError):
            raise ApiError("MISSING_ARGUMENT", "start and end must be ISO 8601 date and time") from None
        if start >= end:
            raise ApiError("INVALID_REPLICATION_DATE", "startDate must be before endDate")
        if start < self._store.now() - REPLICATION_WINDOW:  # "no more than 30 days before the call"
            raise ApiError("INVALID_REPLICATION_DATE", "startDate before org replication enabled date")
        return sobject, start, end


def field_of(sobject: Sobject, name: str) -> Field:
    """The field by name; INVALID_FIELD when the object has none of it."""
    f = sobject.find(name)
    if f is None:
        raise problems.no_such_field(name, sobject.name)
    return f


def _row_id(sobject: Sobject, text: str) -> str:
    """The id in a path. What cannot be an id at all is taken for the name of an external id field."""
    if len(text) not in {15, 18}:
        raise _no_such_key(text)
    return record_id_of(sobject, text)


def _no_such_key(name: str) -> ApiError:
    message = f"Provided external ID field does not exist or is not accessible: {name}"
    return ApiError("NOT_FOUND", message, status=404)


def _modstamp(row: Row) -> datetime:
    at = row["SystemModstamp"]
    assert isinstance(at, datetime)  # noqa: S101  the store stamps every row
    return at
