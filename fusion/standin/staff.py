"""Charts as the clinic's staff leave them: what tests and demos put in or edit, past log-in and duplicate warning.

Its lines in the ledger have kinds of their own (`seed`, `staff_create`, `staff_save`, `staff_add`, `staff_remove`):
whoever counts `create`, `save` and `add` counts users of the portal only.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from fusion.standin.charts import Chart, NoSuchRow, Row
from fusion.standin.clinic import Clinic
from fusion.standin.forms import PATIENT, ROW_SECTIONS, Section, Values
from fusion.standin.ledger import Caller


class Unreadable(ValueError):
    """The chart given is not of the form that `Chart.as_json` has; the message says where."""


def put(
    clinic: Clinic, wanted: Mapping[str, object], *, caller: Caller, seed: bool = False, unchecked: bool = False
) -> Chart:
    """The chart after staff put in *wanted*, which reads like `Chart.as_json`: sections and rows by label.

    With the id of a chart, its fields and rows (by `row_id`) are edited, rows without one added, and the row ids in
    `remove` taken out; all as one revision. An unknown or missing id makes a chart; `active: false` hides it from the
    search. Invalid values are refused unless *unchecked*: then it's an old chart from before the checks.
    Raises Invalid, Unreadable, NoSuchRow.
    """
    unknown = wanted.keys() - {"id", "revision", "active", "remove", PATIENT.name, *ROW_SECTIONS}
    if unknown:
        raise Unreadable(f"no such section: {', '.join(sorted(unknown))}")
    chart_id = str(wanted.get("id") or clinic.charts.new_id())
    if not (chart_id.isdecimal() and len(chart_id) == 8):
        raise Unreadable("id: eight digits")
    edit = _begin(clinic, chart_id, unchecked=unchecked)
    edit.patient(_texts(PATIENT, wanted.get(PATIENT.name, {})))
    for section in ROW_SECTIONS.values():
        for entry in _list(section.name, wanted.get(section.name, [])):
            edit.row(section, _texts(section, entry, "row_id"))
    for row_id in _list("remove", wanted.get("remove", [])):
        edit.remove(str(row_id))
    active = bool(wanted.get("active", edit.chart.active))
    chart = replace(edit.chart, active=active, revision=edit.revision + 1)
    clinic.charts.put(chart)
    clinic.index.note(chart, at_once=seed)
    for write in edit.writes:
        clinic.ledger.append(
            "seed" if seed else f"staff_{write.deed}",
            caller,
            patient_id=chart.id,
            section=write.section,
            row_id=write.row_id,
            revision=chart.revision,
            before=write.before,
            after=write.after,
        )
    return chart


@dataclass(frozen=True, slots=True, kw_only=True)
class _Write:
    deed: str
    section: str
    row_id: str | None
    before: Values
    after: Values


@dataclass(slots=True, kw_only=True)
class _Edit:
    """A chart in the making, and what is done to it."""

    clinic: Clinic
    chart: Chart
    revision: int
    unchecked: bool
    writes: list[_Write] = field(default_factory=list)

    def patient(self, fields: Values) -> None:
        new = self.revision == 0
        before = {} if new else self.chart.patient
        after = self._merged(PATIENT, before, fields)
        self.chart = self.chart.with_patient(after)
        self._note("create" if new else "save", PATIENT, None, before, after)

    def row(self, section: Section, fields: dict[str, str]) -> None:
        row_id = fields.pop("row_id", None)
        before = self.chart.row(section.name, row_id).values if row_id else {}
        row = Row(id=row_id or self.clinic.charts.new_row_id(), values=self._merged(section, before, fields))
        self.chart = self.chart.with_row(section.name, row)
        self._note("save" if row_id else "add", section, row.id, before, row.values)

    def remove(self, row_id: str) -> None:
        for section in ROW_SECTIONS.values():
            for row in self.chart.rows[section.name]:
                if row.id == row_id:
                    self.chart = self.chart.without_row(section.name, row_id)
                    self._note("remove", section, row_id, row.values, {})
                    return
        raise NoSuchRow(row_id)

    def _merged(self, section: Section, before: Values, fields: Values) -> dict[str, str]:
        after = section.complete({**before, **fields})
        if not self.unchecked:
            self.clinic.check(section, before, after)
        return after

    def _note(self, deed: str, section: Section, row_id: str | None, before: Values, after: Values) -> None:
        if before != after:
            self.writes.append(_Write(deed=deed, section=section.name, row_id=row_id, before=before, after=after))


def _begin(clinic: Clinic, chart_id: str, *, unchecked: bool) -> _Edit:
    if chart_id in clinic.charts:
        chart = clinic.charts.get(chart_id)
        return _Edit(clinic=clinic, chart=chart, revision=chart.revision, unchecked=unchecked)
    blank = Chart(id=chart_id, patient=PATIENT.complete({}))
    return _Edit(clinic=clinic, chart=blank, revision=0, unchecked=unchecked)


def _texts(section: Section, value: object, *more: str) -> dict[str, str]:
    if not isinstance(value, dict) or not all(isinstance(text, str) for text in value.values()):
        raise Unreadable(f"{section.name}: an object of texts")
    if unknown := value.keys() - {*section.labels(), *more}:
        raise Unreadable(f"{section.name}: no such field: {', '.join(sorted(unknown))}")
    return dict(value)


def _list(name: str, value: object) -> list[object]:
    if not isinstance(value, list):
        raise Unreadable(f"{name}: a list")
    return value
