"""Is that chart this child? Graded, with its reasons as names of facts. Pure.

Children of one family share last name, address, phone, guardian and policy, and twins the birth date too; so the first
name is an agreement of its own that nothing can stand in for. Medplum warns of the same and sends weaker rules to a
person (medplum.com/docs/fhir-datastore/patient-deduplication/matching). Only `CERTAIN` acts alone.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import IntEnum

from fusion.names import Likeness, date_likeness, first_name_likeness, last_name_likeness, plain
from fusion.patient import Field, Hit, Identity, Patient, Section, Shown, folded

TWIN_OR_SIBLING, NAMES_SWAPPED, SSN_DIFFERS = "twin_or_sibling", "names_swapped", "ssn_differs"


class Grade(IntEnum):
    """How sure it is; they compare in that order."""

    NONE = 0
    POSSIBLE = 1
    PROBABLE = 2
    CERTAIN = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Match:
    """How well a chart fits. `reasons` name facts (`last_name`, `phone`, `first_name_nickname`), never values."""

    grade: Grade
    reasons: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """What the matches come to: a chart (`portal_id`), a question for a person (`candidates`), or a new chart."""

    portal_id: str | None = None
    candidates: tuple[tuple[str, Match], ...] = ()

    @property
    def is_new(self) -> bool:
        """Whether no chart can be this child's."""
        return self.portal_id is None and not self.candidates


@dataclass(frozen=True, slots=True, kw_only=True)
class _Compared:
    """The three identifying values against another three."""

    first: Likeness
    last: Likeness
    born: Likeness
    swapped: bool

    @property
    def facts(self) -> tuple[str, ...]:
        named = (("first_name", self.first), ("last_name", self.last), ("birth_date", self.born))
        return tuple(name if how is Likeness.EXACT else f"{name}_{how}" for name, how in named)

    @property
    def all(self) -> tuple[Likeness, Likeness, Likeness]:
        return (self.first, self.last, self.born)


def grade(patient: Patient, shown: Shown) -> Match:
    """How sure it is that the chart is this patient's.

    CERTAIN   first name, last name and birth date are the same, and one thing more; no SSN speaks against it
    PROBABLE  the three alone
    POSSIBLE  two of them and a slip in the third; both names swapped; two slips and one thing more; or the SSN alone
    NONE      anything else: above all, another first name with all the rest the same
    """
    compared = _compared(patient, shown.identity, nickname=shown.values.get(Field.NICKNAME, ""))
    ssn = _ssn_agrees(patient.values.get(Field.SSN, ""), shown.values.get(Field.SSN, ""))
    more = (*_agreements(patient, shown), *(("ssn",) if ssn else ()))
    against = (SSN_DIFFERS,) if ssn is False else ()
    reasons = (*compared.facts, *((NAMES_SWAPPED,) if compared.swapped else ()), *more, *against)

    if all(how is Likeness.EXACT for how in compared.all):
        sure = Grade.POSSIBLE if against else Grade.CERTAIN if more else Grade.PROBABLE
        return Match(grade=sure, reasons=reasons)
    if compared.first is Likeness.DIFFERENT and not compared.swapped and _one_family(compared, more):
        reasons = (*reasons, TWIN_OR_SIBLING)
    slips = sum(not how.is_equal for how in compared.all)
    alike = Likeness.DIFFERENT not in compared.all and (slips <= 1 or (slips == 2 and bool(more)))
    return Match(grade=Grade.POSSIBLE if alike or compared.swapped or ssn else Grade.NONE, reasons=reasons)


def plausible(patient: Patient, hit: Hit) -> bool:
    """Whether a search result is worth opening: its chart could be graded POSSIBLE or better.

    A result shows less than a chart. What it leaves out speaks for it, and one that differs in the first name alone is
    opened, since the chart may show that name as a nickname. A chart that has the SSN in common and little else is
    found only if two of the three agree; else every namesake would have to be opened.
    """
    compared = _compared(patient, hit.identity, nickname="")
    others = [how for how in compared.all if how is not Likeness.DIFFERENT]
    if compared.swapped or len(others) == 3:
        return True
    if len(others) < 2:
        return False
    agree = all(how.is_equal for how in others)
    return compared.first is Likeness.DIFFERENT or (agree and bool(patient.values.get(Field.SSN)))


def decide(matches: Sequence[tuple[str, Match]], *, cut_off: bool = False) -> Decision:
    """The chart if exactly one is sure enough and no other is PROBABLE; a new one if none is POSSIBLE; else a question.

    `cut_off`: we look for what our own save may have left. There was no such chart before it, and a new chart has no
    rows yet that could agree, so PROBABLE is enough for it.
    """
    best: dict[str, Match] = {}
    for portal_id, match in matches:
        if portal_id not in best or match.grade > best[portal_id].grade:
            best[portal_id] = match
    likely = [portal_id for portal_id, match in best.items() if match.grade >= Grade.PROBABLE]
    enough = Grade.PROBABLE if cut_off else Grade.CERTAIN
    if len(likely) == 1 and best[likely[0]].grade >= enough:
        return Decision(portal_id=likely[0])
    candidates = [(portal_id, match) for portal_id, match in best.items() if match.grade >= Grade.POSSIBLE]
    return Decision(candidates=tuple(sorted(candidates, key=lambda one: (-one[1].grade, one[0]))))


def _compared(patient: Patient, other: Identity, *, nickname: str) -> _Compared:
    ours = patient.identity
    first = first_name_likeness(ours.first_name, other.first_name)
    if first is Likeness.DIFFERENT and _same_name(
        (patient.values.get(Field.NICKNAME, ""), other.first_name), (nickname, ours.first_name)
    ):
        first = Likeness.NICKNAME
    born = date_likeness(ours.birth_date, other.birth_date)
    one, two = plain(ours.first_name), plain(ours.last_name)
    swapped = one != two and (plain(other.last_name), plain(other.first_name)) == (one, two)
    return _Compared(
        first=first,
        last=last_name_likeness(ours.last_name, other.last_name),
        born=born,
        swapped=swapped and born in (Likeness.EXACT, Likeness.MISSING),
    )


def _same_name(*pairs: tuple[str, str]) -> bool:
    return any(one and plain(one) == plain(other) for one, other in pairs)


def _one_family(compared: _Compared, more: tuple[str, ...]) -> bool:
    return compared.last.is_equal and (compared.born is Likeness.EXACT or bool(more))


def _agreements(patient: Patient, shown: Shown) -> tuple[str, ...]:
    """Facts beside the identity that are the same on any row of the chart."""
    contacts, payers = shown.rows.get(Section.CONTACTS, ()), shown.rows.get(Section.PAYERS, ())
    street, zip_code = patient.values.get(Field.STREET, ""), patient.values.get(Field.ZIP, "")
    found = {
        "phone": _among(patient, Field.PHONE, (row.values.get(Field.PHONE, "") for row in contacts)),
        "email": _among(patient, Field.EMAIL, (row.values.get(Field.EMAIL, "") for row in contacts)),
        "guardian_name": _among(
            patient, Field.GUARDIAN_NAME, (row.values.get(Field.GUARDIAN_NAME, "") for row in contacts)
        ),
        "member_id": _among(patient, Field.MEMBER_ID, (row.values.get(Field.MEMBER_ID, "") for row in payers)),
        "address": bool(street and zip_code)
        and any(
            folded(row.values.get(Field.STREET, "")) == folded(street)
            and row.values.get(Field.ZIP, "")[:5] == zip_code[:5]
            for row in contacts
        ),
    }
    return tuple(name for name, agrees in found.items() if agrees)


def _among(patient: Patient, field: Field, shown: Iterable[str]) -> bool:
    wanted = folded(patient.values.get(field, ""))
    return wanted != "" and any(folded(value) == wanted for value in shown)


def _ssn_agrees(one: str, other: str) -> bool | None:
    """Whether two whole SSNs are the same; None where one is missing or masked and says nothing."""
    digits, others = re.sub(r"\D", "", one), re.sub(r"\D", "", other)
    return digits == others if len(digits) == len(others) == 9 else None
