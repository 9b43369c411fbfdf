"""What a chart should show, what it shows, and what is to be typed so that the two agree. Pure.

Values are *canonical* strings on both sides: dates `YYYY-MM-DD`, phones E.164, states two letters, picklists as the
portal names them, text with single spaces and no ends. The mapping makes them canonical on the way from Salesforce, the
portal pack on the way from the screen; so a comparison is `==` after `folded()`.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from enum import StrEnum

from listener.change import RecordId


class Section(StrEnum):
    """A part of the chart that is saved as one. `PATIENT` is one form; the others hold rows."""

    PATIENT = "Patient"
    CONTACTS = "Contacts"
    CASES = "Cases"
    PAYERS = "Payers"
    NOTES = "Notes"


class Field(StrEnum):
    """Every value that we carry, by the name that the mapping and the portal pack use."""

    FIRST_NAME = "first_name"
    MIDDLE_NAME = "middle_name"
    LAST_NAME = "last_name"
    NICKNAME = "nickname"
    BIRTH_DATE = "birth_date"
    SSN = "ssn"
    GENDER = "gender"
    LOCATION = "location"
    GUARDIAN_NAME = "guardian_name"
    RELATIONSHIP = "relationship"
    STREET = "street"
    CITY = "city"
    STATE = "state"
    ZIP = "zip"
    PHONE = "phone"
    EMAIL = "email"
    CASE_TYPE = "case_type"
    PRESENTING_CONCERNS = "presenting_concerns"
    INSURANCE_TYPE = "insurance_type"
    PAYER = "payer"
    MEMBER_ID = "member_id"
    NOTE = "note"

    @property
    def section(self) -> Section:
        """The part of the chart in which this value is saved."""
        return _SECTION_OF[self]


_SECTION_OF: Mapping[Field, Section] = {
    **dict.fromkeys(list(Field)[:8], Section.PATIENT),
    **dict.fromkeys(list(Field)[8:16], Section.CONTACTS),
    **dict.fromkeys(list(Field)[16:18], Section.CASES),
    **dict.fromkeys(list(Field)[18:21], Section.PAYERS),
    Field.NOTE: Section.NOTES,
}

_MARKER = re.compile(r"\[Salesforce intake [A-Za-z0-9]{15,18}\]")

Values = Mapping[Field, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """Who a chart belongs to. All three must agree before a value is typed: twins share two of them."""

    first_name: str = field(repr=False)
    last_name: str = field(repr=False)
    birth_date: date | None = field(repr=False)

    def agrees_with(self, other: Identity) -> bool:
        """Whether both name the same child, apart from case, accents' encoding and spacing."""
        return (
            folded(self.first_name) == folded(other.first_name)
            and folded(self.last_name) == folded(other.last_name)
            and self.birth_date is not None
            and self.birth_date == other.birth_date
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Patient:
    """A patient as Salesforce has it now, in canonical values.

    `values` holds every mapped field: "" means that the source is really empty; a field that is not mapped is absent
    and is never touched. `portal_id` is what Salesforce or our own link says, if anything does.
    """

    record_id: RecordId
    portal_id: str | None
    values: Values = field(repr=False)

    @property
    def identity(self) -> Identity:
        """First name, last name and birth date; the mapping refuses a record without them."""
        return identity_in(self.values)


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One contact, case, payer or note on the chart. `key` is the portal's handle for it, opaque to us."""

    key: str
    values: Values = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """A chart as the portal shows it on one page load, in canonical values.

    `unread`: sections that are not as they are known to be, of which nothing is said here.
    """

    portal_id: str
    values: Values = field(repr=False)  # section Patient
    rows: Mapping[Section, tuple[Row, ...]] = field(repr=False, default_factory=dict)
    unread: frozenset[Section] = frozenset()

    @property
    def identity(self) -> Identity:
        """Whose chart this page says it is."""
        return identity_in(self.values)

    def rows_of(self, section: Section) -> tuple[Row, ...]:
        """What that section shows; section Patient as an only row."""
        return (Row(key="", values=self.values),) if section is Section.PATIENT else self.rows.get(section, ())


@dataclass(frozen=True, slots=True, kw_only=True)
class Hit:
    """One line of the portal's search results; what it does not show is empty."""

    portal_id: str
    identity: Identity = field(repr=False)
    phone: str = field(repr=False, default="")


@dataclass(frozen=True, slots=True, kw_only=True)
class Edit:
    """What to type into one form, then Save: the fields that differ. `row` None in a section with rows: a new row.

    `seen`: what the section showed when this was worked out, as rows (section Patient as the only one); None: unknown.
    """

    section: Section
    row: str | None
    values: Values = field(repr=False)
    seen: tuple[Row, ...] | None = field(default=None, repr=False, compare=False)


def identity_in(values: Values) -> Identity:
    """The three identifying values; a missing or unreadable birth date is None and agrees with nothing."""
    try:
        birth_date = date.fromisoformat(values.get(Field.BIRTH_DATE, ""))
    except ValueError:
        birth_date = None
    return Identity(
        first_name=values.get(Field.FIRST_NAME, ""), last_name=values.get(Field.LAST_NAME, ""), birth_date=birth_date
    )


def marker(record_id: RecordId) -> str:
    """The last line of our note on a chart, by which it is found again; it holds the record's id and nothing else."""
    return f"[Salesforce intake {record_id}]"


def note_with_marker(text: str, record_id: RecordId) -> str:
    """Our note as the chart should hold it; "" for no text. A marker pasted into the text is left out of it.

    A second marker in the middle would make the note end early the next time it is read.
    """
    lines = [line for line in text.split("\n") if not _MARKER.fullmatch(line.strip())]
    kept = "\n".join(lines).strip("\n")
    return f"{kept}\n{marker(record_id)}" if kept.strip() else ""


def folded(value: str) -> str:
    """A value as compared: NFC, case-folded, white space collapsed. Accents count: José is not Jose."""
    return " ".join(unicodedata.normalize("NFC", value).casefold().split())
