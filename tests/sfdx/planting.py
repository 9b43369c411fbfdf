"""Planting one fault in a copy of the package, and names of the files that are worth one."""

from collections.abc import Callable
from pathlib import Path

from tests.sfdx.package import Project
from tests.sfdx.rules import findings

OBJECT = "objects/Patient__c"
FIELDS = f"{OBJECT}/fields"
MEMBER = "platformEventChannelMembers/FusionSync_chn_Patient_ChangeEvent.platformEventChannelMember-meta.xml"
QUEUE = "flows/Fusion_Queue_Patient.flow-meta.xml"
NOTIFY = "flows/Fusion_Notify_Owner.flow-meta.xml"
LISTENER = "permissionsets/Fusion_Sync_Listener.permissionset-meta.xml"
WORKER = "permissionsets/Fusion_Sync_Integration.permissionset-meta.xml"
INTAKE = "permissionsets/Patient_Intake_User.permissionset-meta.xml"
LAYOUT = "layouts/Patient__c-Patient Layout.layout-meta.xml"
PAGE = "flexipages/Patient_Record_Page.flexipage-meta.xml"
PATH = "pathAssistants/Patient_Fusion_Path.pathAssistant-meta.xml"
ACTION = "quickActions/Patient__c.Resync_to_Fusion.quickAction-meta.xml"
TYPE = "reportTypes/Patients_and_Fusion_Sync.reportType-meta.xml"
STUCK = "reports/Fusion_Sync/Stuck_over_1_Hour.report-meta.xml"
BOARD = "dashboards/Fusion_Sync/Fusion_Sync_Overview.dashboard-meta.xml"
ATTENTION = f"{OBJECT}/listViews/Fusion_Needs_Attention.listView-meta.xml"
RULE = f"{OBJECT}/validationRules/Ready_Needs_Birth_Date.validationRule-meta.xml"


Fault = tuple[str, str, str, str]
"""The file, what stands there, what somebody made of it, and a part of the finding that must come of it."""


def field(name: str) -> str:
    """The file of a field."""
    return f"{FIELDS}/{name}.field-meta.xml"


def replacing(old: str, new: str) -> Callable[[Path], None]:
    """Puts *new* where *old* stands; a test cannot pass because the fault was never planted."""

    def change(path: Path) -> None:
        text = path.read_text()
        assert old in text, f"{old!r} does not stand in {path.name}"
        path.write_text(text.replace(old, new))

    return change


def found_after(copy: tuple[Path, Path], path: Path, change: Callable[[Path], object]) -> str:
    """All findings, a line each, once *change* was done to one file of the copy."""
    folder, mapping = copy
    change(path)
    return "\n".join(str(one) for one in findings(Project.read(folder, mapping)))
