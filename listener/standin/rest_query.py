"""The query resources and their pages.

"REST API Developer Guide: Query, QueryAll", "Query Options Header" (batchSize 200 to 2,000, default 2,000). A page's
locator stands for the rows as they were when the query ran.
"""

import re
from dataclasses import dataclass
from itertools import count

from aiohttp import web

from listener.standin.api import Api, Call
from listener.standin.problems import ApiError
from listener.standin.query import checked, run
from listener.standin.schema import FieldType, Row, Sobject
from listener.standin.soql import parse
from listener.standin.standard import RECORD_ACCESS

SMALLEST, LARGEST = 200, 2000
MAX_OFFSET = 2000


@dataclass(frozen=True, slots=True, kw_only=True)
class _Cursor:
    user_id: str
    sobject: Sobject
    selected: list[str]
    rows: list[Row]
    resource: str


class Queries:
    """`query` and `queryAll`, with `nextRecordsUrl`."""

    def __init__(self, api: Api) -> None:
        self._api = api
        self._cursors: dict[str, _Cursor] = {}
        self._locators = count(1)

    def routes(self) -> list[web.RouteDef]:
        route = self._api.route
        return [
            route("GET", "/{resource:query|queryAll}", self.query),
            route("GET", r"/{resource:query|queryAll}/{locator:\w+-\d+}", self.more),
        ]

    def expire_cursors(self) -> None:
        """Makes every open locator invalid, as the org does after two days or too many open cursors."""
        self._cursors.clear()

    async def query(self, call: Call) -> web.Response:
        text = call.request.query.get("q")
        if text is None:
            raise ApiError("MALFORMED_QUERY", "A query string has to be specified")
        query = parse(text)
        if query.offset > MAX_OFFSET:
            raise ApiError("NUMBER_OUTSIDE_VALID_RANGE", "Maximum SOQL offset allowed is 2000")
        person = call.session.person
        sobject, selected = checked(lambda name: self._api.access.sobject(person, name), query)
        if call.request.query.get("columns") == "true":
            return web.json_response(_columns(sobject, selected))
        resource = call.part("resource")
        store = self._api.store
        if sobject.name == RECORD_ACCESS.name:
            kept = self._api.access.of_records(person)
        else:
            kept = self._api.access.visible(person, sobject, store.rows(sobject, deleted=resource == "queryAll"))
        rows = run(kept, sobject, query, store.now().date())
        self._api.note_read(call, object_name=sobject.name, rows=len(rows))
        if not query.fields:
            return web.json_response({"totalSize": len(rows), "done": True, "records": []})
        locator = f"0r8Hs{next(self._locators):013d}"
        cursor = _Cursor(
            user_id=call.session.person.id, sobject=sobject, selected=selected, rows=rows, resource=resource
        )
        return self._page(call, cursor, locator, 0)

    async def more(self, call: Call) -> web.Response:
        locator, _, start = call.part("locator").partition("-")
        cursor = self._cursors.get(locator)
        if cursor is None or cursor.user_id != call.session.person.id:
            raise ApiError("INVALID_QUERY_LOCATOR", "invalid query locator")
        return self._page(call, cursor, locator, int(start))

    def _page(self, call: Call, cursor: _Cursor, locator: str, start: int) -> web.Response:
        end = start + _batch_size(call.request.headers.get("Sforce-Query-Options", ""))
        records = [self._api.body(call, cursor.sobject, row, cursor.selected) for row in cursor.rows[start:end]]
        body: dict[str, object] = {"totalSize": len(cursor.rows), "done": end >= len(cursor.rows)}
        if end < len(cursor.rows):
            self._cursors[locator] = cursor
            body["nextRecordsUrl"] = f"/services/data/v{call.version}/{cursor.resource}/{locator}-{end}"
        return web.json_response(body | {"records": records})


def _batch_size(options: str) -> int:
    asked = re.search(r"batchSize\s*=\s*(\d+)", options)
    return min(LARGEST, max(SMALLEST, int(asked[1]))) if asked else LARGEST


def _columns(sobject: Sobject, selected: list[str]) -> dict[str, object]:
    """What `columns=true` answers; the `sf` command line asks it beside every query."""
    columns: list[dict[str, object]] = [
        {
            "aggregate": False,
            "apexType": "String",
            "booleanType": sobject.fields[name].type is FieldType.BOOLEAN,
            "columnName": name,
            "custom": name.endswith("__c"),
            "displayName": name,
            "foreignKeyName": None,
            "insertable": sobject.fields[name].writable,
            "joinColumns": [],
            "numberType": sobject.fields[name].type is FieldType.DOUBLE,
            "textType": sobject.fields[name].type is FieldType.STRING,
            "updatable": sobject.fields[name].writable,
        }
        for name in selected
    ]
    return {
        "columnMetadata": columns,
        "entityName": sobject.name,
        "groupBy": False,
        "idSelected": "Id" in selected,
        "keyPrefix": sobject.key_prefix,
    }
