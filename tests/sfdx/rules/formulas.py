"""Formulas: of validation rules, of fields, and of a flow's start. Not what they mean, but every name in them.

A formula is read as tokens with the function around each: enough to say which field stands where, and with which value.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from tests.sfdx.package import Component, Finding, Project

_TOKEN = re.compile(
    r"""\s*(?: "(?P<text>[^"]*)" | (?P<call>[A-Za-z_]\w*)?\s*(?P<open>\() | (?P<close>\)) | \{!(?P<merge>[^}]*)\}
      | (?P<name>\$?[A-Za-z_][\w.]*) | \d+(\.\d+)? | &&|\|\||<>|!=|<=|>=|[-+*/<>=&,^] )\s*""",
    re.X,
)
_FUNCTIONS = set("AND OR NOT IF ISBLANK ISPICKVAL ISCHANGED ISNEW PRIORVALUE CASE TEXT TODAY NOW IMAGE LEN".split())
_ON_SAVE = {"ISCHANGED", "ISNEW", "PRIORVALUE"}
_TAKE_PICKLISTS = {"ISPICKVAL", "CASE", "ISBLANK", "ISCHANGED", "PRIORVALUE", "TEXT"}
_WORDS = {"NULL", "TRUE", "FALSE"}


@dataclass(frozen=True, slots=True)
class Use:
    """A name, text or call in a formula: `around` is the function that it stands in, `first` the first name there."""

    kind: str
    value: str
    around: str
    first: str


def findings(project: Project) -> Iterator[Finding]:
    """Names that do not exist, fields that no formula may hold, picklists used as text, values that are not offered."""
    for rule in project.of("ValidationRule"):
        yield from _check(project, rule, rule.object_name, rule.text("errorConditionFormula"), on_save=True)
        if (shown := rule.text("errorDisplayField")) and shown not in project.fields(rule.object_name):
            yield rule.finding(f"shows its message at {shown}, which does not exist")
        if len(rule.text("errorMessage")) > 255:
            yield rule.finding("has a message of more than 255 characters")
        if rule.text("active") != "true":
            yield rule.finding("is not active")
    for one in project.of("CustomField"):
        if formula := one.text("formula"):
            yield from _check(project, one, one.object_name, formula, on_save=False)
    for flow in project.of("Flow"):
        if formula := flow.text("start/filterFormula"):
            yield from _check(project, flow, flow.text("start/object"), formula, on_save=True)


def uses(formula: str) -> list[Use]:
    """The names, texts and calls of a formula. ValueError where it cannot be read, or parentheses do not meet."""
    found: list[Use] = []
    around = [("", "")]
    position = 0
    while position < len(formula):
        token = _TOKEN.match(formula, position)
        if token is None:
            raise ValueError(f"cannot be read at {formula[position : position + 20]!r}")
        position = token.end()
        function, first = around[-1]
        if token["open"]:
            around.append((token["call"] or "", ""))
            if token["call"]:
                found.append(Use("call", token["call"], function, first))
        elif token["close"]:
            around.pop()
            if not around:
                raise ValueError("closes a parenthesis that was not opened")
        elif token["text"] is not None:
            found.append(Use("text", token["text"], function, first))
        elif name := token["merge"] or token["name"]:
            name = name.removeprefix("$Record.")
            around[-1] = (function, first or name)
            found.append(Use("name", name, function, first))
    if len(around) > 1:
        raise ValueError("does not close a parenthesis")
    return found


def _check(project: Project, one: Component, object_name: str, formula: str, *, on_save: bool) -> Iterator[Finding]:
    try:
        found = uses(formula)
    except ValueError as error:
        yield one.finding(f"has a formula that {error}")
        return
    fields = project.fields(object_name)
    for use in found:
        if use.kind == "call":
            if use.value not in _FUNCTIONS:
                yield one.finding(f"calls {use.value}, which no rule knows")
            if use.value in _ON_SAVE and not on_save:
                yield one.finding(f"calls {use.value}, which only a save can answer")
        elif use.kind == "text":
            asked = fields.get(use.first)
            if use.around == "ISPICKVAL" and asked and use.value not in (*asked.values, ""):
                yield one.finding(f'asks whether {asked.name} is "{use.value}", which it does not offer')
        elif use.value.startswith("$Permission."):
            if not project.find("CustomPermission", use.value.removeprefix("$Permission.")):
                yield one.finding(f"asks for {use.value}, a custom permission that does not exist")
        elif use.value.upper() not in _WORDS:
            yield from _field(one, project, object_name, use.value, use.around)


def _field(one: Component, project: Project, object_name: str, name: str, around: str) -> Iterator[Finding]:
    asked = project.fields(object_name).get(name)
    if asked is None:
        yield one.finding(f"names {name}, which does not exist")
    elif asked.hidden_from_filters:
        yield one.finding(f"names {name}, but no formula may hold {asked.kind}")
    elif asked.kind == "Picklist" and around not in _TAKE_PICKLISTS:
        yield one.finding(f"uses the picklist {name} as if it were text")
