"""What is to be typed so that a chart shows the patient: only what differs, and only in our own rows. Pure.

A guardian, case, policy or note that staff added is never an edit of ours. What only staff knows stays: a value is
emptied only where the mapping says so, and what staff wrote below the marker line of our note is kept.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from fusion.names import Likeness, first_name_likeness, plain
from fusion.patient import Edit, Field, Patient, Row, Section, Shown, Values, folded, marker

Find = Callable[[Sequence[Row], Patient], Row | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """How one field may be written. `label` is what people call it in messages."""

    label: str
    required: bool = False
    may_clear: bool = False
    create_only: bool = False


_STRICT = Policy(label="")


def differences(shown: Shown, wanted: Patient, policy: Mapping[Field, Policy]) -> tuple[Edit, ...]:
    """The edits after which the chart shows *wanted*, in the order Patient, Contacts, Cases, Payers, Notes.

    () when it already does. Fields that *wanted* does not hold are left alone, and so are sections that were not read.
    An edit may change the identity: whether this is the right chart is asked elsewhere, before anything is typed.
    """
    return tuple(replace(edit, seen=shown.rows_of(edit.section)) for edit in _edits(shown, wanted, policy))


def same(field: Field, one: str, other: str) -> bool:
    """Whether two canonical values count as equal. In free text the case counts, line breaks and spacing do not."""
    if field in (Field.NOTE, Field.PRESENTING_CONCERNS):
        return _words(one) == _words(other)
    return folded(one) == folded(other)


def _edits(shown: Shown, wanted: Patient, policy: Mapping[Field, Policy]) -> Iterator[Edit]:
    for section in Section:
        if section in shown.unread:
            continue
        values = {field: wanted.values[field] for field in Field if field in wanted.values and field.section is section}
        if section is Section.PATIENT:
            if changed := _changed(shown.values, values, policy):
                yield Edit(section=section, row=None, values=changed)
        elif any(values.values()):
            yield from _row_edit(section, shown.rows.get(section, ()), wanted, values, policy)


def _row_edit(
    section: Section, rows: Sequence[Row], wanted: Patient, values: Values, policy: Mapping[Field, Policy]
) -> Iterator[Edit]:
    row = _FIND[section](rows, wanted)
    if row is None:
        yield Edit(section=section, row=None, values={field: value for field, value in values.items() if value})
        return
    if section is Section.NOTES and values[Field.NOTE].endswith(marker(wanted.record_id)):
        values = {Field.NOTE: _above_staffs_words(row, wanted)}
    if changed := _changed(row.values, values, policy):
        yield Edit(section=section, row=row.key, values=changed)


def _changed(shown: Values, wanted: Values, policy: Mapping[Field, Policy]) -> dict[Field, str]:
    changed = {}
    for field, value in wanted.items():
        rule = policy.get(field, _STRICT)
        if not rule.create_only and (value or rule.may_clear) and not same(field, shown.get(field, ""), value):
            changed[field] = value
    return changed


def _contact(rows: Sequence[Row], wanted: Patient) -> Row | None:
    """By name and relationship; else the only one of that name; else the only one whose name was corrected."""
    named = [row for row in rows if _agree(row, wanted, Field.GUARDIAN_NAME)]
    for row in named:
        if _agree(row, wanted, Field.RELATIONSHIP):
            return row
    if named:
        return _only(named)
    return _only(
        [
            row
            for row in rows
            if _agree(row, wanted, Field.RELATIONSHIP)
            and (_share(row, wanted, Field.PHONE) or _share(row, wanted, Field.EMAIL))
            and _corrected(row.values.get(Field.GUARDIAN_NAME, ""), wanted.values.get(Field.GUARDIAN_NAME, ""))
        ]
    )


def _corrected(shown: str, wanted: str) -> bool:
    """Whether one name can be the other spelt right: the first names are alike, or one is an initial.

    Two grandparents share a relationship, a phone and a last name. Without this the second would overwrite the first.
    """
    if not shown.strip() or not wanted.strip():
        return True
    one, other = shown.split(maxsplit=1)[0], wanted.split(maxsplit=1)[0]
    initial = min(len(plain(one)), len(plain(other))) == 1 and plain(one)[:1] == plain(other)[:1]
    return initial or first_name_likeness(one, other) is not Likeness.DIFFERENT


def _case(rows: Sequence[Row], wanted: Patient) -> Row | None:
    return next((row for row in rows if _agree(row, wanted, Field.CASE_TYPE)), None)


def _payer(rows: Sequence[Row], wanted: Patient) -> Row | None:
    """By payer and member id; else the only one with that member id, whose payer was corrected."""
    for row in rows:
        if _agree(row, wanted, Field.PAYER) and _agree(row, wanted, Field.MEMBER_ID):
            return row
    return _only([row for row in rows if _share(row, wanted, Field.MEMBER_ID)])


def _note(rows: Sequence[Row], wanted: Patient) -> Row | None:
    """By the marker line; a note that carries none is found by its very text only."""
    text, ours = wanted.values.get(Field.NOTE, ""), marker(wanted.record_id)
    if not text.endswith(ours):
        return next((row for row in rows if _agree(row, wanted, Field.NOTE)), None)
    return next((row for row in rows if any(line.strip() == ours for line in _lines(row))), None)


_FIND: Mapping[Section, Find] = {
    Section.CONTACTS: _contact,
    Section.CASES: _case,
    Section.PAYERS: _payer,
    Section.NOTES: _note,
}


def _above_staffs_words(row: Row, wanted: Patient) -> str:
    """Our note with what stands below the marker line on the chart still below it."""
    text, ours = wanted.values[Field.NOTE], marker(wanted.record_id)
    lines = _lines(row)
    at = next((at for at, line in enumerate(lines) if line.strip() == ours), len(lines))
    below = "\n".join(lines[at + 1 :]).rstrip()
    return f"{text}\n{below}" if below else text


def _lines(row: Row) -> list[str]:
    return row.values.get(Field.NOTE, "").replace("\r\n", "\n").split("\n")


def _agree(row: Row, wanted: Patient, field: Field) -> bool:
    return same(field, row.values.get(field, ""), wanted.values.get(field, ""))


def _share(row: Row, wanted: Patient, field: Field) -> bool:
    return bool(wanted.values.get(field)) and _agree(row, wanted, field)


def _only(rows: Sequence[Row]) -> Row | None:
    return rows[0] if len(rows) == 1 else None


def _words(text: str) -> list[str]:
    return unicodedata.normalize("NFC", text).split()
