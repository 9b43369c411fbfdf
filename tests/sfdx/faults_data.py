"""Faults in objects, fields, formulas, access and the channel."""

from tests.sfdx.planting import (
    INTAKE,
    LISTENER,
    MEMBER,
    OBJECT,
    QUEUE,
    RULE,
    WORKER,
    Fault,
    field,
)

FIRST = "    <hasActivationRequired>"


def shown(name: str, editable: str = "false") -> str:
    """A field permission, as it stands in a permission set."""
    return (
        f"    <fieldPermissions>\n        <editable>{editable}</editable>\n        <field>Patient__c.{name}</field>\n"
        "        <readable>true</readable>\n    </fieldPermissions>\n"
    )


FAULTS: dict[str, Fault] = {
    # structure
    "a file is called otherwise than its component": (
        field("SSN__c"),
        "<fullName>SSN__c",
        "<fullName>Ssn__c",
        "calls itself Ssn__c",
    ),
    "a flow is of another version": (QUEUE, "<apiVersion>66.0", "<apiVersion>61.0", "is of API version 61.0"),
    # fields
    "a text area has a length": (
        field("Guardian_Street__c"),
        "    <required>",
        "    <length>255</length>\n    <required>",
        "takes no length",
    ),
    "encrypted text is too long": (field("SSN__c"), "<length>11<", "<length>300<", "its length is 1 to 175"),
    "encrypted text is an external id": (
        field("SSN__c"),
        "    <inlineHelpText>",
        "    <externalId>true</externalId>\n    <inlineHelpText>",
        "can be neither unique",
    ),
    "history of the SSN is kept": (
        field("SSN__c"),
        "    <type>",
        "    <trackHistory>true</trackHistory>\n    <type>",
        "its history must not be kept",
    ),
    "long text has no lines": (field("Case_Notes__c"), "    <visibleLines>8</visibleLines>\n", "", "and visibleLines"),
    "text is too long": (field("First_Name__c"), "<length>80<", "<length>256<", "has a length of 1 to 255"),
    "a formula is required": (
        field("Full_Name__c"),
        "<required>false<",
        "<required>true<",
        "is a formula, so it can be",
    ),
    "nobody says what a field is for": (
        field("Gender__c"),
        "inlineHelpText>",
        "customDataType>",
        "has no inlineHelpText",
    ),
    "a patient's field is public": (field("Gender__c"), ">Restricted<", ">Public<", "but classified as Public"),
    "a value is offered twice": (field("Gender__c"), "<fullName>Male<", "<fullName>Female<", 'offers "Female" twice'),
    "a checkbox has no default": (
        field("Ready_for_Fusion__c"),
        "    <defaultValue>false</defaultValue>\n",
        "",
        "Checkbox without a default",
    ),
    "everyone sees all patients": (
        f"{OBJECT}/Patient__c.object-meta.xml",
        "<sharingModel>Private",
        "<sharingModel>ReadWrite",
        "is not Private",
    ),
    # formulas
    "a rule names a missing field": (
        RULE,
        "ISBLANK(Date_of_Birth__c)",
        "ISBLANK(Birth_Date__c)",
        "names Birth_Date__c, which does not exist",
    ),
    "a rule does not close": (
        RULE,
        "ISBLANK(Date_of_Birth__c)",
        "ISBLANK(Date_of_Birth__c",
        "does not close a parenthesis",
    ),
    "a rule reads the SSN": (RULE, "ISBLANK(Date_of_Birth__c)", "ISBLANK(SSN__c)", "no formula may hold EncryptedText"),
    "a rule asks for a missing permission": (
        RULE,
        "$Permission.Fusion_Sync_Integration",
        "$Permission.Fusion_Sync",
        "a custom permission that does not exist",
    ),
    "a rule calls what does not exist": (RULE, "ISBLANK(", "ISEMPTY(", "calls ISEMPTY"),
    "a rule shows at a missing field": (
        RULE,
        "<errorDisplayField>Date_of_Birth__c",
        "<errorDisplayField>DOB__c",
        "shows its message at DOB__c",
    ),
    "a formula asks for a missing value": (
        field("Fusion_Needs_Attention__c"),
        "Needs Attention&quot;",
        "Needs attention&quot;",
        'is "Needs attention", which it does not offer',
    ),
    "a formula takes a picklist for text": (
        field("Full_Name__c"),
        "&amp; Last_Name__c",
        "&amp; Gender__c",
        "uses the picklist Gender__c as if it were text",
    ),
    "a formula asks what changed": (
        field("Full_Name__c"),
        "First_Name__c &amp;",
        "PRIORVALUE(First_Name__c) &amp;",
        "which only a save can answer",
    ),
    # access
    "access to a missing field": (
        INTAKE,
        FIRST,
        shown("Nickname__c") + FIRST,
        "names Patient__c.Nickname__c, which does not exist",
    ),
    "access to a required field": (INTAKE, FIRST, shown("First_Name__c") + FIRST, "a required field is always visible"),
    "a formula may be edited": (INTAKE, shown("Full_Name__c"), shown("Full_Name__c", "true"), "which is a formula"),
    "the listener sees a patient": (
        LISTENER,
        FIRST,
        shown("Date_of_Birth__c") + FIRST,
        "shows Date_of_Birth__c to the listener",
    ),
    "the worker may read patients and not write to them": (
        "sharingRules/Patient__c.sharingRules-meta.xml",
        "<accessLevel>Edit",
        "<accessLevel>Read",
        "no sharing rule lets fusion-sync write",
    ),
    "patients are shared with nobody": (
        "sharingRules/Patient__c.sharingRules-meta.xml",
        "<group>Fusion_Sync",
        "<group>Fusion_Syncs",
        "which does not exist",
    ),
    "the listener does not see all records": (
        LISTENER,
        "<viewAllRecords>true",
        "<viewAllRecords>false",
        "no change event would arrive",
    ),
    "the worker does not see a sent field": (
        WORKER,
        shown("Gender__c"),
        "",
        "does not show Gender__c, which the mapping sends",
    ),
    "the worker gets the SSN masked": (WORKER, "ViewEncryptedData", "ApiEnabled", "would arrive masked"),
    "the worker may edit a patient": (WORKER, shown("Gender__c"), shown("Gender__c", "true"), "which is people's"),
    "the worker may delete": (WORKER, "<allowDelete>false", "<allowDelete>true", "has allowDelete"),
    "the front desk may see everything": (
        INTAKE,
        "</PermissionSet>",
        "<userPermissions><enabled>true</enabled><name>ViewAllData</name></userPermissions></PermissionSet>",
        "gives ViewAllData",
    ),
    "the front desk is taken for the sync": (
        INTAKE,
        FIRST,
        "    <customPermissions><enabled>true</enabled><name>Fusion_Sync_Integration</name></customPermissions>\n"
        + FIRST,
        "marks its users as the integration user",
    ),
    "a level without what it stands on": (INTAKE, "<allowRead>true", "<allowRead>false", "without allowRead"),
    "a tab that does not exist": (INTAKE, "<tab>Patient__c", "<tab>Patients__c", "gives the CustomTab Patients__c"),
    # channel
    "long text is enriched": (
        MEMBER,
        "<name>Fusion_Web_Id__c",
        "<name>Case_Notes__c",
        "not possible with LongTextArea",
    ),
    "a missing field is enriched": (
        MEMBER,
        "<name>Fusion_Web_Id__c",
        "<name>Fusion_Id__c",
        "enriches Fusion_Id__c, which does not exist",
    ),
    "too many fields are enriched": (
        MEMBER,
        "    <eventChannel>",
        "    <enrichedFields><name>Gender__c</name></enrichedFields>\n" * 9 + "    <eventChannel>",
        "enriches 11 fields",
    ),
    "a filter names a missing field": (
        MEMBER,
        "Ready_for_Fusion__c = true",
        "Ready__c = true",
        "filters by Ready__c, which does not exist",
    ),
    "a filter lets unfinished records through": (
        MEMBER,
        "Ready_for_Fusion__c = true",
        "Ready_for_Fusion__c = false",
        "lets records through that are not ready",
    ),
    "a filter is a query": (
        MEMBER,
        "(Ready_for_Fusion__c = true)",
        "WHERE Ready_for_Fusion__c = true",
        "has a filter that cannot be read",
    ),
    "a member of no channel": (
        MEMBER,
        "<eventChannel>FusionSync__chn",
        "<eventChannel>Fusion__chn",
        "belongs to Fusion__chn",
    ),
    "a member of no object": (
        MEMBER,
        "Patient__ChangeEvent",
        "Patients__ChangeEvent",
        "which no object of the project emits",
    ),
}
