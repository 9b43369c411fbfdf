"""The change event channel: names, enrichment and filter as the Change Data Capture guide allows them."""

import re
from collections.abc import Iterator

from listener.org_setup import entity_of
from listener.settings import SalesforceSettings
from tests.sfdx.package import Component, FieldFacts, Finding, Project
from tests.sfdx.rules.access import LISTENER, readable

MOST_ENRICHED = 10  # "Enrich Change Events with Extra Fields: Considerations"
_COMPARISON = re.compile(
    r"""(?P<field>[A-Za-z][\w.]*)\s*(?P<operator>!=|<=|>=|=|<|>|LIKE|IN)\s*
        (?P<value>'[^']*'|\([^()]*\)|[\w.:+-]+)""",
    re.X | re.I,
)


def findings(project: Project) -> Iterator[Finding]:
    """One channel, the one that fusion-sync listens to by default, with the mapped object on it."""
    default = str(SalesforceSettings.model_fields["channel"].default).removeprefix("/data/")
    if not project.find("PlatformEventChannel", default):
        yield Finding(f"PlatformEventChannel {default}", "does not exist, but SALESFORCE_CHANNEL names it by default")
    for one in project.of("PlatformEventChannel"):
        if one.text("channelType") != "data":
            yield one.finding("is not a channel for change events (channelType data)")
    entities = {}
    for one in project.of("PlatformEventChannelMember"):
        entities[one.text("selectedEntity")] = one
        yield from _member(project, one)
    if entity_of(project.mapping.object_name) not in entities:
        yield Finding(project.mapping.object_name, "is mapped, but no member puts it on the channel")


def _member(project: Project, one: Component) -> Iterator[Finding]:
    channel, entity = one.text("eventChannel"), one.text("selectedEntity")
    if not project.find("PlatformEventChannel", channel):
        yield one.finding(f"belongs to {channel}, which does not exist")
    # The name has single underscores where the channel and the entity have two.
    if one.name != (named := f"{channel}_{entity}".replace("__", "_")):
        yield one.finding(f"must be called {named}")
    object_name = next((name for name in project.objects if entity_of(name) == entity), None)
    if object_name is None:
        yield one.finding(f"selects {entity}, which no object of the project emits")
        return
    fields, names = project.fields(object_name), one.texts("enrichedFields/name")
    if len(names) > MOST_ENRICHED:
        yield one.finding(f"enriches {len(names)} fields; {MOST_ENRICHED} are allowed")
    for name in names:
        yield from _usable(one, name, fields, "enriches")
    comparisons = list(_COMPARISON.finditer(expression := one.text("filterExpression")))
    for found in comparisons:
        yield from _usable(one, found["field"], fields, "filters by")
        facts = fields.get(found["field"])
        if facts and facts.kind == "Checkbox" and found["value"].lower() not in ("true", "false"):
            yield one.finding(f"compares the checkbox {facts.name} with {found['value']}")
    rest = re.sub(r"\b(AND|OR)\b|[()\s]", "", _COMPARISON.sub("", expression), flags=re.I)
    if rest or expression.count("(") != expression.count(")"):
        yield one.finding(f"has a filter that cannot be read: {expression}")
    gate = project.mapping.ready_field
    if not any((found["field"], found["value"]) == (gate, "true") for found in comparisons):
        yield one.finding(f"lets records through that are not ready: its filter has no {gate} = true")
    if listener := project.find("PermissionSet", LISTENER):
        used = {*names, *(found["field"] for found in comparisons)}
        for name in sorted(used - readable(listener, object_name)):
            yield one.finding(f"uses {name}, which {LISTENER} does not show")


def _usable(one: Component, name: str, fields: dict[str, FieldFacts], what: str) -> Iterator[Finding]:
    facts = fields.get(name)
    if facts is None:
        yield one.finding(f"{what} {name}, which does not exist")
    elif facts.hidden_from_filters or facts.formula:
        yield one.finding(
            f"{what} {name}, but that is not possible with {'a formula' if facts.formula else facts.kind}"
        )
