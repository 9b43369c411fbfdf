"""Layouts, record pages, quick actions, tabs and apps: what is shown exists, and nothing needed is left out."""

from collections.abc import Iterator

from tests.sfdx.package import Component, Finding, Project
from tests.sfdx.rules.lists import offers

_COMPONENTS = ("force:", "flexipage:", "runtime_sales_pathassistant:")


def findings(project: Project) -> Iterator[Finding]:
    """Names that do not exist, and required fields that a person could not fill in."""
    for one in project.of("Layout"):
        yield from _layout(project, one)
    for one in project.of("FlexiPage"):
        yield from _page(project, one)
    for one in project.of("QuickAction"):
        yield from _action(project, one)
    for one in project.of("CustomTab"):
        if one.text("customObject") == "true" and one.name not in project.objects:
            yield one.finding("is of an object that does not exist")
    for one in project.of("CustomApplication"):
        for name in one.texts("tabs"):
            if not name.startswith("standard-") and not project.find("CustomTab", name):
                yield one.finding(f"shows the tab {name}, which does not exist")


def _layout(project: Project, one: Component) -> Iterator[Finding]:
    fields = project.fields(one.name.partition("-")[0])
    items = {item.findtext("field") or "": item.findtext("behavior") for item in one.xml.iter("layoutItems")}
    if len(items) != len(list(one.xml.iter("layoutItems"))):
        yield one.finding("shows a field twice")
    for name, behavior in items.items():
        if name not in fields:
            yield one.finding(f"shows {name}, which does not exist")
        elif fields[name].required and fields[name].custom and behavior != "Required":
            yield one.finding(f"shows {name} as {behavior}, but it is required")
        elif fields[name].formula and behavior != "Readonly":
            yield one.finding(f"shows {name} as {behavior}, but it is a formula")
    for name, facts in fields.items():
        if facts.required and facts.custom and name not in items:
            yield one.finding(f"leaves out {name}, which is required")
    for name in sorted(project.mapping.mapped & fields.keys() - items.keys()):
        yield one.finding(f"leaves out {name}, which the mapping sends")
    for part in one.xml.findall("platformActionList/platformActionListItems"):
        if part.findtext("actionType") == "QuickAction" and not project.find(
            "QuickAction", name := part.findtext("actionName") or ""
        ):
            yield one.finding(f"offers the action {name}, which does not exist")


def _page(project: Project, one: Component) -> Iterator[Finding]:
    object_name = one.text("sobjectType")
    fields = project.fields(object_name)
    if not fields:
        yield one.finding(f"is for {object_name}, which does not exist")
    facets = {part.findtext("name") for part in one.xml.iter("flexiPageRegions") if part.findtext("type") == "Facet"}
    named = {value.text for value in one.xml.iter("value") if (value.text or "").startswith("Facet-")}
    for name in sorted(facets ^ named, key=str):
        yield one.finding(f"has the facet {name} without a place, or a place for it without the facet")
    identifiers = [part.text for part in one.xml.iter("identifier")]
    for name in sorted({name for name in identifiers if identifiers.count(name) > 1}, key=str):
        yield one.finding(f"calls two things {name}")
    for part in one.xml.iter("componentName"):
        if not (part.text or "").startswith(_COMPONENTS):
            yield one.finding(f"shows {part.text}, a component that is not Salesforce's own")
    for part in one.xml.iter("fieldItem"):
        if (part.text or "").removeprefix("Record.") not in fields:
            yield one.finding(f"shows {part.text}, which does not exist")
    for rule in one.xml.iter("criteria"):
        name = (rule.findtext("leftValue") or "").removeprefix("{!Record.").removesuffix("}")
        if name not in fields:
            yield one.finding(f"depends on {name}, which does not exist")
        elif not offers(fields[name], rule.findtext("rightValue") or ""):
            yield one.finding(f'waits for {name} = "{rule.findtext("rightValue")}", which it does not offer')


def _action(project: Project, one: Component) -> Iterator[Finding]:
    fields = project.fields(one.name.partition(".")[0])
    names = [part.text or "" for part in one.xml.iter("field")]
    for name in names:
        if name not in fields:
            yield one.finding(f"names {name}, which does not exist")
    for part in one.xml.findall("fieldOverrides"):
        facts = fields.get(part.findtext("field") or "")
        if facts and (facts.formula or not offers(facts, part.findtext("literalValue") or "")):
            yield one.finding(f"sets {facts.name} to {part.findtext('literalValue')}, which it does not take")
