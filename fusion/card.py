"""A record and a chart side by side, for the person who must say whether both are one child. Pure.

It holds values of a patient: it is for a screen, and is kept nowhere. What says nothing of who it is, as notes and
concerns, is not on it: the minimum necessary (45 CFR 164.502(b)).
"""

from __future__ import annotations

from dataclasses import dataclass, field

from fusion.mapping import RecordMapping
from fusion.matching import NAMES_SWAPPED, SSN_DIFFERS, TWIN_OR_SIBLING, Match, grade
from fusion.names import Likeness
from fusion.patient import Field, Patient, Section, Shown, folded

_ON_IT = (
    Field.FIRST_NAME,
    Field.MIDDLE_NAME,
    Field.LAST_NAME,
    Field.NICKNAME,
    Field.BIRTH_DATE,
    Field.GENDER,
    Field.SSN,
    Field.GUARDIAN_NAME,
    Field.RELATIONSHIP,
    Field.PHONE,
    Field.EMAIL,
    Field.STREET,
    Field.ZIP,
    Field.PAYER,
    Field.MEMBER_ID,
)
_IDENTITY = (Field.FIRST_NAME, Field.LAST_NAME, Field.BIRTH_DATE)
_HOW = {
    Likeness.EXACT: "same",
    Likeness.VARIANT: "same but for accents, hyphens or spaces",
    Likeness.PARTIAL: "one has a word more",
    Likeness.NICKNAME: "short form or nickname",
    Likeness.SIMILAR: "spelt alike",
    Likeness.TRANSPOSED: "day and month, or digits, swapped",
    Likeness.NEAR: "one day or one digit off",
    Likeness.MISSING: "missing",
    Likeness.DIFFERENT: "differs",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One field. `chart`: what the chart shows of it, in each of its rows; `how`: how the two compare, in words."""

    label: str
    record: str = field(repr=False)
    chart: tuple[str, ...] = field(repr=False)
    how: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Card:
    """The record beside one chart, and how sure the match is of it."""

    portal_id: str
    match: Match
    lines: tuple[Line, ...]

    @property
    def notes(self) -> tuple[str, ...]:
        """What a person should think of before answering."""
        said = []
        if TWIN_OR_SIBLING in self.match.reasons:
            said.append("Another first name with the rest alike: a twin, or another child of the family?")
        if SSN_DIFFERS in self.match.reasons:
            said.append("Two different SSNs are two children, unless one of them is mistyped.")
        if not {name.value for name in _IDENTITY} <= set(self.match.reasons):
            said.append("If it is this patient's: first make name and birth date the same, in Salesforce or there.")
        return tuple(said)


def card(patient: Patient, shown: Shown, mapping: RecordMapping) -> Card:
    """Both side by side as they are now; fields that are empty on both sides are left out."""
    match = grade(patient, shown)
    lines = []
    for name in _ON_IT:
        ours, theirs = patient.values.get(name, ""), _on_the_chart(name, shown)
        if (ours or theirs) and name in mapping.rules:
            lines.append(
                Line(
                    label=mapping.rules[name].policy.label,
                    record=on_screen(name, ours),
                    chart=tuple(on_screen(name, value) for value in theirs),
                    how=_how(name, ours, theirs, match),
                )
            )
    return Card(portal_id=shown.portal_id, match=match, lines=tuple(lines))


def on_screen(name: Field, value: str) -> str:
    """A value as it may stand on a screen: of an SSN the last four digits."""
    # Whoever looks over a shoulder needs no more of it than whoever compares two.
    return f"•••-••-{value[-4:]}" if name is Field.SSN and value else value


def _on_the_chart(name: Field, shown: Shown) -> tuple[str, ...]:
    if name.section is Section.PATIENT:
        values = [shown.values.get(name, "")]
    else:
        values = [row.values.get(name, "") for row in shown.rows.get(name.section, ())]
    return tuple(dict.fromkeys(value for value in values if value))


def _how(name: Field, ours: str, theirs: tuple[str, ...], match: Match) -> str:
    if name in _IDENTITY:
        if NAMES_SWAPPED in match.reasons and name is not Field.BIRTH_DATE:
            return "swapped"
        suffixes = {name.value: Likeness.EXACT, **{f"{name.value}_{one}": one for one in Likeness}}
        return next((_HOW[how] for fact, how in suffixes.items() if fact in match.reasons), "")
    if not ours or not theirs:
        return ""
    if name is Field.SSN and not {"ssn", SSN_DIFFERS} & set(match.reasons):
        return "masked"
    alike = any(_compared(name, ours) == _compared(name, value) for value in theirs)
    return ("same" if len(theirs) == 1 else f"same as one of {len(theirs)}") if alike else "differs"


def _compared(name: Field, value: str) -> str:
    return value[:5] if name is Field.ZIP else folded(value)
