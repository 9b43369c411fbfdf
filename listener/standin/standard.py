"""The objects every org has, as far as clients of ours ask for them; those of a clinic come of deployed metadata."""

from listener.standin.schema import Field, FieldType, Row, Schema, Sobject, Value, by_name

T = FieldType


def system_fields(*, owner: bool = True) -> tuple[Field, ...]:
    """Fields every record has and only the org writes ("Object Reference: System Fields")."""
    who = ("User",)
    return (
        Field(name="Id", label="Record ID", type=T.ID, length=18, system=True),
        *((Field(name="OwnerId", label="Owner ID", type=T.REFERENCE, length=18, refers_to=who),) if owner else ()),
        Field(name="IsDeleted", label="Deleted", type=T.BOOLEAN, system=True, default=False),
        Field(name="CreatedDate", label="Created Date", type=T.DATETIME, system=True),
        Field(name="CreatedById", label="Created By ID", type=T.REFERENCE, length=18, system=True, refers_to=who),
        Field(name="LastModifiedDate", label="Last Modified Date", type=T.DATETIME, system=True),
        Field(name="LastModifiedById", label="Modified By ID", type=T.REFERENCE, length=18, system=True, refers_to=who),
        Field(name="SystemModstamp", label="System Modstamp", type=T.DATETIME, system=True),
    )


def _full_name(row: Row) -> Value:
    return " ".join(str(row[part]) for part in ("FirstName", "LastName") if row.get(part)) or None


USER = Sobject(
    name="User",
    label="User",
    plural="Users",
    key_prefix="005",
    creatable=False,
    updatable=False,
    deletable=False,
    fields=by_name(
        (
            *system_fields(owner=False),
            Field(name="Username", label="Username", length=80),
            Field(name="FirstName", label="First Name", length=40, compound=("Name", "FirstName")),
            Field(name="LastName", label="Last Name", length=80, compound=("Name", "LastName")),
            Field(name="Name", label="Full Name", length=121),
            Field(name="Email", label="Email", type=T.EMAIL, length=128),
            Field(name="IsActive", label="Active", type=T.BOOLEAN, default=True),
        )
    ),
)

# What `sf` and jsforce ask for at log-in: Organization by query, User by id.
ORGANIZATION = Sobject(
    name="Organization",
    label="Organization",
    plural="Organizations",
    key_prefix="00D",
    creatable=False,
    updatable=False,
    deletable=False,
    fields=by_name(
        (
            *system_fields(owner=False),
            Field(name="Name", label="Name", length=80),
            Field(name="InstanceName", label="Instance Name", length=5),
            Field(name="IsSandbox", label="Is Sandbox", type=T.BOOLEAN, default=False),
            Field(name="OrganizationType", label="Edition", type=T.PICKLIST, length=40),
            Field(name="NamespacePrefix", label="Namespace Prefix", length=15),
            Field(name="TrialExpirationDate", label="Trial Expiration Date", type=T.DATETIME),
        )
    ),
)


# What `sf org assign permset` and `permsetlicense` ask for and write; who is in a public group.
PERMISSION_SET = Sobject(
    name="PermissionSet",
    label="Permission Set",
    plural="Permission Sets",
    key_prefix="0PS",
    creatable=False,
    updatable=False,
    deletable=False,
    fields=by_name(
        (
            *system_fields(owner=False),
            Field(name="Name", label="Permission Set Name", length=80),
            Field(name="Label", label="Permission Set Label", length=80),
            Field(name="NamespacePrefix", label="Namespace Prefix", length=15),
            Field(name="PermissionsViewAllData", label="View All Data", type=T.BOOLEAN, default=False),
            Field(name="PermissionsViewEncryptedData", label="View Encrypted Data", type=T.BOOLEAN, default=False),
        )
    ),
)

# A permission set's rights on one object, a row each; found by the permission set, `ParentId`.
OBJECT_PERMISSIONS = Sobject(
    name="ObjectPermissions",
    label="Object Permissions",
    plural="Object Permissions",
    key_prefix="110",
    creatable=False,
    updatable=False,
    deletable=False,
    fields=by_name(
        (
            *system_fields(owner=False),
            Field(name="ParentId", label="Parent ID", type=T.REFERENCE, length=18, refers_to=("PermissionSet",)),
            Field(name="SobjectType", label="Sobject Type Name", type=T.PICKLIST, length=40),
            *(
                Field(name=f"Permissions{right}", label=f"Allow {right}", type=T.BOOLEAN, default=False)
                for right in ("Create", "Read", "Edit", "Delete", "ViewAllRecords", "ModifyAllRecords")
            ),
        )
    ),
)

# Not kept but worked out for who asks, of themselves: may they read and write that record ("UserRecordAccess")?
RECORD_ACCESS = Sobject(
    name="UserRecordAccess",
    label="User Record Access",
    plural="User Record Access",
    key_prefix="0UR",
    creatable=False,
    updatable=False,
    deletable=False,
    fields=by_name(
        (
            Field(name="Id", label="Record ID", type=T.ID, length=18, system=True),
            Field(name="UserId", label="User ID", type=T.REFERENCE, length=18, refers_to=("User",)),
            Field(name="RecordId", label="Record ID", type=T.REFERENCE, length=18),
            Field(name="HasReadAccess", label="Has Read Access", type=T.BOOLEAN),
            Field(name="HasEditAccess", label="Has Edit Access", type=T.BOOLEAN),
        )
    ),
)

PERMISSION_SET_LICENSE = Sobject(
    name="PermissionSetLicense",
    label="Permission Set License",
    plural="Permission Set Licenses",
    key_prefix="0PL",
    creatable=False,
    updatable=False,
    deletable=False,
    fields=by_name(
        (
            *system_fields(owner=False),
            Field(name="DeveloperName", label="Permission Set License Name", length=80),
            Field(name="MasterLabel", label="Permission Set License Label", length=80),
            Field(name="Status", label="Status", type=T.PICKLIST, length=40, default="Active"),
        )
    ),
)

GROUP = Sobject(
    name="Group",
    label="Group",
    plural="Groups",
    key_prefix="00G",
    creatable=False,
    updatable=False,
    deletable=False,
    fields=by_name(
        (
            *system_fields(owner=False),
            Field(name="DeveloperName", label="Developer Name", length=80),
            Field(name="Name", label="Name", length=40),
            Field(name="Type", label="Type", type=T.PICKLIST, length=40, default="Regular"),
        )
    ),
)


def _membership(name: str, label: str, key_prefix: str, member: str, of: str, of_object: str) -> Sobject:
    """A row says that a user has something, or is in it; the same pair twice is refused."""
    return Sobject(
        name=name,
        label=label,
        plural=f"{label}s",
        key_prefix=key_prefix,
        updatable=False,
        fields=by_name(
            (
                *system_fields(owner=False),
                Field(name=member, label="User ID", type=T.REFERENCE, length=18, required=True, refers_to=("User",)),
                Field(name=of, label=label, type=T.REFERENCE, length=18, required=True, refers_to=(of_object,)),
            )
        ),
        once=(member, of),
    )


ASSIGNMENT = _membership(
    "PermissionSetAssignment", "Permission Set Assignment", "0Pa", "AssigneeId", "PermissionSetId", "PermissionSet"
)
LICENSE_ASSIGNMENT = _membership(
    "PermissionSetLicenseAssign",
    "Permission Set License Assignment",
    "2LA",
    "AssigneeId",
    "PermissionSetLicenseId",
    "PermissionSetLicense",
)
GROUP_MEMBER = _membership("GroupMember", "Group Member", "011", "UserOrGroupId", "GroupId", "Group")

# Of one that was merged away, the one that was kept.
_MASTER = Field(name="MasterRecordId", label="Master Record ID", type=T.REFERENCE, length=18, system=True)

ACCOUNT = Sobject(
    name="Account",
    label="Account",
    plural="Accounts",
    key_prefix="001",
    fields=by_name((*system_fields(), _MASTER, Field(name="Name", label="Account Name", length=255, required=True))),
)

CONTACT = Sobject(
    name="Contact",
    label="Contact",
    plural="Contacts",
    key_prefix="003",
    fields=by_name(
        (
            *system_fields(),
            _MASTER,
            Field(name="FirstName", label="First Name", length=40, compound=("Name", "FirstName")),
            Field(name="LastName", label="Last Name", length=80, required=True, compound=("Name", "LastName")),
            Field(name="Name", label="Full Name", length=121, formula=_full_name),
            *(
                Field(name=f"Mailing{part}", label=f"Mailing {part}", length=length, compound=("MailingAddress", part))
                for part, length in (("Street", 255), ("City", 40), ("State", 80), ("PostalCode", 20))
            ),
            Field(name="Birthdate", label="Birthdate", type=T.DATE),
            Field(name="Phone", label="Business Phone", type=T.PHONE, length=40),
            Field(name="Email", label="Email", type=T.EMAIL, length=80),
        )
    ),
)


def standard_schema() -> Schema:
    """The schema of an org to which nothing was deployed yet."""
    return Schema(
        (
            USER,
            ORGANIZATION,
            PERMISSION_SET,
            OBJECT_PERMISSIONS,
            RECORD_ACCESS,
            ASSIGNMENT,
            PERMISSION_SET_LICENSE,
            LICENSE_ASSIGNMENT,
            GROUP,
            GROUP_MEMBER,
            ACCOUNT,
            CONTACT,
        )
    )
