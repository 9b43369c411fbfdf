"""What lies where: no code of ours in the org, and every file named as what it holds."""

from collections.abc import Iterator

from tests.sfdx.package import Finding, Project, files

SUFFIX = {
    "CompactLayout": "compactLayout",
    "CustomApplication": "app",
    "CustomField": "field",
    "CustomNotificationType": "notiftype",
    "CustomObject": "object",
    "CustomPermission": "customPermission",
    "CustomTab": "tab",
    "Dashboard": "dashboard",
    "DashboardFolder": "dashboardFolder",
    "ExternalClientApplication": "eca",
    "ExtlClntAppOauthSettings": "ecaOauth",
    "FlexiPage": "flexipage",
    "Flow": "flow",
    "Group": "group",
    "Layout": "layout",
    "ListView": "listView",
    "PathAssistant": "pathAssistant",
    "PathAssistantSettings": "settings",
    "PermissionSet": "permissionset",
    "PlatformEventChannel": "platformEventChannel",
    "PlatformEventChannelMember": "platformEventChannelMember",
    "QuickAction": "quickAction",
    "Report": "report",
    "ReportFolder": "reportFolder",
    "ReportType": "reportType",
    "SharingRules": "sharingRules",
    "ValidationRule": "validationRule",
}
"""Every kind that we ship, with the end of its file name. A kind that is not here is one that nobody has checked."""

_CODE = {"classes", "triggers", "lwc", "aura", "pages", "components", "staticresources"}


def findings(project: Project) -> Iterator[Finding]:
    """Code, unknown kinds, wrong names, and flows of another version than the project's."""
    for path in files(project.folder):
        if code := _CODE & set(path.relative_to(project.folder).parts):
            yield Finding(str(path.relative_to(project.folder)), f"is code of ours in the org ({code.pop()})")
    for one in project.components:
        suffix = one.path.name.removesuffix("-meta.xml").rpartition(".")[2]
        if one.kind not in SUFFIX:
            yield one.finding("is of a kind that no rule knows")
        elif suffix != SUFFIX[one.kind]:
            yield one.finding(f"has the suffix .{suffix}; its kind has .{SUFFIX[one.kind]}")
        if (full := one.text("fullName")) and full != one.short:
            yield one.finding(f"calls itself {full}")
        if one.kind == "Flow" and one.text("apiVersion") != project.api_version:
            yield one.finding(f"is of API version {one.text('apiVersion')}, the project of another")
        if one.kind in ("Report", "Dashboard") and not project.find(f"{one.kind}Folder", one.path.parent.name):
            yield one.finding(f"lies in {one.path.parent.name}, which has no {one.kind}Folder")
