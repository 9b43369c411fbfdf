"""What a visit of one record would come to, field by field, without making it.

It holds values of a patient: it is for a screen, and is kept nowhere.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from fusion.card import Card, card, on_screen
from fusion.codes import Code
from fusion.mapping import RecordMapping
from fusion.matching import Match, grade
from fusion.patient import Edit, Field, Patient, Section, Shown
from fusion.portal import Refused
from fusion.visit import Chart, Doubt, Sight, Unclear, chart_of, edits_for, open_chart, patient_in
from listener.change import RecordId
from listener.entry import CONFIRMED_NEW, OutboxEntry, SyncResult
from listener.errors import EntryError
from listener.org import Record


class Would(StrEnum):
    """What the visit would do."""

    CREATE = "create"
    LINK = "link"  # to a chart that is in the portal already
    UPDATE = "update"
    NOTHING = "nothing"
    REFUSE = "refuse"
    UNREAD = "unread"  # the portal could not be read just then


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One field that would be typed. `row`: "new" where a row would be added for it, else empty."""

    section: str
    row: str
    label: str
    old: str = field(repr=False)
    new: str = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Preview:
    """What the visit would come to. `reasons`: the facts by which the chart is this patient's.

    `cards`: where a person must say it, the record beside each chart in question.
    """

    record_id: RecordId
    would: Would
    portal_id: str | None = None
    code: Code | None = None
    message: str = ""
    reasons: tuple[str, ...] = ()
    candidates: tuple[tuple[str, Match], ...] = ()
    cards: tuple[Card, ...] = ()
    steps: tuple[Step, ...] = ()


async def _at_once() -> None:
    """For those that need not wait for their turn in the portal."""


async def preview(
    record_id: RecordId,
    record: Record | None,
    sight: Sight,
    *,
    entry: OutboxEntry | None = None,
    turn: Callable[[], Awaitable[None]] = _at_once,
    beside: bool = False,
) -> Preview:
    """What a visit would come to now. `record` as just read, None if it is gone; `turn` is awaited before the portal.

    `entry`: the row that waits for the record, which may hold a doubt or a person's answer. `beside`: whether charts in
    question are read once more, to be shown beside the record. Raises `Outage`.
    """
    doubt = Doubt(open=entry is not None and entry.intent_fence is not None)
    doubt.whom = entry.intent_identity if entry else None
    try:
        patient = await patient_in(record, record_id, doubt, sight)
        if isinstance(patient, SyncResult):
            return Preview(record_id=record_id, would=Would.NOTHING, message=patient.message or "")
        is_new = entry is not None and entry.code == CONFIRMED_NEW and patient.portal_id is None and not doubt.open
        if is_new:
            return _found(patient, None, sight.mapping)
        await turn()
        try:
            return _found(patient, await chart_of(patient, doubt, sight), sight.mapping)
        except Refused as refused:
            return _refused(record_id, refused, await _cards(patient, refused, sight) if beside else ())
    except Refused as refused:
        return _refused(record_id, refused)
    except EntryError as error:
        return Preview(record_id=record_id, would=Would.UNREAD, message=error.whole)


def _refused(record_id: RecordId, refused: Refused, cards: tuple[Card, ...] = ()) -> Preview:
    return Preview(
        record_id=record_id,
        would=Would.REFUSE,
        code=refused.code,
        message=refused.code.sentence(refused.detail),
        candidates=refused.candidates if isinstance(refused, Unclear) else (),
        cards=cards,
    )


async def _cards(patient: Patient, refused: Refused, sight: Sight) -> tuple[Card, ...]:
    """The record beside each chart that the refusal is about, as they are by now."""
    if isinstance(refused, Unclear):
        asked = [portal_id for portal_id, _ in refused.candidates]
    else:
        asked = [patient.portal_id] if refused.code is Code.IDENTITY_MISMATCH and patient.portal_id else []
    charts = [await open_chart(portal_id, sight) for portal_id in asked]
    return tuple(card(patient, shown, sight.mapping) for shown in charts if shown is not None)


def _found(patient: Patient, chart: Chart | None, mapping: RecordMapping) -> Preview:
    edits = edits_for(patient, chart, mapping)
    return Preview(
        record_id=patient.record_id,
        would=_would(patient, chart, edits),
        portal_id=chart.shown.portal_id if chart else None,
        reasons=grade(patient, chart.shown).reasons if chart else (),
        steps=tuple(step for edit in edits for step in _steps(edit, chart.shown if chart else None, mapping)),
    )


def _would(patient: Patient, chart: Chart | None, edits: Sequence[Edit]) -> Would:
    if chart is None:
        return Would.CREATE
    if patient.portal_id is None:
        return Would.LINK
    return Would.UPDATE if edits else Would.NOTHING


def _steps(edit: Edit, shown: Shown | None, mapping: RecordMapping) -> list[Step]:
    is_row = edit.section is not Section.PATIENT
    before = _before(edit, shown) if shown else {}
    return [
        Step(
            section=edit.section.value,
            row="new" if is_row and edit.row is None and shown is not None else "",
            label=mapping.rules[name].policy.label,
            old=on_screen(name, before.get(name, "")),
            new=on_screen(name, value),
        )
        for name, value in edit.values.items()
    ]


def _before(edit: Edit, shown: Shown) -> Mapping[Field, str]:
    if edit.section is Section.PATIENT:
        return shown.values
    return next((row.values for row in shown.rows.get(edit.section, ()) if row.key == edit.row), {})
