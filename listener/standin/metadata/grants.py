"""Permission sets: what they let a user do with objects, fields, and the org.

"Metadata API Developer Guide: PermissionSet". A deploy refuses what Setup does not offer: rights on a required field
(everybody who sees the record sees it), writing a formula, a right on an object without those it builds on.
"""

from dataclasses import dataclass

from listener.standin.metadata.archive import Component
from listener.standin.metadata.parts import Refused
from listener.standin.schema import Schema

#: Those of the user permissions that count here.
VIEW_ALL_DATA, VIEW_ENCRYPTED, VIEW_SETUP = "ViewAllData", "ViewEncryptedData", "ViewSetup"


@dataclass(frozen=True, slots=True, kw_only=True)
class ObjectGrant:
    """Rights on one object; `view_all` and `modify_all` look past sharing."""

    create: bool = False
    read: bool = False
    edit: bool = False
    delete: bool = False
    view_all: bool = False
    modify_all: bool = False

    def __or__(self, other: "ObjectGrant") -> "ObjectGrant":
        return ObjectGrant(
            create=self.create or other.create,
            read=self.read or other.read,
            edit=self.edit or other.edit,
            delete=self.delete or other.delete,
            view_all=self.view_all or other.view_all,
            modify_all=self.modify_all or other.modify_all,
        )


NOTHING = ObjectGrant()
EVERYTHING = ObjectGrant(create=True, read=True, edit=True, delete=True, view_all=True, modify_all=True)
READ_ALL = ObjectGrant(read=True, view_all=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class PermissionSet:
    """One permission set; fields are named with their object (`Patient__c.SSN__c`)."""

    name: str
    label: str
    objects: dict[str, ObjectGrant]
    readable: frozenset[str]
    editable: frozenset[str]
    user_permissions: frozenset[str]
    custom_permissions: frozenset[str]


def permission_set_of(component: Component, schema: Schema, custom_permissions: frozenset[str]) -> PermissionSet:
    """Raises Refused."""
    if not component.text("label"):
        raise Refused("Required fields are missing: [Label]")
    readable, editable = set(), set()
    for one in component.xml.findall("fieldPermissions"):
        name = (one.findtext("field") or "").strip()
        _check_field(name, schema, editable=one.findtext("editable") == "true")
        if one.findtext("readable") == "true" or one.findtext("editable") == "true":
            readable.add(name)
        if one.findtext("editable") == "true":
            editable.add(name)
    objects = {}
    for one in component.xml.findall("objectPermissions"):
        name = (one.findtext("object") or "").strip()
        if schema.find(name) is None:
            raise Refused(f"In field: field - no CustomObject named {name} found")
        grant = ObjectGrant(
            create=one.findtext("allowCreate") == "true",
            read=one.findtext("allowRead") == "true",
            edit=one.findtext("allowEdit") == "true",
            delete=one.findtext("allowDelete") == "true",
            view_all=one.findtext("viewAllRecords") == "true",
            modify_all=one.findtext("modifyAllRecords") == "true",
        )
        _check_object(name, grant)
        objects[name] = grant
    custom = {
        (one.findtext("name") or "").strip()
        for one in component.xml.findall("customPermissions")
        if one.findtext("enabled") == "true"
    }
    for name in sorted(custom - custom_permissions):
        raise Refused(f"In field: customPermission - no CustomPermission named {name} found")
    return PermissionSet(
        name=component.name,
        label=component.text("label"),
        objects=objects,
        readable=frozenset(readable),
        editable=frozenset(editable),
        user_permissions=frozenset(
            (one.findtext("name") or "").strip()
            for one in component.xml.findall("userPermissions")
            if one.findtext("enabled") == "true"
        ),
        custom_permissions=frozenset(custom),
    )


def _check_field(name: str, schema: Schema, *, editable: bool) -> None:
    object_name, _, field_name = name.partition(".")
    sobject = schema.find(object_name)
    f = sobject.find(field_name) if sobject else None
    if f is None:
        raise Refused(f"In field: field - no CustomField named {name} found")
    if f.required:
        raise Refused(f"You cannot deploy to a required field: {name}")
    if editable and f.formula is not None:
        raise Refused(f"Field {name} is not editable: it is a formula")


def _check_object(name: str, grant: ObjectGrant) -> None:
    """Each right needs those below it ("Object Permissions")."""
    needs = (
        (grant.create, grant.read, "Create", "Read"),
        (grant.edit, grant.read, "Edit", "Read"),
        (grant.delete, grant.read and grant.edit, "Delete", "Edit"),
        (grant.view_all, grant.read, "View All", "Read"),
        (grant.modify_all, grant.view_all and grant.delete, "Modify All", "Delete and View All"),
    )
    for given, basis, right, on in needs:
        if given and not basis:
            raise Refused(f"Permission {right} {name} depends on permission(s): {on} {name}")
