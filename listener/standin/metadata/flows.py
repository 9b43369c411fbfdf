"""Record-triggered flows: those that run before a save are run here, from their own metadata.

Of a flow's elements a before-save flow needs a start, assignments to $Record and decisions; another element in one is
refused at deploy, by its name. Flows that run after a save are checked for the fields they name and not run: nothing
of ours waits for the bell they ring. "Metadata API Developer Guide: Flow", "Triggers and Order of Execution".
"""

import re
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, date
from typing import Any
from xml.etree import ElementTree as ET

from listener.standin.metadata.archive import Component
from listener.standin.metadata.formula import FormulaError, check, parse, value_of
from listener.standin.metadata.parts import Refused
from listener.standin.schema import BeforeSave, Row, Schema, Scope, Sobject, Value
from listener.standin.values import accepted

BEFORE_SAVE = "RecordBeforeSave"
RUN = {"assignments", "decisions"}
BESIDE = {
    "apiVersion", "description", "environments", "interviewLabel", "label", "processMetadataValues", "processType",
    "start", "status", "variables", "constants",
}  # fmt: skip
GLOBALS: Mapping[str, Value] = {
    "$GlobalConstant.EmptyString": None,
    "$GlobalConstant.True": True,
    "$GlobalConstant.False": False,
}
Condition = Callable[[Scope, Row], bool]
Source = Callable[[Scope, Row], Value]


def object_of(component: Component, schema: Schema) -> Sobject:
    """The object whose saves start the flow. Raises Refused for a flow of another kind, or one that names no field."""
    sobject = schema.find(component.text("start/object"))
    if sobject is None:
        raise Refused(
            f"The stand-in org knows record-triggered flows alone; no object {component.text('start/object')}"
        )
    text = ET.tostring(component.xml, encoding="unicode")
    named = set(re.findall(r"\$Record(?:__Prior)?\.(\w+)", text))
    named |= {(one.text or "").strip() for one in component.xml.findall("start/filters/field")}
    for name in sorted(named):
        if sobject.find(name) is None:
            raise Refused(f"The field {name} doesn't exist on the object {sobject.name}")
    return sobject


def before_save_of(component: Component, sobject: Sobject, permissions: frozenset[str]) -> BeforeSave | None:
    """None for a flow that is not active or does not run before the save. Raises Refused."""
    if component.text("start/triggerType") != BEFORE_SAVE:
        return None
    for element in component.xml:
        if element.tag not in RUN | BESIDE:
            raise Refused(f"The stand-in org runs no {element.tag} in a before-save flow")
    flow = _Flow(component, sobject, permissions)
    return flow if component.text("status") == "Active" else None


class _Flow:
    """A flow as a function from a record to the fields it sets."""

    def __init__(self, component: Component, sobject: Sobject, permissions: frozenset[str]) -> None:
        self._sobject = sobject
        self._variables = {(one.findtext("name") or "").strip() for one in component.xml.findall("variables")}
        self._when = component.text("start/recordTriggerType")
        start = component.xml.find("start")
        assert start is not None  # noqa: S101  its object was found in it
        self._starts = [self._condition(one, "field") for one in start.findall("filters")]
        formula = component.text("start/filterFormula")
        if formula:
            try:
                expression = parse(formula)
                check(expression, sobject.find, permissions)
            except FormulaError as exc:
                raise Refused(f"The entry formula is invalid: {exc}") from exc
            self._starts.append(lambda scope, _set: value_of(expression, scope) is True)
        self._first = _target(start)
        self._steps = {
            (one.findtext("name") or "").strip(): self._assignment(one) for one in component.xml.findall("assignments")
        } | {(one.findtext("name") or "").strip(): self._decision(one) for one in component.xml.findall("decisions")}
        for target in component.texts(".//targetReference"):
            if target not in self._steps:
                raise Refused(f"The element {target} that a connector names does not exist")

    def __call__(self, scope: Scope) -> Row:
        when = {"Create": scope.before is None, "Update": scope.before is not None}
        found: dict[str, Value] = {}
        if not when.get(self._when, True) or not all(starts(scope, found) for starts in self._starts):
            return {}
        step = self._first
        while step:
            step = self._steps[step](scope, found)
        return found

    def _assignment(self, element: ET.Element) -> Callable[[Scope, dict[str, Value]], str]:
        items: list[tuple[str, Source]] = []
        for one in element.findall("assignmentItems"):
            to, operator = (one.findtext("assignToReference") or "").strip(), one.findtext("operator")
            f = self._sobject.find(to.removeprefix("$Record."))
            if operator != "Assign" or f is None or not to.startswith("$Record."):
                raise Refused(f"The stand-in org assigns to fields of $Record alone, not {operator} to {to}")
            if not f.writable:
                raise Refused(f"The field {f.name} can't be assigned: it is read-only")
            items.append((f.name, self._value(one.find("value"))))
        after = _target(element)

        def assign(scope: Scope, found: dict[str, Value]) -> str:
            for name, source in items:
                value = source(scope, found)
                f = self._sobject.fields[name]
                found[name] = value if isinstance(value, date) else accepted(f, value)
            return after

        return assign

    def _decision(self, element: ET.Element) -> Callable[[Scope, dict[str, Value]], str]:
        rules: list[tuple[bool, Sequence[Condition], str]] = []
        for rule in element.findall("rules"):
            logic = rule.findtext("conditionLogic")
            if logic not in {"and", "or"}:
                raise Refused(f"The stand-in org knows the condition logic and, or; not {logic}")
            conditions = [self._condition(one, "leftValueReference") for one in rule.findall("conditions")]
            rules.append((logic == "and", conditions, _target(rule)))
        otherwise = _target(element, "defaultConnector")

        def decide(scope: Scope, found: dict[str, Value]) -> str:
            for every, conditions, target in rules:
                held = [condition(scope, found) for condition in conditions]
                if all(held) if every else any(held):
                    return target
            return otherwise

        return decide

    def _condition(self, element: ET.Element, left_tag: str) -> Condition:
        name = (element.findtext(left_tag) or "").strip().removeprefix("$Record.")
        f = self._sobject.find(name)
        operator = element.findtext("operator")
        right = self._value(element.find("value") if left_tag == "field" else element.find("rightValue"))
        if f is None or operator not in {"EqualTo", "NotEqualTo", "IsNull"}:
            raise Refused(f"The stand-in org compares fields of $Record by EqualTo, NotEqualTo, IsNull; not {operator}")

        def holds(scope: Scope, found: Row) -> bool:
            value, wanted = found.get(f.name, scope.row.get(f.name)), right(scope, found)
            if operator == "IsNull":
                return (value is None) == (wanted is True)
            return (value == wanted) == (operator == "EqualTo")

        return holds

    def _value(self, element: ET.Element | None) -> Source:
        given = element[0] if element is not None and len(element) else None
        text = (given.text or "").strip() if given is not None else ""
        constant: Any
        match given.tag if given is not None else "":
            case "stringValue":
                constant = text or None
            case "numberValue":
                constant = float(text)
            case "booleanValue":
                constant = text == "true"
            case "elementReference" if text in GLOBALS:
                constant = GLOBALS[text]
            case "elementReference" if text in self._variables:  # nothing here assigns to a variable: it stays empty
                constant = None
            case "elementReference" if text == "$Flow.CurrentDateTime":
                return lambda scope, _found: scope.now.astimezone(UTC).replace(microsecond=0)
            case "elementReference" if text == "$Flow.CurrentDate":
                return lambda scope, _found: scope.now.date()
            case "elementReference" if text.startswith("$Record."):
                name = text.removeprefix("$Record.")
                return lambda scope, found: found.get(name, scope.row.get(name))
            case other:
                raise Refused(f"The stand-in org knows no value of the kind {other} {text} in a before-save flow")
        return lambda _scope, _found: constant


def _target(element: ET.Element, connector: str = "connector") -> str:
    return (element.findtext(f"{connector}/targetReference") or "").strip()
