"""Flows: every arrow leads somewhere, every name exists, every value is offered, and our own writes are left alone."""

import re
from collections.abc import Iterator
from xml.etree import ElementTree as ET

from tests.sfdx.package import Component, Finding, Project
from tests.sfdx.rules.access import WORKER
from tests.sfdx.rules.lists import offers

_ELEMENTS = ("actionCalls", "assignments", "decisions", "recordLookups")
_RESOURCES = ("variables", "textTemplates", "formulas", "constants", "recordLookups")
_GIVEN = ("$Flow.CurrentDateTime", "$GlobalConstant.EmptyString")
_MERGE = re.compile(r"\{!([^}]+)\}")


def findings(project: Project) -> Iterator[Finding]:
    """What a flow names, sets and asks; and that the flow before the save queues whatever the mapping sends."""
    for one in project.of("Flow"):
        yield from _arrows(one)
        yield from _names(project, one)
        yield from _values(project, one)
        if one.text("status") != "Active":
            yield one.finding("is not active")
        if one.text("start/triggerType") == "RecordBeforeSave":
            yield from _queue(project, one)
        elif one.text("start/triggerType") == "RecordAfterSave" and one.xml.find("start/connector") is not None:
            yield one.finding("runs within the save, so that its failure would undo what was saved")


def _arrows(one: Component) -> Iterator[Finding]:
    elements = {element.findtext("name") or "": element for tag in _ELEMENTS for element in one.xml.findall(tag)}
    reached: set[str] = set()
    start = one.xml.find("start")
    ahead: list[ET.Element] = [start] if start is not None else []
    while ahead:
        for arrow in ahead.pop().iter("targetReference"):
            name = arrow.text or ""
            if name not in elements:
                yield one.finding(f"leads to {name}, which does not exist")
            elif name not in reached:
                reached.add(name)
                ahead.append(elements[name])
    for name in sorted(elements.keys() - reached):
        yield one.finding(f"never reaches {name}")


def _names(project: Project, one: Component) -> Iterator[Finding]:
    fields = project.fields(one.text("start/object"))
    resources = {part.findtext("name") for tag in _RESOURCES for part in one.xml.findall(tag)}
    tags = ("elementReference", "assignToReference", "leftValueReference")
    used = [part.text or "" for tag in tags for part in one.xml.iter(tag)]
    used += [name for part in one.xml.iter("text") for name in _MERGE.findall(part.text or "")]
    for name in used:
        first, _, rest = name.partition(".")
        if (first == "$Record" and rest not in fields) or (
            first != "$Record" and first not in resources and name not in _GIVEN
        ):
            yield one.finding(f"names {name}, which does not exist")
    for lookup in one.xml.findall("recordLookups"):
        if lookup.findtext("object") == "CustomNotificationType":
            for value in lookup.iter("stringValue"):
                if not project.find("CustomNotificationType", value.text or ""):
                    yield one.finding(f"looks for the notification type {value.text}, which does not exist")


def _values(project: Project, one: Component) -> Iterator[Finding]:
    fields = project.fields(one.text("start/object"))
    pairs = [(part.findtext("assignToReference"), part) for part in one.xml.iter("assignmentItems")]
    pairs += [(part.findtext("leftValueReference"), part) for part in one.xml.iter("conditions")]
    pairs += [(f"$Record.{part.findtext('field')}", part) for part in one.xml.findall("start/filters")]
    for name, part in pairs:
        facts = fields.get((name or "").removeprefix("$Record."))
        value = part.findtext(".//stringValue")
        if (name or "").startswith("$Record.") and facts is None and part.tag == "filters":
            yield one.finding(f"names {name}, which does not exist")
        if value is not None and not offers(facts, value):
            yield one.finding(f'sets or asks {facts and facts.name} = "{value}", which it does not offer')
        if part.tag == "assignmentItems" and facts and facts.formula:
            yield one.finding(f"sets {facts.name}, which is a formula")


def _queue(project: Project, one: Component) -> Iterator[Finding]:
    formula, mapping = one.text("start/filterFormula"), project.mapping
    if f"NOT({{!$Permission.{WORKER}}})" not in formula:
        yield one.finding("does not leave the integration user's own writes alone: each would queue its record again")
    fields = project.fields(mapping.object_name)
    for name in sorted({*mapping.mapped, mapping.ready_field}):
        if name in fields and not fields[name].hidden_from_filters and f"ISCHANGED({{!$Record.{name}}})" not in formula:
            yield one.finding(f"does not queue a record when {name} changes, but the mapping sends it")
    if f"{{!$Record.{mapping.own.resync_requested}}}" not in formula:
        yield one.finding("does not queue a record when a resync is asked for")
