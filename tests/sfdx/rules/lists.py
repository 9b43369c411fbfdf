"""List views, compact layouts, search layouts and the path: their columns, filters and values."""

from collections.abc import Iterator

from tests.sfdx.package import Component, FieldFacts, Finding, Project

_COLUMNS = {"NAME", "OWNER.ALIAS", "CREATED_DATE", "LAST_UPDATE", "CREATEDBY_USER", "UPDATEDBY_USER"}
"""How list views call standard fields of a custom object ("ListView: columns")."""
_OF_PEOPLE = {"FULL_NAME", "ACCOUNT.NAME", "CORE.USERS.ALIAS"}
MOST_IN_COMPACT = 10


def findings(project: Project) -> Iterator[Finding]:
    """Names and values that do not exist, and uses that the kind of field forbids."""
    for one in project.of("ListView"):
        yield from _view(project, one)
    for one in project.of("CompactLayout"):
        names = one.texts("fields")
        if len(names) > MOST_IN_COMPACT:
            yield one.finding(f"has {len(names)} fields; {MOST_IN_COMPACT} are allowed")
        yield from _known(one, names, project.fields(one.object_name))
    for one in project.of("CustomObject"):
        yield from _object(project, one)
    for one in project.of("PathAssistant"):
        yield from _path(project, one)


def offers(facts: FieldFacts | None, value: str) -> bool:
    """Whether a filter may ask for the value; whatever is not a picklist or a checkbox is not judged."""
    if facts is None:
        return True
    if facts.kind == "Checkbox":
        return value in ("0", "1", "true", "false")
    return facts.kind != "Picklist" or set(value.split(",")) <= {*facts.values, ""}


def _known(one: Component, names: list[str], fields: dict[str, FieldFacts]) -> Iterator[Finding]:
    for name in names:
        if name not in fields:
            yield one.finding(f"names {name}, which does not exist")
        elif fields[name].kind == "LongTextArea":
            yield one.finding(f"names {name}, but long text cannot stand there")
        if names.count(name) > 1:
            yield one.finding(f"names {name} twice")


def _view(project: Project, one: Component) -> Iterator[Finding]:
    fields = project.fields(one.object_name)
    columns = _COLUMNS if one.object_name.endswith("__c") else _OF_PEOPLE
    yield from _known(one, [name for name in one.texts("columns") if name not in columns], fields)
    for part in one.xml.findall("filters"):
        name, value = part.findtext("field") or "", part.findtext("value") or ""
        facts = fields.get(name)
        if facts is None and name not in columns:
            yield one.finding(f"filters by {name}, which does not exist")
        elif facts and facts.hidden_from_filters:
            yield one.finding(f"filters by {name}, but no filter may hold {facts.kind}")
        elif not offers(facts, value):
            yield one.finding(f'filters by {name} = "{value}", which it does not offer')


def _object(project: Project, one: Component) -> Iterator[Finding]:
    fields = project.fields(one.name)
    for part in ("customTabListAdditionalFields", "searchResultsAdditionalFields"):
        yield from _known(one, one.texts(f"searchLayouts/{part}"), fields)
    for name in one.texts("searchLayouts/massQuickActions"):
        if not project.find("QuickAction", name):
            yield one.finding(f"offers the action {name} in lists, which does not exist")
    compact = one.text("compactLayoutAssignment")
    if compact and not project.find("CompactLayout", f"{one.name}.{compact}"):
        yield one.finding(f"is shown by the compact layout {compact}, which does not exist")
    for part in one.xml.findall("actionOverrides"):
        if part.findtext("type") == "Flexipage" and not project.find("FlexiPage", part.findtext("content") or ""):
            yield one.finding(f"opens the page {part.findtext('content')}, which does not exist")


def _path(project: Project, one: Component) -> Iterator[Finding]:
    fields = project.fields(one.text("entityName"))
    facts = fields.get(one.text("fieldName"))
    if facts is None or facts.kind != "Picklist":
        yield one.finding(f"follows {one.text('fieldName')}, which is no picklist of {one.text('entityName')}")
        return
    steps = one.texts("pathAssistantSteps/picklistValueName")
    for value in sorted(set(steps) ^ set(facts.values)):
        yield one.finding(f'has no step for "{value}", or a step too many')
    for part in one.xml.findall("pathAssistantSteps"):
        yield from _known(one, [name.text or "" for name in part.findall("fieldNames")], fields)
    enabled = project.find("PathAssistantSettings", "PathAssistant")
    if enabled is None or enabled.text("pathAssistantEnabled") != "true":
        yield one.finding("needs paths switched on, and no settings do it")
