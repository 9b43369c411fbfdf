"""How the org is set up around us: who may what, and what is on the channel. Reads only.

Every question but `unwritable` asks for "View Setup and Configuration", which the work does not need: `SetupError` or
`EntryError` where this user does not have it. Sources: Object Reference, "PermissionSetAssignment",
"ObjectPermissions", "UserRecordAccess"; Tooling API, "PlatformEventChannel", "PlatformEventChannelMember".
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from listener.org import SalesforceOrg, api_name, as_id, granted, list_in

_MEMBER = "PlatformEventChannelMember"
_STANDARD = "ChangeEvents"
"""The channel of what is selected in Setup."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """One object on a channel. `entity` is its event's name; `filter` is empty where all changes come."""

    entity: str
    filter: str
    enriched: frozenset[str]


def entity_of(object_name: str) -> str:
    """`Patient__c` -> `Patient__ChangeEvent`, `Contact` -> `ContactChangeEvent` ("Change Event Object Names")."""
    stem = object_name.removesuffix("c") if object_name.endswith("__c") else object_name
    return f"{stem}ChangeEvent"


class OrgSetup(SalesforceOrg):
    """The adapter, with what only the doctor asks."""

    async def permission_sets(self, user_id: str, names: Sequence[str]) -> frozenset[str]:
        """Which of the permission sets of those names the user has."""
        listed = ",".join(f"'{api_name(one)}'" for one in names)
        sets = await self._rows("PermissionSet", f"Name IN ({listed})", "Id", "Name")
        found = {one["Id"]: one["Name"] for one in sets}
        return frozenset(str(found[one]) for one in await self._assigned(user_id) if one in found)

    async def sees_all(self, user_id: str, object_name: str) -> bool:
        """Whether the user has View All Records on the object, or View All Data, by whichever permission set.

        A profile's rights are those of a permission set of its own, which is assigned like any other.
        """
        given = f"SobjectType = '{api_name(object_name)}' AND PermissionsViewAllRecords = true"
        ways = {one["ParentId"] for one in await self._rows("ObjectPermissions", given, "ParentId")}
        ways |= {one["Id"] for one in await self._rows("PermissionSet", "PermissionsViewAllData = true", "Id")}
        return bool(ways & await self._assigned(user_id))

    async def sees_clear(self, user_id: str) -> bool:
        """Whether the user has View Encrypted Data; else encrypted fields come masked."""
        clear = await self._rows("PermissionSet", "PermissionsViewEncryptedData = true", "Id")
        return bool({one["Id"] for one in clear} & await self._assigned(user_id))

    async def unwritable(self, user_id: str, object_name: str, ready: str) -> str | None:
        """The id of the record saved last of those that are `ready`, if sharing keeps the user from writing it."""
        last = f"{api_name(ready)} = true ORDER BY LastModifiedDate DESC LIMIT 1"
        for one in await self._rows(api_name(object_name), last, "Id"):
            of_it = f"UserId = '{as_id(user_id)}' AND RecordId = '{as_id(one['Id'])}'"
            access = await self._rows("UserRecordAccess", of_it, "RecordId", "HasEditAccess")
            if not all(found["HasEditAccess"] for found in access):
                return as_id(one["Id"])
        return None

    async def members(self, channel: str) -> list[Member] | None:
        """The objects on a channel by its name in a subscription (`/data/…`); None where there is no such channel.

        A channel of one object carries it wherever it is selected: each member of any channel counts.
        """
        name = channel.removeprefix("/data/")
        on = "Id != null"
        if name == _STANDARD:
            on = f"EventChannel = '{_STANDARD}'"
        elif name.endswith("__chn"):
            named = f"DeveloperName = '{api_name(name.removesuffix('__chn'))}'"
            channels = await self._rows("PlatformEventChannel", named, "Id", by="tooling/query/")
            if not channels:
                return None
            on = f"EventChannel = '{as_id(channels[0]['Id'])}'"
        found = await self._rows(_MEMBER, on, "Id", by="tooling/query/")
        return [await self._member(as_id(one["Id"])) for one in found]

    async def _member(self, member_id: str) -> Member:
        # Its row names custom objects and fields by their ids; by their names, its metadata does.
        told = granted(await self._rest.get(f"tooling/sobjects/{_MEMBER}/{member_id}"), _MEMBER)
        metadata = told.get("Metadata") or {}
        return Member(
            entity=str(metadata.get("selectedEntity", "")),
            filter=str(metadata.get("filterExpression") or ""),
            enriched=frozenset(str(one["name"]) for one in metadata.get("enrichedFields") or ()),
        )

    async def _assigned(self, user_id: str) -> frozenset[str]:
        given = await self._rows("PermissionSetAssignment", f"AssigneeId = '{as_id(user_id)}'", "PermissionSetId")
        return frozenset(str(one["PermissionSetId"]) for one in given)

    async def _rows(self, kind: str, condition: str, *names: str, by: str = "query/") -> list[Mapping[str, Any]]:
        """Of each of these there is less than a page in an org."""
        soql = f"SELECT {','.join(names)} FROM {kind} WHERE {condition}"  # noqa: S608 - names are checked
        return list_in(granted(await self._rest.get(by, q=soql), kind), "records")
