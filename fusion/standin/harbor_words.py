"""The second skin's own words for what the clinic keeps: labels, names of its inputs, and how values are written.

The clinic, its rules and its ledger stay those of the first skin, so both are judged by the same lines.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from fusion.standin.forms import SECTIONS, Field, Values, Widget
from fusion.standin.look import Look

_LABELS = {
    "First Name": "Given name",
    "Middle Name": "Second name",
    "Last Name": "Family name",
    "Nickname": "Known as",
    "Birthdate": "Date of birth",
    "SSN": "Social security no.",
    "Gender": "Sex",
    "Location": "Site",
    "Medical Record": "Chart no.",
    "Referred By": "Referral",
    "Name": "Guardian",
    "Relationship": "Relation",
    "Phone": "Telephone",
    "Email": "E-mail",
    "Case": "Service",
    "Presenting Concerns": "Reason for visit",
    "Insurance Type": "Plan type",
    "ID Number": "Policy no.",
    "Note": "Remark",
}
_OPTIONS = {
    "Gender": {"Female": "F", "Male": "M", "Non-binary": "X", "Unknown": "Not stated"},
    "Location": {"Main": "Harbor Street", "North": "Hill House", "Telehealth": "Remote"},
    "Relationship": {
        "Mother": "Parent (mother)",
        "Father": "Parent (father)",
        "Foster Parent": "Carer",
        # Another portal's word for one thing may be the clinic's for another.
        "Guardian": "Other",
        "Other": "None of these",
    },
    "Case": {
        "Evaluation": "Assessment",
        "Speech Therapy": "SLT",
        "Occupational Therapy": "OT",
        "Physical Therapy": "PT",
    },
    "Insurance Type": {"Commercial": "Private", "Tricare": "Military", "Self-Pay": "None", "Other": "Further"},
}
"""This skin's words for options; the rest are called as usual."""
TITLES = {"Patient": "Person", "Contacts": "Guardians", "Cases": "Services", "Payers": "Insurance", "Notes": "Remarks"}
"""Headings of the sections."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """One field of a section as the pages show it. `name` is its input's, `kind` says which input."""

    label: str
    name: str
    kind: str
    options: tuple[str, ...]
    value: str
    required: bool


def cells(section: str, values: Values, payers: tuple[str, ...], look: Look) -> list[Cell]:
    """All fields of the section with these values, in the clinic's order."""
    return [
        Cell(
            label=look.labels.get(field.label, _LABELS.get(field.label, field.label)),
            name=f"f{number}",
            kind="area" if field.widget is Widget.TEXTAREA else "list" if _options(field, payers) else "line",
            options=_options(field, payers),
            value=shown(field, values.get(field.label, "")),
            required=look.demands.get(field.label) == "",
        )
        for number, field in enumerate(SECTIONS[section].fields, start=1)
    ]


def kept(section: str, sent: Mapping[str, str]) -> dict[str, str]:
    """What a form of that section has sent, as the clinic keeps it."""
    fields = enumerate(SECTIONS[section].fields, start=1)
    return {field.label: _kept(field, sent.get(f"f{number}", "")) for number, field in fields}


def problem(label: str, message: str) -> str:
    """What the form says to a value that the clinic does not take."""
    own = _LABELS.get(label, label)
    return f"Please fill in {own}." if "required" in message else f"{own} is not valid."


def shown(field: Field, value: str) -> str:
    """A kept value as this skin writes it."""
    match field.widget:
        case Widget.DATE:
            return _date(value, "%m/%d/%Y", "%d-%b-%Y")
        case Widget.PHONE if phone := re.fullmatch(r"\((\d{3})\) (\d{3}-\d{4})", value):
            return f"{phone[1]}-{phone[2]}"
        case Widget.SSN:
            return value.replace("-", "")
        case Widget.SELECT:
            return _OPTIONS.get(field.label, {}).get(value, value)
        case _:
            return value


def _kept(field: Field, text: str) -> str:
    plain = text.replace("\r\n", "\n").strip()
    match field.widget:
        case Widget.DATE:
            return _date(plain, "%d-%b-%Y", "%m/%d/%Y")
        case Widget.PHONE if phone := re.fullmatch(r"(\d{3})-(\d{3}-\d{4})", plain):
            return f"({phone[1]}) {phone[2]}"
        case Widget.SSN if ssn := re.fullmatch(r"(\d{3})(\d{2})(\d{4})", plain):
            return "-".join(ssn.groups())
        case Widget.SELECT:
            return {own: name for name, own in _OPTIONS.get(field.label, {}).items()}.get(plain, plain)
        case _:
            return plain


def _date(text: str, one: str, other: str) -> str:
    try:
        # A calendar date has no zone.
        return datetime.strptime(text, one).strftime(other)  # noqa: DTZ007
    except ValueError:
        return text


def _options(field: Field, payers: tuple[str, ...]) -> tuple[str, ...]:
    return payers if field.widget is Widget.TYPEAHEAD else tuple(shown(field, option) for option in field.options)
