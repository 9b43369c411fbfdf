"""Many records in one call: sObject Collections and sObject Tree.

"REST API Developer Guide: sObject Collections" (at most 200 records, at most 10 chunks of one type, results in the
order of the request, per-record errors inside a 200 answer, `allOrNone` false unless asked) and "sObject Tree".

Collections are not in the list of resources that honour `Sforce-Call-Options` ("Call Options Header"), so a save
through them has no client in its changeOrigin unless `collections_carry_client` says otherwise.
"""

from collections.abc import Mapping, Sequence
from functools import partial
from itertools import groupby

from aiohttp import web

from listener.standin import problems
from listener.standin.api import Api, Call
from listener.standin.problems import ApiError
from listener.standin.rest import field_of
from listener.standin.schema import Row, Sobject
from listener.standin.store import record_id_of
from listener.standin.transaction import Transaction

MOST_RECORDS, MOST_CHUNKS, MOST_RETRIEVED = 200, 10, 2000


class Composite:
    """The resources below /composite."""

    def __init__(self, api: Api, *, collections_carry_client: bool) -> None:
        self.collections_carry_client = collections_carry_client
        self._api = api
        self._store = api.store

    def routes(self) -> list[web.RouteDef]:
        route = self._api.route
        return [
            route("POST", "/composite/sobjects", self.create),
            route("PATCH", "/composite/sobjects", self.update),
            route("DELETE", "/composite/sobjects", self.delete),
            route("GET", "/composite/sobjects/{sobject}", self.retrieve),
            route("POST", "/composite/sobjects/{sobject}", self.retrieve),
            route("POST", "/composite/tree/{sobject}", self.tree),
        ]

    async def create(self, call: Call) -> web.Response:
        body = await call.json_object()
        return self._save(call, "create", _records(body), all_or_none=body.get("allOrNone") is True)

    async def update(self, call: Call) -> web.Response:
        body = await call.json_object()
        return self._save(call, "update", _records(body), all_or_none=body.get("allOrNone") is True)

    async def delete(self, call: Call) -> web.Response:
        query = call.request.query
        records: list[Mapping[str, object]] = [{"id": text} for text in query.get("ids", "").split(",") if text]
        return self._save(call, "delete", records, all_or_none=query.get("allOrNone") == "true")

    def _save(
        self, call: Call, operation: str, records: Sequence[Mapping[str, object]], *, all_or_none: bool
    ) -> web.Response:
        if len(records) > MOST_RECORDS:
            message = f"record limit reached. cannot submit more than {MOST_RECORDS} records into this call"
            raise ApiError("EXCEEDED_ID_LIMIT", message)
        chunks = [name for name, _ in groupby(str(_type_of(r)) for r in records)]
        if len(chunks) > MOST_CHUNKS:
            raise ApiError("LIMIT_EXCEEDED", f"Cannot have more than {MOST_CHUNKS} chunks in a single operation")
        change = self._api.begin(call, with_client=self.collections_carry_client)
        outcomes = [self._one(call, change, operation, record) for record in records]
        refused = any(isinstance(o, ApiError) for o in outcomes)
        if refused and all_or_none:
            rolled_back = ApiError(
                "ALL_OR_NONE_OPERATION_ROLLED_BACK",
                "Record rolled back because not all records were valid and the request was using AllOrNone header",
            )
            outcomes = [o if isinstance(o, ApiError) else rolled_back for o in outcomes]
        befores = [self._before(outcome) for outcome in outcomes]
        for record, outcome, before in zip(records, outcomes, befores, strict=True):
            error = outcome if isinstance(outcome, ApiError) else None
            self._api.note_write(
                call,
                operation=operation,
                object_name=str(_type_of(record)),
                record_id=str(record.get("id") or record.get("Id")) if isinstance(outcome, ApiError) else outcome,
                values=record,
                before=before,
                status=200,
                error=error,
            )
        if not (refused and all_or_none):
            change.commit()
        return web.json_response([_save_result(outcome) for outcome in outcomes])

    def _one(self, call: Call, change: Transaction, operation: str, record: Mapping[str, object]) -> str | ApiError:
        """The record's id, or why it was refused."""
        values = {k: v for k, v in record.items() if k.lower() not in {"attributes", "id"}}
        given_id = record.get("id") or record.get("Id")
        try:
            if operation == "create":
                return change.create(self._type(call, record), values)
            sobject = self._type(call, record) if operation == "update" else self._by_id(call, given_id)
            record_id = _given_id(sobject, given_id)
            if operation == "update":
                change.update(sobject, record_id, values)
            else:
                change.delete(sobject, record_id)
        except ApiError as refused:
            return refused
        return record_id

    def _before(self, outcome: str | ApiError) -> Row | None:
        if isinstance(outcome, ApiError):
            return None
        sobject = self._store.schema.of_id(outcome)
        return self._store.peek(sobject, outcome) if sobject else None

    def _type(self, call: Call, record: Mapping[str, object]) -> Sobject:
        name = _type_of(record)
        sobject = self._api.access.sobject(call.session.person, name) if name else None
        if sobject is None:
            raise problems.unknown_object(str(name))
        return sobject

    def _by_id(self, call: Call, text: object) -> Sobject:
        full = self._store.schema.of_id(str(text))
        sobject = self._api.access.sobject(call.session.person, full.name) if full else None
        if sobject is None:
            raise problems.malformed_id("Record", str(text))
        return sobject

    async def retrieve(self, call: Call) -> web.Response:
        """Records by id, in the order asked; null for one that is not there. GET with parameters or POST a body."""
        sobject = self._api.sobject(call, call.part("sobject"))
        if call.request.method == "GET":
            ids: object = call.request.query.get("ids", "").split(",")
            names: object = call.request.query.get("fields", "").split(",")
        else:
            body = await call.json_object()
            ids, names = body.get("ids"), body.get("fields")
        if not isinstance(ids, list) or not isinstance(names, list) or not all(names):
            raise ApiError("MISSING_ARGUMENT", "The request must have the ids and fields parameters")
        if len(ids) > MOST_RETRIEVED:
            raise ApiError("EXCEEDED_ID_LIMIT", f"cannot retrieve more than {MOST_RETRIEVED} records in this call")
        selected = [field_of(sobject, str(name).strip()).name for name in names]
        sees = partial(self._api.access.sees, call.session.person, sobject)
        found: list[dict[str, object] | None] = []
        for text in ids:
            row = self._store.peek(sobject, record_id_of(sobject, text))
            there = row is not None and not row["IsDeleted"] and sees(row)
            found.append(self._api.body(call, sobject, row, selected) if row and there else None)
        self._api.note_read(call, object_name=sobject.name, rows=len([row for row in found if row]))
        return web.json_response(found)

    async def tree(self, call: Call) -> web.Response:
        """Creates the records of a data plan, all or none; each is known by its `referenceId`."""
        sobject, body = self._api.sobject(call, call.part("sobject")), await call.json_object()
        records = _records(body)
        if len(records) > MOST_RECORDS:
            raise ApiError("EXCEEDED_ID_LIMIT", f"cannot submit more than {MOST_RECORDS} records into this call")
        change = self._api.begin(call)
        results, errors = [], []
        outcomes: list[str | ApiError] = []
        for record in records:
            attributes = record.get("attributes")
            reference = str(attributes.get("referenceId")) if isinstance(attributes, dict) else ""
            outcome = self._one(call, change, "create", {**record, "attributes": {"type": sobject.name}})
            outcomes.append(outcome)
            if isinstance(outcome, ApiError):
                errors.append({"referenceId": reference, "errors": [outcome.save_error()]})
            else:
                results.append({"referenceId": reference, "id": outcome})
        for record, outcome in zip(records, outcomes, strict=True):
            self._api.note_write(
                call,
                operation="create",
                object_name=sobject.name,
                record_id=None if errors or isinstance(outcome, ApiError) else outcome,
                values=record,
                status=400 if errors else 201,
                error=outcome if isinstance(outcome, ApiError) else None,
            )
        if errors:
            return web.json_response({"hasErrors": True, "results": errors}, status=400)
        change.commit()
        return web.json_response({"hasErrors": False, "results": results}, status=201)


def _records(body: Mapping[str, object]) -> list[Mapping[str, object]]:
    records = body.get("records")
    if not isinstance(records, list) or not all(isinstance(record, dict) for record in records):
        raise problems.json_parser_error("The request body needs a list named records")
    return records


def _type_of(record: Mapping[str, object]) -> str | None:
    attributes = record.get("attributes")
    return str(attributes["type"]) if isinstance(attributes, dict) and "type" in attributes else None


def _given_id(sobject: Sobject, given: object) -> str:
    if not given:
        raise ApiError("MISSING_ARGUMENT", "Id not specified in an update call", fields=["Id"])
    return record_id_of(sobject, given)


def _save_result(outcome: str | ApiError) -> dict[str, object]:
    if isinstance(outcome, ApiError):
        return {"success": False, "errors": [outcome.save_error()]}
    return {"id": outcome, "success": True, "errors": []}
