"""Smaller components: validation rules, sharing rules, channels and their members."""

from dataclasses import dataclass

from listener.standin.channels import HEADER, Member
from listener.standin.metadata.archive import Component
from listener.standin.metadata.formula import FormulaError, check, parse, value_of
from listener.standin.problems import ApiError
from listener.standin.schema import Schema, Sobject, ValidationRule
from listener.standin.soql import fields_in

MOST_ENRICHED = 10
LONGEST_MESSAGE = 255


class Refused(Exception):
    """Why one component cannot be deployed: the `problem` of its component failure."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Shared:
    """An owner-based sharing rule: everybody's records of an object are shared with a public group."""

    object_name: str
    group: str
    edit: bool


def validation_rule_of(component: Component, sobject: Sobject, permissions: frozenset[str]) -> ValidationRule | None:
    """None when it is not active, though checked all the same. Raises Refused."""
    try:
        expression = parse(component.text("errorConditionFormula"))
        check(expression, sobject.find, permissions)
    except FormulaError as exc:
        raise Refused(str(exc)) from exc
    shown_at = component.text("errorDisplayField") or None
    if shown_at and sobject.find(shown_at) is None:
        raise Refused(f"In field: errorDisplayField - no CustomField named {sobject.name}.{shown_at} found")
    message = component.text("errorMessage")
    if not 0 < len(message) <= LONGEST_MESSAGE:
        raise Refused(f"errorMessage must have 1 to {LONGEST_MESSAGE} characters")
    if not component.yes("active"):
        return None
    return ValidationRule(
        name=component.short,
        condition=lambda scope: value_of(expression, scope) is True,
        message=message,
        field=shown_at,
    )


def shared_of(component: Component, schema: Schema, groups: frozenset[str]) -> list[Shared]:
    """The rules of one object. Only "all internal users share with a group" is known here. Raises Refused."""
    if schema.find(component.name) is None:
        raise Refused(f"no CustomObject named {component.name} found")
    found = []
    for rule in component.xml:
        if rule.tag != "sharingOwnerRules" or rule.find("sharedFrom/allInternalUsers") is None:
            raise Refused(f"The stand-in org knows sharingOwnerRules from allInternalUsers alone, not {rule.tag}")
        group = (rule.findtext("sharedTo/group") or "").strip()
        if group not in groups:
            raise Refused(f"In field: group - no Group named {group} found")
        level = rule.findtext("accessLevel")
        if level not in {"Edit", "Read"}:
            raise Refused(f"'{level}' is not a valid value for the access level of a sharing rule")
        found.append(Shared(object_name=component.name, group=group, edit=level == "Edit"))
    return found


def channel_name(component: Component) -> str:
    """`/data/FusionSync__chn`. Raises Refused for a channel that carries no change events."""
    if component.text("channelType") != "data" or not component.name.endswith("__chn"):
        raise Refused("The stand-in org knows channels of change data capture: type data, name ending in __chn")
    return f"/data/{component.name}"


def member_of(component: Component, schema: Schema, channels: frozenset[str]) -> tuple[str, str, Member]:
    """The channel, the object and the membership. Raises Refused.

    "Metadata API Developer Guide: PlatformEventChannelMember", "Change Event Filters", "Event Enrichment
    Considerations": at most ten enriched fields, none of them long or encrypted text, nor a formula.
    """
    channel, entity = f"/data/{component.text('eventChannel')}", component.text("selectedEntity")
    if channel not in channels:
        raise Refused(f"no PlatformEventChannel named {component.text('eventChannel')} found")
    sobject = schema.of_event(entity)
    if sobject is None:
        raise Refused(f"The selected entity {entity} is not valid: it is no change event of an object of this org")
    enriched = tuple(component.texts("enrichedFields/name"))
    if len(enriched) > MOST_ENRICHED:
        raise Refused(f"You can select up to {MOST_ENRICHED} fields to enrich, and {len(enriched)} are selected")
    member = Member(filter=component.text("filterExpression") or None, enriched=enriched)
    try:
        filtered = tuple(fields_in(member.condition)) if member.condition else ()
    except ApiError as exc:
        raise Refused(f"The filter expression is invalid: {exc.message}") from exc
    for name in (*enriched, *(n for n in filtered if not n.startswith(HEADER))):
        f = sobject.find(name)
        if f is None:
            raise Refused(f"The field {name} doesn't exist on {sobject.name}")
        if not f.filterable or f.formula is not None:
            raise Refused(f"The field {name} can't be used: long text, encrypted text and formulas are not supported")
    return channel, sobject.name, member
