"""Salesforce's REST API: reading records as they are now, finding what changed, writing answers back.

`Org` is the seam, `SalesforceOrg` its adapter on simple-salesforce, which blocks, so it has a thread of its own. What
Salesforce says in words never leaves this module: it may quote values. Its codes do, and names of fields.

Sources, REST API Developer Guide: "Query", "QueryAll", "Resources by Version", "sObject Collections",
"sObject Describe", "Get Deleted", "Status Codes and Error Responses", "Call Options Header", "Limit Info Header".
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol

from listener.change import MalformedEvent, RecordId, long_id
from listener.errors import EntryError, Outage, SetupError
from listener.login import Login
from listener.rest import Refusal, Rest

Record = Mapping[str, Any]

CLIENT = "fusion-sync"
"""How we call ourselves in `Sforce-Call-Options`, and so in the `changeOrigin` of our own write-backs."""

_READ_AT_ONCE = 200  # ids in one query, 5.4 kB of an address: with the headers a request may have 16 kB
_WRITE_AT_ONCE = 200  # "sObject Collections"
_LOG_OF_DELETES = timedelta(days=14, hours=23)  # "no more than 15 days previous to the day the call is executed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Touched:
    """A record that was written or deleted; `modified_at` is its SystemModstamp, or when it was deleted. UTC."""

    record_id: RecordId
    modified_at: datetime
    deleted: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordError:
    """Why one record was not written: Salesforce's status code and the fields that it names, never its message."""

    code: str
    fields: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class FieldDescription:
    """One field as the user of this process sees it. `type` is Salesforce's word; `length` counts characters."""

    name: str
    label: str
    type: str
    length: int
    updateable: bool
    nillable: bool = True
    unique: bool = False
    encrypted: bool = False
    restricted: bool = False
    auto_number: bool = False
    options: tuple[str, ...] = ()


class Org(Protocol):
    """All that is asked of Salesforce. Raises `Outage` where it does not answer; what else is said at each method."""

    async def read(
        self, object_name: str, record_ids: Sequence[RecordId], fields: Sequence[str]
    ) -> dict[RecordId, Record]:
        """Records as they are now, from the recycle bin too: each has `Id`, `IsDeleted` and `fields`.

        An id that is not in the answer is purged, or not to be seen. `SetupError` where object or field is not there.
        """
        ...

    def changed_since(
        self, object_name: str, since: datetime, until: datetime, *, where: str | None = None
    ) -> AsyncIterator[Touched]:
        """What was written or deleted in the span, both ends included, in the order of writing; may repeat.

        `where` is a condition in SOQL, and trusted.
        """
        ...

    def deleted_since(self, object_name: str, since: datetime, until: datetime) -> AsyncIterator[Touched]:
        """What was deleted in the span, by the org's log of deletes, which knows of purged records too; may repeat.

        The log has whole minutes and 15 days: what was deleted in the last minute of the span may be missing.
        """
        ...

    async def update(self, object_name: str, values: Mapping[RecordId, Record]) -> dict[RecordId, RecordError | None]:
        """Writes the fields of each record; None where it was. After an `Outage` any of it may have been written.

        Values are absolute, so telling them again is safe.
        """
        ...

    async def describe(self, object_name: str) -> dict[str, FieldDescription]:
        """The object's fields by name; `SetupError` if there is no such object for us."""
        ...

    async def user_id(self) -> str:
        """Who we are in the org."""
        ...

    async def now(self) -> datetime:
        """What time it is by Salesforce's clock, to the second; UTC. One call."""
        ...


class SalesforceOrg:
    """`Org` over HTTP."""

    def __init__(
        self,
        login: Login,
        *,
        api_version: str,
        connect_seconds: float = 10.0,
        read_seconds: float = 60.0,
        page: int = 2000,
    ) -> None:
        """`page`: records in one page of a query, 200 to 2,000 ("Query Options Header")."""
        self._login = login
        self._page = page
        self._rest = Rest(
            login, client=CLIENT, api_version=api_version, connect_seconds=connect_seconds, read_seconds=read_seconds
        )

    @property
    def usage(self) -> tuple[int, int] | None:
        """API calls of the last 24 hours and how many the org may make, as of its last answer."""
        return self._rest.usage

    async def close(self) -> None:
        """Closes the connections. A call that hangs is left to itself, and does not keep the process."""
        self._rest.close()

    async def user_id(self) -> str:
        return (await self._login.token()).user_id

    async def now(self) -> datetime:
        """As `Org` says: the Date header of the smallest answer there is ("Resources by Version")."""
        granted(await self._rest.get(""), "the API")
        if self._rest.answered_at is None:
            raise Outage("Salesforce's answer does not say when it was given", hint="is there a proxy in between?")
        return self._rest.answered_at

    async def read(
        self, object_name: str, record_ids: Sequence[RecordId], fields: Sequence[str]
    ) -> dict[RecordId, Record]:
        names = list(dict.fromkeys(["Id", "IsDeleted", *(api_name(one) for one in fields)]))
        found: dict[RecordId, Record] = {}
        for ids in _portions([as_id(one) for one in record_ids], _READ_AT_ONCE):
            condition = "Id IN ({})".format(",".join(f"'{one}'" for one in ids))
            async for record in self._query(object_name, names, condition):
                found[as_id(record["Id"])] = {name: value for name, value in record.items() if name != "attributes"}
        return found

    async def changed_since(
        self, object_name: str, since: datetime, until: datetime, *, where: str | None = None
    ) -> AsyncIterator[Touched]:
        """As `Org` says. A cursor that expires between two pages is opened anew where it was."""
        names = ["Id", "SystemModstamp", "IsDeleted"]
        start, expired = since, 0
        while True:
            span = f"SystemModstamp >= {_literal(start)} AND SystemModstamp <= {_literal(until)}"
            condition = f"{span}{f' AND ({where})' if where else ''} ORDER BY SystemModstamp, Id"
            try:
                async for record in self._query(object_name, names, condition):
                    modified_at = _moment(record["SystemModstamp"])
                    expired = expired if modified_at == start else 0
                    start = modified_at
                    yield Touched(record_id=as_id(record["Id"]), modified_at=start, deleted=bool(record["IsDeleted"]))
            except _CursorExpired:
                expired += 1
                if expired > 2:
                    raise Outage("Salesforce drops our query cursors", hint="who else queries as this user?") from None
            else:
                return

    async def deleted_since(self, object_name: str, since: datetime, until: datetime) -> AsyncIterator[Touched]:
        """As `Org` says. Where the log does not reach back ("startDate before ...") the recycle bin has to do."""
        end = _utc(until)
        start = _literal(min(max(_utc(since), end - _LOG_OF_DELETES), end - timedelta(minutes=2)))
        answer = await self._rest.get(f"sobjects/{api_name(object_name)}/deleted/", start=start, end=_literal(end))
        if isinstance(answer, Refusal) and answer.code == "INVALID_REPLICATION_DATE":
            async for one in self.changed_since(object_name, since, until, where="IsDeleted = true"):
                yield one
            return
        for record in list_in(granted(answer, object_name), "deletedRecords"):
            yield Touched(record_id=as_id(record["id"]), modified_at=_moment(record["deletedDate"]), deleted=True)

    async def update(self, object_name: str, values: Mapping[RecordId, Record]) -> dict[RecordId, RecordError | None]:
        told: dict[RecordId, RecordError | None] = {}
        # Sorted, since two writers that take their locks in the same order cannot block each other.
        for ids in _portions(sorted(values), _WRITE_AT_ONCE):
            kind = {"attributes": {"type": api_name(object_name)}}
            records = [kind | {"id": as_id(one)} | {api_name(k): v for k, v in values[one].items()} for one in ids]
            answer = await self._rest.patch("composite/sobjects", {"allOrNone": False, "records": records})
            results = granted(answer, object_name, sorted({name for one in ids for name in values[one]}))
            if not isinstance(results, list) or len(results) != len(ids):
                raise Outage("Salesforce's answer to an update does not fit", hint="it is told again", suspect=True)
            told |= {one: _record_error(result) for one, result in zip(ids, results, strict=True)}
        return told

    async def describe(self, object_name: str) -> dict[str, FieldDescription]:
        told = granted(await self._rest.get(f"sobjects/{api_name(object_name)}/describe"), object_name)
        return {one["name"]: _field(one) for one in list_in(told, "fields")}

    async def limits(self) -> dict[str, tuple[int, int]]:
        """Used and allowed of every limit of the org, by name; none where this user may not see them."""
        answer = await self._rest.get("limits/")
        if not isinstance(answer, Mapping):
            return {}  # "View Setup and Configuration" is asked for
        found = {str(name): (one.get("Max"), one.get("Remaining")) for name, one in answer.items()}
        return {name: (most - left, most) for name, (most, left) in found.items() if most is not None}

    async def _query(self, object_name: str, names: Sequence[str], condition: str) -> AsyncIterator[Mapping[str, Any]]:
        """The records page by page; `_CursorExpired` where Salesforce has forgotten the query meanwhile."""
        soql = f"SELECT {','.join(names)} FROM {api_name(object_name)} WHERE {condition}"  # noqa: S608 - names are checked
        page = granted(await self._rest.query_all(soql, page=self._page), object_name, names)
        while True:
            for record in list_in(page, "records"):
                yield record
            if page.get("done", True):
                return
            more = await self._rest.query_more(str(page["nextRecordsUrl"]), page=self._page)
            if isinstance(more, Refusal) and more.code == "INVALID_QUERY_LOCATOR":
                raise _CursorExpired
            page = granted(more, object_name, names)


class _CursorExpired(Exception):
    """Salesforce no longer knows a query that we have read in part."""


_NOT_THERE = frozenset({"INVALID_FIELD", "INVALID_TYPE", "NOT_FOUND", "INVALID_FIELD_FOR_INSERT_UPDATE"})
_NOT_OURS = frozenset(
    {"INSUFFICIENT_ACCESS", "INSUFFICIENT_ACCESS_OR_READONLY", "API_DISABLED_FOR_ORG", "FUNCTIONALITY_NOT_ENABLED"}
)


def granted(answer: Any, object_name: str, names: Sequence[str] = ()) -> Any:
    """The answer, if it is no refusal. The error names fields that we asked for, and none of Salesforce's words."""
    if not isinstance(answer, Refusal):
        return answer
    words = set(re.findall(r"\w+", answer.words))
    field = next((name for name in names if name in words and name not in ("Id", "IsDeleted")), None)
    what = f"{object_name}.{field}" if field else object_name
    if answer.code in _NOT_THERE:
        raise SetupError(
            f"Salesforce has no {what} for this user ({answer.code})",
            hint="is the package deployed, and the permission set assigned to the integration user?",
        )
    if answer.code in _NOT_OURS:
        raise SetupError(
            f"the integration user may not use {what} ({answer.code})",
            hint="assign the permission set to the integration user",
        )
    raise EntryError(
        f"Salesforce refused a request about {what} ({answer.code})", hint="see the error code's help page"
    )


def list_in(answer: Any, name: str) -> list[Any]:
    found = answer.get(name) if isinstance(answer, Mapping) else None
    if not isinstance(found, list):
        raise Outage("Salesforce answered something else than was asked", hint="is there a proxy in between?")
    return found


def _record_error(result: Mapping[str, Any]) -> RecordError | None:
    if result.get("success") is True:
        return None
    errors = result.get("errors")
    first = errors[0] if isinstance(errors, list) and errors else {}
    code = str(first.get("statusCode", ""))
    names = (str(name) for name in first.get("fields") or ())
    return RecordError(
        code=code if re.fullmatch(r"[A-Z0-9_]{1,80}", code) else "UNKNOWN",
        fields=tuple(name for name in names if _NAME.fullmatch(name)),
    )


def _field(told: Mapping[str, Any]) -> FieldDescription:
    options = told.get("picklistValues") or ()
    return FieldDescription(
        name=str(told["name"]),
        label=str(told.get("label", "")),
        type=str(told.get("type", "")),
        updateable=bool(told.get("updateable")),
        nillable=bool(told.get("nillable")),
        unique=bool(told.get("unique")),
        encrypted=bool(told.get("encrypted")),
        restricted=bool(told.get("restrictedPicklist")),
        auto_number=bool(told.get("autoNumber")),
        length=int(told.get("length") or 0),
        options=tuple(str(one["value"]) for one in options if one.get("active")),
    )


_NAME = re.compile(r"[A-Za-z]\w{0,79}", re.ASCII)


def api_name(name: str) -> str:
    """An object's or a field's API name; `SetupError` if it could be anything else in a query."""
    if not _NAME.fullmatch(name):
        raise SetupError("a name in the mapping is not an API name of Salesforce", hint="letters, digits, underscores")
    return name


def as_id(record_id: str) -> RecordId:
    """Its 18 characters; `EntryError` if it is no id of Salesforce."""
    try:
        return long_id(str(record_id))
    except MalformedEvent:
        raise EntryError(
            "a record id is not one of Salesforce", hint="look at how the entry came into the outbox"
        ) from None


def _utc(moment: datetime) -> datetime:
    if moment.tzinfo is None:
        raise ValueError("a datetime without a time zone")
    return moment.astimezone(UTC)


def _literal(moment: datetime) -> str:
    """As SOQL and the replication resources write it ("Date Formats and Date Literals")."""
    return _utc(moment).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _moment(text: str) -> datetime:
    return datetime.fromisoformat(text).astimezone(UTC)


def _portions(ids: Sequence[RecordId], size: int) -> list[Sequence[RecordId]]:
    return [ids[start : start + size] for start in range(0, len(ids), size)]
