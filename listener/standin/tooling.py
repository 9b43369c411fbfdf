"""The Tooling API, as far as it tells of channels: which objects are on them, their filter and their enrichment.

"Tooling API: PlatformEventChannel, PlatformEventChannelMember"; both ask for "View Setup and Configuration". Where a
row names what is custom it has its id ("EventChannel 0YL…, SelectedEntity 01I…": "Change Data Capture: Query Channel
Members"); names are in `Metadata`, which is given with one record at a time.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from aiohttp import web

from listener.standin import problems
from listener.standin.access import Access
from listener.standin.api import Api, Call
from listener.standin.channels import Member
from listener.standin.ids import mint
from listener.standin.metadata.setup import Setup
from listener.standin.query import checked, run
from listener.standin.schema import Field, FieldType, Row, Schema, Sobject, by_name
from listener.standin.soql import parse
from listener.standin.standard import system_fields
from listener.standin.values import record_body


def _kind(name: str, label: str, key_prefix: str, *fields: str) -> Sobject:
    texts = (Field(name=one, label=one, length=255) for one in fields)
    return Sobject(
        name=name,
        label=label,
        plural=f"{label}s",
        key_prefix=key_prefix,
        fields=by_name((*system_fields(owner=False), *texts)),
    )


CHANNEL = _kind("PlatformEventChannel", "Channel", "0YL", "DeveloperName", "MasterLabel", "ChannelType")
MEMBER = _kind(
    "PlatformEventChannelMember",
    "Channel Member",
    "0v8",
    "DeveloperName",
    "EventChannel",
    "SelectedEntity",
    "FilterExpression",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Found:
    """One row, and the metadata behind it."""

    full_name: str
    row: Row
    metadata: Mapping[str, object]


class Tooling:
    """`tooling/query` and `tooling/sobjects/KIND/ID` over what is deployed."""

    def __init__(self, setup: Setup, access: Access, api: Api) -> None:
        self._setup = setup
        self._access = access
        self._api = api
        self._schema = Schema((CHANNEL, MEMBER))
        self._fresh = {prefix: mint(prefix) for prefix in (CHANNEL.key_prefix, MEMBER.key_prefix, "01I")}
        self._ids: dict[tuple[str, str], str] = {}

    def routes(self) -> list[web.RouteDef]:
        return [
            self._api.route("GET", "/tooling/query", self.query),
            self._api.route("GET", "/tooling/sobjects/{object}/{id}", self.record),
        ]

    async def query(self, call: Call) -> web.Response:
        query = parse(call.request.query.get("q", ""))
        sobject, selected = checked(lambda name: self._object(call, name), query)
        rows = run((one.row for one in self._all(sobject)), sobject, query, self._api.store.now().date())
        records = [self._body(call, sobject, row, selected) for row in rows]
        size = {"size": len(records), "totalSize": len(records), "done": True, "queryLocator": None}
        return web.json_response({**size, "entityTypeName": sobject.name, "records": records})

    async def record(self, call: Call) -> web.Response:
        sobject = self._object(call, call.part("object"))
        found = next((one for one in self._all(sobject) if one.row["Id"] == call.part("id")), None) if sobject else None
        if sobject is None or found is None:
            raise problems.not_found()
        more = {"FullName": found.full_name, "Metadata": found.metadata}
        return web.json_response(self._body(call, sobject, found.row, None) | more)

    def _object(self, call: Call, name: str) -> Sobject | None:
        """None, as for an object that is not there, for who may not look at the set-up."""
        return self._schema.find(name) if self._access.views_setup(call.session.person) else None

    def _body(self, call: Call, sobject: Sobject, row: Row, names: list[str] | None) -> dict[str, object]:
        body = record_body(sobject, row, names, version=call.version, clear=False)
        url = f"/services/data/v{call.version}/tooling/sobjects/{sobject.name}/{row['Id']}"
        return body | {"attributes": {"type": sobject.name, "url": url}}

    def _all(self, sobject: Sobject) -> Iterator[_Found]:
        if sobject is CHANNEL:
            for channel in self._setup.channels:
                full_name = channel.name.removeprefix("/data/")
                name = full_name.removesuffix("__chn")
                row = {"DeveloperName": name, "MasterLabel": name, "ChannelType": "data"}
                yield self._found(sobject, full_name, row, {"channelType": "data", "label": name})
            return
        for name, (channel_name, object_name, member) in self._setup.members.items():
            full_name, tracked = channel_name.removeprefix("/data/"), self._setup.schema.objects[object_name]
            entity = tracked.event_entity
            row = {
                "DeveloperName": name,
                "EventChannel": self._id(CHANNEL.key_prefix, full_name),
                "SelectedEntity": self._id("01I", object_name) if object_name.endswith("__c") else entity,
                "FilterExpression": member.filter or "",
            }
            yield self._found(sobject, name, row, _metadata(full_name, entity, member))

    def _found(self, sobject: Sobject, full_name: str, row: dict[str, str], metadata: Mapping[str, object]) -> _Found:
        record_id = self._id(sobject.key_prefix, full_name)
        blank = {name: f.default for name, f in sobject.fields.items() if f.type is not FieldType.ID}
        return _Found(full_name=full_name, row=blank | {"Id": record_id} | row, metadata=metadata)

    def _id(self, prefix: str, name: str) -> str:
        if (prefix, name) not in self._ids:
            self._ids[prefix, name] = next(self._fresh[prefix])
        return self._ids[prefix, name]


def _metadata(channel: str, entity: str, member: Member) -> Mapping[str, object]:
    return {
        "enrichedFields": [{"name": name} for name in member.enriched],
        "eventChannel": channel,
        "filterExpression": member.filter,
        "selectedEntity": entity,
        "urls": None,
    }
