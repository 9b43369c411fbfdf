"""The objects this org starts with: the intake record `Patient__c`; User and Organization for clients that log in."""

from listener.standin.schema import Field, FieldType, Schema, Sobject, by_name

T = FieldType

RELATIONSHIPS = ("Mother", "Father", "Grandparent", "Foster Parent", "Legal Guardian", "Other")
INSURANCE_TYPES = ("Commercial", "Medicaid", "Medicare", "TRICARE", "Self Pay", "Other")
SYNC_STATES = ("Not Ready", "Pending", "In Progress", "Synced", "Retrying", "Needs Attention")
ERROR_CODES = (
    "Missing field",
    "Duplicate patient",
    "Portal login",
    "Portal page changed",
    "Portal down",
    "Rejected value",
    "Other",
)


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


PATIENT = Sobject(
    name="Patient__c",
    label="Patient",
    plural="Patients",
    key_prefix="a0P",
    tracked=True,
    fields=by_name(
        (
            *system_fields(),
            Field(name="Name", label="Patient Number", length=80, auto_number="PT-{000000}"),
            Field(name="First_Name__c", label="First Name", length=80, required=True),
            Field(name="Middle_Name__c", label="Middle Name", length=80),
            Field(name="Last_Name__c", label="Last Name", length=80, required=True),
            Field(name="Preferred_Name__c", label="Preferred Name", length=80),
            Field(name="Full_Name__c", label="Full Name", length=1300, formula='First_Name__c & " " & Last_Name__c'),
            Field(name="Date_of_Birth__c", label="Date of Birth", type=T.DATE),
            Field(name="SSN__c", label="SSN", type=T.ENCRYPTED, length=11),
            Field(
                name="Gender__c",
                label="Gender",
                type=T.PICKLIST,
                length=255,
                values=("Female", "Male", "Nonbinary", "Unknown"),
                restricted=True,
            ),
            Field(
                name="Location__c",
                label="Location",
                type=T.PICKLIST,
                length=255,
                values=("Main Clinic", "North Clinic", "Telehealth"),
            ),
            Field(name="Guardian_First_Name__c", label="Guardian First Name", length=80),
            Field(name="Guardian_Last_Name__c", label="Guardian Last Name", length=80),
            Field(
                name="Guardian_Relationship__c",
                label="Guardian Relationship",
                type=T.PICKLIST,
                length=255,
                values=RELATIONSHIPS,
            ),
            Field(name="Guardian_Street__c", label="Guardian Street", type=T.TEXTAREA, length=255),
            Field(name="Guardian_City__c", label="Guardian City", length=80),
            Field(name="Guardian_State__c", label="Guardian State", length=2),
            Field(name="Guardian_Postal_Code__c", label="Guardian Postal Code", length=20),
            Field(name="Guardian_Phone__c", label="Guardian Phone", type=T.PHONE, length=40),
            Field(name="Guardian_Email__c", label="Guardian Email", type=T.EMAIL, length=80),
            Field(
                name="Insurance_Type__c", label="Insurance Type", type=T.PICKLIST, length=255, values=INSURANCE_TYPES
            ),
            Field(name="Insurance_Payer__c", label="Insurance Payer", length=80),
            Field(name="Insurance_Id_Number__c", label="Insurance ID Number", length=40),
            Field(name="Presenting_Concerns__c", label="Presenting Concerns", type=T.TEXTAREA, length=32768),
            Field(name="Case_Notes__c", label="Case Notes", type=T.TEXTAREA, length=131072),
            Field(name="Ready_for_Fusion__c", label="Ready for Fusion", type=T.BOOLEAN, default=False),
            Field(name="Fusion_Web_Id__c", label="Fusion Web ID", length=40, unique=True, external_id=True),
            Field(
                name="Fusion_Sync_Status__c",
                label="Fusion Sync Status",
                type=T.PICKLIST,
                length=255,
                values=SYNC_STATES,
                restricted=True,
                default="Not Ready",
            ),
            Field(
                name="Fusion_Sync_Error_Code__c",
                label="Fusion Sync Error Code",
                type=T.PICKLIST,
                length=255,
                values=ERROR_CODES,
            ),
            Field(name="Fusion_Sync_Error__c", label="Fusion Sync Error", type=T.TEXTAREA, length=255),
            Field(name="Fusion_Synced_At__c", label="Fusion Synced At", type=T.DATETIME),
            Field(name="Fusion_Last_Attempt_At__c", label="Fusion Last Attempt At", type=T.DATETIME),
            Field(name="Fusion_Sync_Attempts__c", label="Fusion Sync Attempts", type=T.DOUBLE, precision=4, default=0),
            Field(name="Fusion_Resync_Requested__c", label="Fusion Resync Requested", type=T.BOOLEAN, default=False),
        )
    ),
)

USER = Sobject(
    name="User",
    label="User",
    plural="Users",
    key_prefix="005",
    writable=False,
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
    writable=False,
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


def clinic_schema() -> Schema:
    """The schema of the clinic's org."""
    return Schema((PATIENT, USER, ORGANIZATION))
