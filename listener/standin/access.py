"""What each user may see and do: their profile, their permission sets, sharing. Asked on every call.

"Salesforce Help: User Permissions and Access", "Field-Level Security", "Sharing Considerations"; "Object Permissions":
*View All* and *Modify All* look past sharing, and View All lets nobody edit. A system administrator has every object,
but a field that was deployed is hidden from them too until a permission set shows it: a deploy gives nobody anything.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import reduce
from operator import or_

from listener.standin.metadata.grants import (
    EVERYTHING,
    NOTHING,
    READ_ALL,
    VIEW_ALL_DATA,
    VIEW_ENCRYPTED,
    VIEW_SETUP,
    ObjectGrant,
    PermissionSet,
)
from listener.standin.metadata.setup import Setup
from listener.standin.people import Person
from listener.standin.problems import ApiError, locked, not_found
from listener.standin.schema import Field, Row, Sobject
from listener.standin.standard import ASSIGNMENT, GROUP, GROUP_MEMBER, OBJECT_PERMISSIONS, PERMISSION_SET
from listener.standin.store import Commit, Store
from listener.standin.transaction import Transaction

# "Object Reference: PermissionSetAssignment", "ObjectPermissions": "View Setup and Configuration" is asked for.
RIGHTS = {ASSIGNMENT.name, OBJECT_PERMISSIONS.name, PERMISSION_SET.name}
STANDARD_RECORDS = {"Account", "Contact"}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Rights:
    """All of one user's rights, added up."""

    sets: tuple[PermissionSet, ...]
    groups: frozenset[str]

    def has_field(self, name: str, *, editable: bool) -> bool:
        return any(name in (one.editable if editable else one.readable) for one in self.sets)


class Access:
    """Rights by user. What was worked out is kept until something is deployed or assigned."""

    def __init__(self, setup: Setup, store: Store) -> None:
        self._setup = setup
        self._store = store
        self._rights: dict[str, _Rights] = {}
        self._views: dict[tuple[str, str], Sobject | None] = {}
        setup.on_deployed.append(self._forget)
        store.on_commit.append(self._look)

    def sobject(self, person: Person, name: str) -> Sobject | None:
        """The object as *person* sees it, without the fields that are hidden from them; None when all of it is."""
        full = self._store.schema.find(name)
        if full is None:
            return None
        key = (person.id, full.name)
        if key not in self._views:
            self._views[key] = self._view(person, full)
        return self._views[key]

    def grant(self, person: Person, object_name: str) -> ObjectGrant:
        """Rights on one object."""
        if person.administrator:
            return EVERYTHING
        if not object_name.endswith("__c") and object_name not in STANDARD_RECORDS:
            # The org's own tables: anybody may look, but for who may what; and only an administrator assigns.
            return READ_ALL if object_name not in RIGHTS or self.views_setup(person) else NOTHING
        sets = (one.objects.get(object_name, NOTHING) for one in self._of(person).sets)
        return reduce(or_, sets, READ_ALL if self._may(person, VIEW_ALL_DATA) else NOTHING)

    def views_encrypted(self, person: Person) -> bool:
        """Not even an administrator does so unasked ("View Encrypted Data")."""
        return self._may(person, VIEW_ENCRYPTED)

    def views_setup(self, person: Person) -> bool:
        """Whether *person* may look at how the org is set up."""
        return person.administrator or self._may(person, VIEW_SETUP)

    def hears(self, person: Person, sobject: Sobject) -> bool:
        """Whether change events of the object reach *person* ("Required Permissions for Change Event Subscribers")."""
        return self.grant(person, sobject.name).view_all

    def hears_anything(self, person: Person) -> bool:
        return any(self.hears(person, one) for one in self._store.schema.objects.values() if one.tracked)

    def sees(self, person: Person, sobject: Sobject, row: Row) -> bool:
        """Whether sharing shows them the record."""
        grant = self.grant(person, sobject.name)
        return grant.view_all or self._shared(person, sobject, row, edit=False)

    def visible(self, person: Person, sobject: Sobject, rows: Iterator[Row]) -> Iterator[Row]:
        return (row for row in rows if self.sees(person, sobject, row))

    def edits(self, person: Person, sobject: Sobject, row: Row) -> bool:
        """Whether rights and sharing let them write the record."""
        grant = self.grant(person, sobject.name)
        return grant.edit and (grant.modify_all or self._shared(person, sobject, row, edit=True))

    def of_records(self, person: Person) -> Iterator[Row]:
        """What *person* may do with each record of a clinic, as rows of `UserRecordAccess`."""
        for sobject in self._store.schema.objects.values():
            if sobject.tracked:
                for row in self._store.rows(sobject):
                    read = self.sees(person, sobject, row)
                    may = {"HasReadAccess": read, "HasEditAccess": read and self.edits(person, sobject, row)}
                    yield {"Id": row["Id"], "UserId": person.id, "RecordId": row["Id"], **may}

    def get(self, person: Person, sobject: Sobject, record_id: str) -> Row:
        """The live row as *person* may find it; NOT_FOUND for one that is not shared with them."""
        row = self._store.get(sobject, record_id)
        if not self.sees(person, sobject, row):
            raise not_found()
        return row

    def begin(self, person: Person, origin: str | None) -> Transaction:
        """A transaction in which sharing and the custom permissions of *person* count."""

        def may_change(sobject: Sobject, row: Row) -> None:
            if not self.sees(person, sobject, row):
                raise not_found()
            if self._store.locked[str(row["Id"])]:
                self._store.locked[str(row["Id"])] -= 1
                raise locked(str(row["Id"]))
            if not self.edits(person, sobject, row):
                raise ApiError("INSUFFICIENT_ACCESS_OR_READONLY", "insufficient access rights on object id", fields=[])

        return Transaction(
            self._store, person.id, origin, permissions=self.custom_permissions(person), may_change=may_change
        )

    def custom_permissions(self, person: Person) -> frozenset[str]:
        return frozenset().union(*(one.custom_permissions for one in self._of(person).sets))

    def _may(self, person: Person, user_permission: str) -> bool:
        return any(user_permission in one.user_permissions for one in self._of(person).sets)

    def _view(self, person: Person, full: Sobject) -> Sobject | None:
        grant, rights = self.grant(person, full.name), self._of(person)
        if not grant.read:
            return None

        def seen(f: Field) -> Field | None:
            if f.required or not f.name.endswith("__c"):  # required and standard fields have no field-level security
                return f
            name = f"{full.name}.{f.name}"
            if not rights.has_field(name, editable=False):
                return None
            return f if rights.has_field(name, editable=True) else replace(f, editable=False)

        return replace(
            full,
            fields={name: f for name, f in ((n, seen(f)) for n, f in full.fields.items()) if f is not None},
            creatable=full.creatable and grant.create,
            updatable=full.updatable and grant.edit,
            deletable=full.deletable and grant.delete,
        )

    def _shared(self, person: Person, sobject: Sobject, row: Row, *, edit: bool) -> bool:
        if not sobject.private or row.get("OwnerId") == person.id:
            return True
        return any(
            rule.object_name == sobject.name and rule.group in self._of(person).groups and (rule.edit or not edit)
            for rule in self._setup.shared
        )

    def _of(self, person: Person) -> _Rights:
        if person.id not in self._rights:
            sets = {str(row["Id"]): str(row["Name"]) for row in self._store.rows(PERMISSION_SET)}
            given = {sets.get(str(row["PermissionSetId"])) for row in self._rows_of(ASSIGNMENT, "AssigneeId", person)}
            groups = {str(row["Id"]): str(row["DeveloperName"]) for row in self._store.rows(GROUP)}
            joined = {
                groups.get(str(row["GroupId"]), "") for row in self._rows_of(GROUP_MEMBER, "UserOrGroupId", person)
            }
            self._rights[person.id] = _Rights(
                sets=tuple(one for one in self._setup.permission_sets if one.name in given), groups=frozenset(joined)
            )
        return self._rights[person.id]

    def _rows_of(self, sobject: Sobject, member: str, person: Person) -> Iterator[Row]:
        return (row for row in self._store.rows(sobject) if row[member] == person.id)

    def _look(self, commit: Commit) -> None:
        if any(saved.sobject.name in {ASSIGNMENT.name, GROUP_MEMBER.name} for saved in commit.saved):
            self._forget()

    def _forget(self) -> None:
        self._rights.clear()
        self._views.clear()
