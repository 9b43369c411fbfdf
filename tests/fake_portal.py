"""A portal in memory that keeps the promises of `fusion.portal.Portal`, for tests of what uses one."""

import asyncio
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace

from fusion.codes import Code
from fusion.drift import ENTRANCE, Drift, Place, Walk
from fusion.patient import Edit, Field, Hit, Identity, Patient, Row, Section, Shown, Values, folded
from fusion.portal import AboutToSave, Overtaken, Refused
from listener.errors import EntryError


@dataclass(slots=True)
class FakePortal:
    """`ledger`: each save as (deed, portal id, section, values). `lose_reply` cuts off the answer to the next one.

    `changed`: places that are not as they should be, with what is expected there; `in_form`: those of them that still
    look right on a chart, `in_view`: those whose forms do. `odd`: the only chart that shows it. `walks`: the
    charts with which it was looked for them; `looked`: the places, in their order. `hangs`: where a walk never ends.
    """

    charts: dict[str, Shown] = field(default_factory=dict)
    ledger: list[tuple[str, str, Section, Values]] = field(default_factory=list)
    lose_reply: bool = False
    changed: dict[Place, str] = field(default_factory=dict)
    in_form: set[Place] = field(default_factory=set)
    in_view: set[Place] = field(default_factory=set)
    walks: list[str | None] = field(default_factory=list)
    looked: list[Place] = field(default_factory=list)
    hangs: list[Place] = field(default_factory=list)
    odd: str | None = None

    def put(self, values: Values, rows: dict[Section, tuple[Values, ...]] | None = None) -> str:
        """Staff makes a chart; its id."""
        portal_id, none = str(10_000_001 + len(self.charts)), {s: () for s in Section if s is not Section.PATIENT}
        complete = {f: values.get(f, "") for f in Field if f.section is Section.PATIENT}
        self.charts[portal_id] = Shown(portal_id=portal_id, values=complete, rows=none)
        for section, contents in (rows or {}).items():
            for content in contents:
                self._put_row(portal_id, section, None, content)
        return portal_id

    async def find(self, patient: Patient) -> Sequence[Hit]:
        self._meets(Place.SEARCH)
        wanted, hits = patient.identity, []
        for chart in self.charts.values():
            phones = [phone for row in chart.rows[Section.CONTACTS] if (phone := row.values[Field.PHONE])]
            name = folded(chart.identity.last_name) == folded(wanted.last_name)
            if name or chart.identity.birth_date == wanted.birth_date or patient.values.get(Field.PHONE) in phones:
                hits.append(Hit(portal_id=chart.portal_id, identity=chart.identity, phone=next(iter(phones), "")))
        return hits

    async def read(self, portal_id: str, *, wary: Collection[Section] = ()) -> Shown | None:
        chart = self.charts.get(portal_id)
        gone = {place.section: place for place in self.changed if place.section and place not in self.in_form}
        gone = gone if self.odd in (None, portal_id) else {}
        if chart is not None:
            gone = {section: place for section, place in gone.items() if not self._is_bare(chart, place)}
        if chart is None or not gone:
            return chart
        for section in gone.keys() - set(wary):
            self._meets(gone[section])
        rows = {section: rows for section, rows in chart.rows.items() if section not in gone}
        return replace(chart, rows=rows, unread=frozenset(gone))

    async def walk(self, chart: str | None, places: Collection[Place], seen: Walk) -> None:
        self.walks.append(chart)
        shown = self.charts.get(chart or "")
        for place in Place:
            if place not in places or (shown is None and place not in ENTRANCE):
                continue
            self.looked.append(place)
            if place in self.hangs:
                self.hangs.remove(place)
                await asyncio.Event().wait()
            bare = shown is not None and self._is_bare(shown, place)
            here = place in self.changed and (self.odd in (None, chart) or place in ENTRANCE)
            here = here and not (bare and place in self.in_view)
            drift = Drift(place=place, expected=self.changed.get(place, ""), in_view=place in self.in_view)
            seen.found[place] = [drift] if here else []
            (seen.bare.add if bare else seen.bare.discard)(place)

    def _is_bare(self, chart: Shown, place: Place) -> bool:
        """Whether the chart has nothing there whose labels could be read."""
        return place.section is not None and place.section in chart.rows and not chart.rows[place.section]

    def _meets(self, place: Place) -> None:
        if place in self.changed:
            raise Refused(Code.PORTAL_CHANGED, f"expected {self.changed[place]}")

    async def create(self, patient: Patient, *, about_to_save: AboutToSave) -> str:
        self._meets(Place.NEW)
        if any(chart.identity.agrees_with(patient.identity) for chart in self.charts.values()):
            raise Refused(Code.DUPLICATE_WARNING)
        await about_to_save()
        values = {f: value for f, value in patient.values.items() if f.section is Section.PATIENT and value}
        return self._saved("create", self.put(values), Section.PATIENT, values)

    async def update(
        self,
        portal_id: str,
        edits: Sequence[Edit],
        *,
        expect: Identity,
        about_to_save: AboutToSave,
        wary: Collection[Section] = (),
    ) -> Shown:
        if portal_id not in self.charts or not self.charts[portal_id].identity.agrees_with(expect):
            raise Refused(Code.IDENTITY_MISMATCH if portal_id in self.charts else Code.CHART_NOT_FOUND)
        if any(edit.seen is not None and edit.seen != self.charts[portal_id].rows_of(edit.section) for edit in edits):
            raise Overtaken("the chart is no longer as it was read")
        for edit in edits:
            chart = self.charts[portal_id]
            if edit.row is not None and edit.row not in (row.key for row in chart.rows[edit.section]):
                raise EntryError(f"a row of {edit.section} is gone from the chart")
            if self.odd in (None, portal_id) and edit.section.value not in self.in_view:
                self._meets(Place(edit.section.value))
            await about_to_save()
            if edit.section is Section.PATIENT:
                self.charts[portal_id] = replace(chart, values={**chart.values, **edit.values})
            else:
                self._put_row(portal_id, edit.section, edit.row, edit.values)
            new = edit.row is None and edit.section is not Section.PATIENT
            self._saved("add" if new else "save", portal_id, edit.section, edit.values)
        shown = await self.read(portal_id, wary=wary)
        assert shown is not None
        return shown

    def _put_row(self, portal_id: str, section: Section, key: str | None, values: Values) -> None:
        chart, empty = self.charts[portal_id], {f: "" for f in Field if f.section is section}
        rows = {row.key: row for row in chart.rows[section]}
        key = key or f"{section}-{len(rows) + 1}"
        rows[key] = Row(key=key, values={**(rows[key].values if key in rows else empty), **values})
        self.charts[portal_id] = replace(chart, rows={**chart.rows, section: tuple(rows.values())})

    def _saved(self, deed: str, portal_id: str, section: Section, values: Values) -> str:
        self.ledger.append((deed, portal_id, section, dict(values)))
        if self.lose_reply:
            self.lose_reply = False
            raise EntryError("the portal gave no evidence of the save")
        return portal_id
