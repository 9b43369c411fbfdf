"""What is in the org from its first day: the clinic, its licence, its people and the rights they were given."""

from dataclasses import dataclass

from listener.standin.metadata.archive import unpack
from listener.standin.metadata.grants import VIEW_ALL_DATA, VIEW_ENCRYPTED
from listener.standin.metadata.setup import Setup
from listener.standin.people import Person
from listener.standin.schema import Row
from listener.standin.standard import (
    ASSIGNMENT,
    GROUP,
    GROUP_MEMBER,
    OBJECT_PERMISSIONS,
    ORGANIZATION,
    PERMISSION_SET,
    PERMISSION_SET_LICENSE,
    USER,
)
from listener.standin.store import Store
from listener.standin.transaction import Transaction


@dataclass(frozen=True, slots=True, kw_only=True)
class _Role:
    """A user, the permission sets of the package that `install.sh` or an administrator gives them, and their groups."""

    sets: tuple[str, ...]
    groups: tuple[str, ...] = ()
    administrator: bool = False


#: `integration` is what the package's installer makes of one user; `intake` is the front desk.
ROLES = {
    "integration": _Role(
        sets=("Fusion_Sync_Integration", "Fusion_Sync_Listener", "Fusion_Sync_Doctor"), groups=("Fusion_Sync",)
    ),
    "intake": _Role(sets=("Patient_Intake_User",)),
    "admin": _Role(sets=("Fusion_Sync_Admin",), administrator=True),
}


def found(store: Store) -> tuple[str, dict[str, Person]]:
    """The organization's id, and its people by short name."""
    clinic = {"Name": "Example Clinic", "InstanceName": "LOOP1", "OrganizationType": "Developer Edition"}
    store.seed(
        PERMISSION_SET_LICENSE,
        {"DeveloperName": "SalesforceAPIIntegrationPsl", "MasterLabel": "Salesforce API Integration"},
    )
    return store.seed(ORGANIZATION, clinic), {name: _person(store, name) for name in ROLES}


def deploy(setup: Setup, package: bytes) -> None:
    """Deploys what the org is made of. RuntimeError with what is wrong: without it the org is of no use to anybody."""
    failures = setup.deploy(unpack(package)).failures
    if failures:
        problems = [f"{one.component.name}: {one.problem}" for one in failures]
        raise RuntimeError("\n".join(["the package cannot be deployed", *problems]))


def show_setup(setup: Setup, store: Store) -> None:
    """Rows for the permission sets and groups that were deployed: by them clients find what to assign, and who may
    what. Each deploy writes them anew; permission sets keep their ids."""
    named = {str(row["Name"]): str(row["Id"]) for row in store.rows(PERMISSION_SET)}
    for stale in list(store.rows(OBJECT_PERMISSIONS)):
        store.purge(OBJECT_PERMISSIONS, str(stale["Id"]))
    for one in setup.permission_sets:
        may = {f"Permissions{name}": name in one.user_permissions for name in (VIEW_ALL_DATA, VIEW_ENCRYPTED)}
        told: Row = {"Name": one.name, "Label": one.label, **may}
        parent = store.seed(PERMISSION_SET, told, in_place_of=named.get(one.name))
        for object_name, grant in one.objects.items():
            store.seed(
                OBJECT_PERMISSIONS,
                {
                    "ParentId": parent,
                    "SobjectType": object_name,
                    "PermissionsCreate": grant.create,
                    "PermissionsRead": grant.read,
                    "PermissionsEdit": grant.edit,
                    "PermissionsDelete": grant.delete,
                    "PermissionsViewAllRecords": grant.view_all,
                    "PermissionsModifyAllRecords": grant.modify_all,
                },
            )
    grouped = {row["DeveloperName"] for row in store.rows(GROUP)}
    for name, label in setup.groups.items():
        if name not in grouped:
            store.seed(GROUP, {"DeveloperName": name, "Name": label})


def give_roles(store: Store, people: dict[str, Person]) -> None:
    """Assigns what the roles have, as far as it was deployed."""
    sets = {str(row["Name"]): str(row["Id"]) for row in store.rows(PERMISSION_SET)}
    groups = {str(row["DeveloperName"]): str(row["Id"]) for row in store.rows(GROUP)}
    change = Transaction(store, people["admin"].id, None)
    for name, role in ROLES.items():
        for one in (one for one in role.sets if one in sets):
            change.create(ASSIGNMENT, {"AssigneeId": people[name].id, "PermissionSetId": sets[one]})
        for one in (one for one in role.groups if one in groups):
            change.create(GROUP_MEMBER, {"UserOrGroupId": people[name].id, "GroupId": groups[one]})
    change.commit()


def _person(store: Store, name: str) -> Person:
    username, full = f"{name}@clinic.example.com", f"Clinic {name.title()}"
    values = {"Username": username, "Email": username, "FirstName": "Clinic", "LastName": name.title(), "Name": full}
    user_id = store.seed(USER, values)
    return Person(id=user_id, username=username, name=full, administrator=ROLES[name].administrator)
