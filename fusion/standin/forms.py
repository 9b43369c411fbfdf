"""The portal's sections and fields as data: labels, widgets, options, and what a value must look like.

The page draws its forms from this (`look`) and checks by the same patterns; the server checks everything again.
Tabs and the wording "+ X" / "Save X" follow F5 and F9, the Patient labels F12. The labels within Contacts, Cases,
Payers and Notes are inferred: the public help does not show them.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from enum import StrEnum

Values = Mapping[str, str]
"""Field label -> value as the portal shows it; an empty field is ""."""


class Widget(StrEnum):
    """How a field is entered; the name is all that the page knows about it."""

    TEXT = "text"
    DATE = "date"
    SSN = "ssn"
    PHONE = "phone"
    SELECT = "select"
    TYPEAHEAD = "typeahead"
    TEXTAREA = "textarea"


@dataclass(frozen=True, slots=True, kw_only=True)
class Field:
    """One labelled input. Python and JavaScript both read `pattern`; `must` ends the message of a mismatch."""

    label: str
    widget: Widget = Widget.TEXT
    required: bool = False
    options: tuple[str, ...] = ()
    pattern: str = ""
    must: str = ""
    longest: int = 80

    def problem(self, value: str, *, today: date) -> str:
        """The sentence shown beside the form, naming the label and never the value; "" when the value will do."""
        if not value:
            return f"{self.label} is required." if self.required else ""
        if len(value) > self.longest:
            return f"{self.label} must be at most {self.longest} characters."
        if self.widget is Widget.SELECT and value not in self.options:
            return f"{self.label} must be one of the list."
        if self.pattern and not re.fullmatch(self.pattern, value):
            return f"{self.label} {self.must}"
        if self.widget is Widget.DATE:
            return self._date_problem(value, today)
        return ""

    def _date_problem(self, value: str, today: date) -> str:
        try:
            # A calendar date has no zone.
            day = datetime.strptime(value, "%m/%d/%Y").date()  # noqa: DTZ007
        except ValueError:
            return f"{self.label} {self.must}"
        return f"{self.label} must not be in the future." if day > today else ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """One part of the chart. `row` is the noun of its buttons ("+ Contact", "Save Contact")."""

    name: str
    row: str
    fields: tuple[Field, ...]

    def labels(self) -> tuple[str, ...]:
        """Field labels in the order shown."""
        return tuple(field.label for field in self.fields)

    def complete(self, values: Values) -> dict[str, str]:
        """*values* trimmed, in the order shown, with "" for what is missing. KeyError names an unknown label."""
        for label in values:
            if label not in self.labels():
                raise KeyError(label)
        return {label: values.get(label, "").replace("\r\n", "\n").strip() for label in self.labels()}

    def problems(self, before: Values, after: Values, *, today: date, payers: Sequence[str]) -> dict[str, str]:
        """Label -> message, {} when *after* may be saved.

        Shapes are checked only where a value changes: an old odd value elsewhere in the form doesn't block a save, as
        users of the real portal report. What is required must be there in any case.
        """
        found: dict[str, str] = {}
        for field in self.fields:
            value = after[field.label]
            if value and value == before.get(field.label):
                continue
            if message := field.problem(value, today=today):
                found[field.label] = message
            elif value and field.widget is Widget.TYPEAHEAD and value not in payers:
                found[field.label] = f"Choose a {field.label.lower()} from the list."
        return found


_STATES = (
    "AL AK AZ AR CA CO CT DE DC FL GA HI ID IL IN IA KS KY LA ME MD MA MI MN MS MO MT NE NV NH NJ NM NY NC ND OH OK OR"
    " PA PR RI SC SD TN TX UT VT VA WA WV WI WY"
)
STATES = tuple(_STATES.split())

PATIENT = Section(
    name="Patient",
    row="Patient",
    fields=(
        Field(label="First Name", required=True),
        Field(label="Middle Name"),
        Field(label="Last Name", required=True),
        Field(label="Nickname"),
        Field(
            label="Birthdate",
            widget=Widget.DATE,
            required=True,
            pattern=r"(0[1-9]|1[0-2])/(0[1-9]|[12]\d|3[01])/(19|20)\d\d",
            must="must be MM/DD/YYYY.",
        ),
        Field(label="SSN", widget=Widget.SSN, pattern=r"\d{3}-\d{2}-\d{4}", must="must be 999-99-9999."),
        Field(label="Gender", widget=Widget.SELECT, options=("Female", "Male", "Non-binary", "Unknown")),
        Field(label="Location", widget=Widget.SELECT, options=("Main", "North", "Telehealth")),
        # Two that no one maps (both in F12): a robot must leave them as they are.
        Field(label="Medical Record"),
        Field(label="Referred By"),
    ),
)
CONTACTS = Section(
    name="Contacts",
    row="Contact",
    fields=(
        Field(label="Name", required=True),
        Field(
            label="Relationship",
            widget=Widget.SELECT,
            options=("Mother", "Father", "Grandparent", "Foster Parent", "Guardian", "Other"),
        ),
        Field(label="Street", longest=120),
        Field(label="City"),
        Field(label="State", widget=Widget.SELECT, options=STATES),
        Field(label="Zip", pattern=r"\d{5}(-\d{4})?", must="must be 99999 or 99999-9999."),
        Field(label="Phone", widget=Widget.PHONE, pattern=r"\(\d{3}\) \d{3}-\d{4}", must="must be (999) 999-9999."),
        Field(label="Email", pattern=r"[^\s@]+@[^\s@]+\.[^\s@]+", must="must be an email address."),
    ),
)
# Clinics define their own cases (F10).
CASES = Section(
    name="Cases",
    row="Case",
    fields=(
        Field(
            label="Case",
            widget=Widget.SELECT,
            required=True,
            options=("Evaluation", "Speech Therapy", "Occupational Therapy", "Physical Therapy"),
        ),
        Field(label="Presenting Concerns", widget=Widget.TEXTAREA, longest=32_768),
    ),
)
# An administrator keeps the payers (F9), so a chart's payer is picked and not typed.
PAYERS = Section(
    name="Payers",
    row="Payer",
    fields=(
        Field(
            label="Insurance Type",
            widget=Widget.SELECT,
            options=("Commercial", "Medicaid", "Medicare", "Tricare", "Self-Pay", "Other"),
        ),
        Field(label="Payer", widget=Widget.TYPEAHEAD, required=True),
        Field(label="ID Number", required=True, longest=40),
    ),
)
NOTES = Section(
    name="Notes",
    row="Note",
    fields=(Field(label="Note", widget=Widget.TEXTAREA, required=True, longest=131_072),),
)
ROW_SECTIONS = {section.name: section for section in (CONTACTS, CASES, PAYERS, NOTES)}
SECTIONS = {PATIENT.name: PATIENT, **ROW_SECTIONS}
