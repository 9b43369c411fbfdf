"""Permission sets: what an org would refuse, and that each gives its user no more and no less than its work needs."""

import re
from collections.abc import Iterator

from tests.sfdx.package import Component, Finding, Project

LISTENER, WORKER, DOCTOR = "Fusion_Sync_Listener", "Fusion_Sync_Integration", "Fusion_Sync_Doctor"
_ALLOWED = {LISTENER: {"ApiEnabled"}, WORKER: {"ApiEnabled", "ViewEncryptedData"}, DOCTOR: {"ViewSetup"}}
_NEEDS = {  # "Object Permissions": what each level stands on
    "allowCreate": ("allowRead",),
    "allowEdit": ("allowRead",),
    "allowDelete": ("allowRead", "allowEdit"),
    "viewAllRecords": ("allowRead",),
    "modifyAllRecords": ("allowRead", "allowEdit", "allowDelete", "viewAllRecords"),
}


def findings(project: Project) -> Iterator[Finding]:
    """For every permission set its names and levels; for the two of the sync their extent."""
    for one in project.of("PermissionSet"):
        yield from _fields(project, one)
        yield from _levels(project, one)
        for kind, path in (
            ("CustomPermission", "customPermissions/name"),
            ("CustomApplication", "applicationVisibilities/application"),
            ("CustomTab", "tabSettings/tab"),
        ):
            for name in one.texts(path):
                if not project.find(kind, name):
                    yield one.finding(f"gives the {kind} {name}, which does not exist")
        for name in set(one.texts("userPermissions/name")) - _ALLOWED.get(one.name, set()):
            yield one.finding(f"gives {name}, which nobody here needs")
    for name in project.objects:
        shown = set().union(*(readable(one, name) for one in project.of("PermissionSet")))
        for facts in project.fields(name).values():
            if facts.custom and not facts.required and facts.name not in shown:
                yield Finding(name, f"has {facts.name}, which no permission set shows to anybody")
    yield from _listener(project)
    yield from _worker(project)


def readable(one: Component, object_name: str) -> set[str]:
    """Names of the fields of the object that the set shows."""
    return _named(one, object_name, "readable")


def _named(one: Component, object_name: str, level: str) -> set[str]:
    given = {
        part.findtext("field") or "" for part in one.xml.findall("fieldPermissions") if part.findtext(level) == "true"
    }
    return {name.removeprefix(f"{object_name}.") for name in given if name.startswith(f"{object_name}.")}


def _fields(project: Project, one: Component) -> Iterator[Finding]:
    seen: set[str] = set()
    for part in one.xml.findall("fieldPermissions"):
        name = part.findtext("field") or ""
        object_name, _, field_name = name.partition(".")
        facts = project.fields(object_name).get(field_name)
        if facts is None:
            yield one.finding(f"names {name}, which does not exist")
            continue
        if name in seen:
            yield one.finding(f"names {name} twice")
        seen.add(name)
        editable = part.findtext("editable") == "true"
        if facts.required:
            yield one.finding(f"names {name}, but a required field is always visible and the deploy fails")
        if editable and facts.formula:
            yield one.finding(f"lets people edit {name}, which is a formula")
        if editable and part.findtext("readable") != "true":
            yield one.finding(f"lets people edit {name} without seeing it")


def _levels(project: Project, one: Component) -> Iterator[Finding]:
    for part in one.xml.findall("objectPermissions"):
        name = part.findtext("object") or ""
        if not project.fields(name):
            yield one.finding(f"names the object {name}, which does not exist")
        for level, needed in _NEEDS.items():
            if part.findtext(level) == "true" and any(part.findtext(under) != "true" for under in needed):
                yield one.finding(f"gives {level} on {name} without {' and '.join(needed)}")


def _listener(project: Project) -> Iterator[Finding]:
    one = project.find("PermissionSet", LISTENER)
    if one is None:
        yield Finding(LISTENER, "does not exist")
        return
    mapping = project.mapping
    wanted = {mapping.ready_field, *mapping.own.names()}
    seen = readable(one, mapping.object_name)
    for name in sorted(seen - wanted):
        yield one.finding(f"shows {name} to the listener, who must see nothing of the patient")
    for name in sorted(wanted - seen):
        yield one.finding(f"does not show {name} to the listener")
    yield from _sees_all(one, mapping.object_name, "no change event would arrive")
    if _named(one, mapping.object_name, "editable"):
        yield one.finding("lets the listener edit fields")


def _worker(project: Project) -> Iterator[Finding]:
    one = project.find("PermissionSet", WORKER)
    if one is None:
        yield Finding(WORKER, "does not exist")
        return
    mapping, facts = project.mapping, project.fields(project.mapping.object_name)
    # Names are always visible; what an Account has of a person is where access to Contact says so.
    always = {
        name for name, fact in facts.items() if fact.required or (not fact.custom and re.search("Name$|^Person", name))
    }
    for name in sorted(mapping.mapped - always - readable(one, mapping.object_name)):
        yield one.finding(f"does not show {name}, which the mapping sends")
    own, edits = set(mapping.own.names()), _named(one, mapping.object_name, "editable")
    for name in sorted(own - edits):
        yield one.finding(f"does not let fusion-sync write {name}")
    for name in sorted(edits - own):
        yield one.finding(f"lets fusion-sync write {name}, which is people's")
    encrypted = any(facts[name].kind == "EncryptedText" for name in mapping.mapped & facts.keys())
    if encrypted and "ViewEncryptedData" not in one.texts("userPermissions/name"):
        yield one.finding("lacks ViewEncryptedData: the SSN would arrive masked and be refused")
    yield from _sees_all(one, mapping.object_name, "records of other owners could not be read")
    yield from _may_edit_what_others_own(project, mapping.object_name)
    for other in project.of("PermissionSet"):
        if other.name != WORKER and other.texts("customPermissions/name"):
            yield other.finding("marks its users as the integration user, so that their edits would not be queued")


def _may_edit_what_others_own(project: Project, object_name: str) -> Iterator[Finding]:
    """View All lets nobody edit: where records are private, a sharing rule must ("Sharing Considerations")."""
    made = project.find("CustomObject", object_name)
    if made is None or made.text("sharingModel") != "Private":
        return
    rules = project.find("SharingRules", object_name)
    given = [] if rules is None else rules.xml.findall("sharingOwnerRules")
    groups = {part.findtext("sharedTo/group") or "" for part in given if part.findtext("accessLevel") == "Edit"}
    if not groups:
        yield made.finding("is private, and no sharing rule lets fusion-sync write what it found")
    for name in sorted(groups):
        if project.find("Group", name) is None:
            yield made.finding(f"is shared with the group {name}, which does not exist")


def _sees_all(one: Component, object_name: str, otherwise: str) -> Iterator[Finding]:
    levels = [part for part in one.xml.findall("objectPermissions") if part.findtext("object") == object_name]
    if not levels or levels[0].findtext("viewAllRecords") != "true":
        yield one.finding(f"lacks View All Records on {object_name}: {otherwise}")
    for level in ("allowCreate", "allowDelete", "modifyAllRecords"):
        if levels and levels[0].findtext(level) == "true":
            yield one.finding(f"has {level} on {object_name}, which the sync never uses")
