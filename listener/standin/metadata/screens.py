"""What people see of an object (layouts, lists, pages, reports): kept by name, once every field in it exists.

None of it changes what a client of the API gets, so nothing more is made of it. Its shape is checked against
Salesforce's own schema by the package's tests.
"""

from listener.standin.metadata.archive import Component
from listener.standin.metadata.parts import Refused
from listener.standin.schema import Schema

#: Kinds whose fields belong to the object that they are named after.
OF_AN_OBJECT = {"CompactLayout", "Layout", "ListView", "QuickAction"}
FIELD_TAGS = {"columns", "field", "fields"}
#: Kinds that are taken as they are.
KEPT = OF_AN_OBJECT | {
    "CustomApplication",
    "CustomNotificationType",
    "CustomTab",
    "Dashboard",
    "DashboardFolder",
    "ExternalClientApplication",
    "ExtlClntAppGlobalOauthSettings",
    "ExtlClntAppOauthConfigurablePolicies",
    "ExtlClntAppOauthSettings",
    "FlexiPage",
    "PathAssistant",
    "Report",
    "ReportFolder",
    "ReportType",
    "Settings",
}


def check(component: Component, schema: Schema) -> None:
    """Raises Refused where a screen names an object or a custom field that the org has not."""
    object_name = {
        "CustomTab": component.name if component.yes("customObject") else "",
        "FlexiPage": component.text("sobjectType"),
        "Layout": component.name.partition("-")[0],
        "PathAssistant": component.text("entityName"),
        "ReportType": component.text("baseObject"),
    }.get(component.kind, component.object_name if component.kind in OF_AN_OBJECT else "")
    sobject = schema.find(object_name)
    if object_name and sobject is None:
        raise Refused(f"no CustomObject named {object_name} found")
    if sobject is None or component.kind not in OF_AN_OBJECT:
        return
    for element in component.xml.iter():
        name = (element.text or "").strip()
        if element.tag in FIELD_TAGS and name.endswith("__c") and sobject.find(name) is None:
            raise Refused(f"In field: {element.tag} - no CustomField named {object_name}.{name} found")
