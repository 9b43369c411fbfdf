"""Faults in lists, pages, flows and reports, and secrets in files."""

from tests.sfdx.planting import (
    ACTION,
    ATTENTION,
    BOARD,
    LAYOUT,
    NOTIFY,
    OBJECT,
    PAGE,
    PATH,
    QUEUE,
    STUCK,
    TYPE,
    Fault,
)

FAULTS: dict[str, Fault] = {
    "a list has a missing column": (
        ATTENTION,
        "<columns>Location__c",
        "<columns>Clinic__c",
        "names Clinic__c, which does not exist",
    ),
    "a list asks for a missing value": (
        ATTENTION,
        "<value>Needs Attention",
        "<value>Needs Atention",
        'filters by Fusion_Sync_Status__c = "Needs Atention"',
    ),
    "a list filters by the SSN": (
        ATTENTION,
        "<field>Fusion_Sync_Status__c",
        "<field>SSN__c",
        "no filter may hold EncryptedText",
    ),
    "the path misses a step": (
        PATH,
        "<picklistValueName>Retrying",
        "<picklistValueName>Trying",
        'has no step for "Retrying"',
    ),
    "paths are off": ("settings/PathAssistant.settings-meta.xml", ">true<", ">false<", "needs paths switched on"),
    "the object opens a missing page": (
        f"{OBJECT}/Patient__c.object-meta.xml",
        "<content>Patient_Record_Page",
        "<content>Patient_Page",
        "opens the page Patient_Page",
    ),
    # pages
    "the layout shows a missing field": (
        LAYOUT,
        "<field>Gender__c",
        "<field>Sex__c",
        "shows Sex__c, which does not exist",
    ),
    "the layout leaves out a required field": (
        LAYOUT,
        "<field>First_Name__c",
        "<field>Fusion_Sync_Indicator__c",
        "leaves out First_Name__c, which is required",
    ),
    "the page waits for a missing value": (
        PAGE,
        "<rightValue>Needs Attention",
        "<rightValue>Failed",
        'waits for Fusion_Sync_Status__c = "Failed"',
    ),
    "the page has a hole": (PAGE, "<value>Facet-attention-columns", "<value>Facet-attention-column", "without a place"),
    "the page holds code of ours": (
        PAGE,
        "<componentName>force:detailPanel",
        "<componentName>c:patientBanner",
        "a component that is not Salesforce's own",
    ),
    "the action sets a missing field": (
        ACTION,
        "<field>Fusion_Resync_Requested__c",
        "<field>Resync__c",
        "names Resync__c, which does not exist",
    ),
    "the app shows a missing tab": (
        "applications/Fusion_Sync.app-meta.xml",
        "<tabs>Patient__c",
        "<tabs>Intake__c",
        "shows the tab Intake__c",
    ),
    # flows
    "a flow sets a missing field": (
        QUEUE,
        "$Record.Fusion_Queued_At__c",
        "$Record.Queued_At__c",
        "names $Record.Queued_At__c, which does not exist",
    ),
    "a flow sets a missing value": (
        QUEUE,
        "<stringValue>Pending",
        "<stringValue>Queued",
        'sets or asks Fusion_Sync_Status__c = "Queued"',
    ),
    "a flow leads nowhere": (
        QUEUE,
        "<targetReference>Queue",
        "<targetReference>Enqueue",
        "leads to Enqueue, which does not exist",
    ),
    "a flow queues our own writes": (
        QUEUE,
        "NOT({!$Permission.Fusion_Sync_Integration})",
        "TRUE",
        "each would queue its record again",
    ),
    "a flow overlooks a sent field": (
        QUEUE,
        "        ISCHANGED({!$Record.Gender__c}),\n",
        "",
        "does not queue a record when Gender__c changes",
    ),
    "a flow rings no bell": (
        NOTIFY,
        "<stringValue>Fusion_Needs_Attention",
        "<stringValue>Fusion_Attention",
        "looks for the notification type Fusion_Attention",
    ),
    "a flow is off": (NOTIFY, "<status>Active", "<status>Draft", "is not active"),
    # reports
    "a report has a missing column": (
        STUCK,
        "Patient__c$Fusion_Queued_At__c",
        "Patient__c$Queued__c",
        "which its report type does not have",
    ),
    "a report groups by a column": (
        STUCK,
        "<field>Patient__c$Name",
        "<field>Patient__c$Fusion_Sync_Status__c",
        "and has it as a column, too",
    ),
    "a report is of a missing type": (
        STUCK,
        "<reportType>Patients_and_Fusion_Sync__c",
        "<reportType>Patients__c",
        "is of the type Patients__c",
    ),
    "the SSN is reported on": (TYPE, "<field>Gender__c", "<field>SSN__c", "encrypted text cannot be reported on"),
    "a dashboard shows a missing report": (
        BOARD,
        "<report>Fusion_Sync/Stuck_over_1_Hour",
        "<report>Fusion_Sync/Stuck",
        "shows the report Fusion_Sync/Stuck,",
    ),
    # secrets
    "a key is checked in": (QUEUE, "Before save:", "-----BEGIN RSA PRIVATE KEY-----", "holds a certificate or key"),
    "somebody's address is checked in": (
        QUEUE,
        "Before save:",
        "Ask ann@clinic.org. Before save:",
        "holds somebody's mail address",
    ),
}
