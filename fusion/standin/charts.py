"""Patients' charts: values, rows, ids and revisions. Plain values; who may change them and who is told lies elsewhere.

A chart is never changed in place: each change is a new value with the next revision; what was read stays as it was.
"""

import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from fusion.standin.forms import ROW_SECTIONS, Values


class NoSuchChart(LookupError):
    """No patient has this id."""


class NoSuchRow(LookupError):
    """The chart has no such row in this section."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One contact, case, payer or note."""

    id: str
    values: Values


@dataclass(frozen=True, slots=True, kw_only=True)
class Chart:
    """One patient. `patient` is the section Patient; `rows` has every other section, in the order they were added."""

    id: str
    patient: Values
    rows: Mapping[str, tuple[Row, ...]] = field(default_factory=lambda: dict.fromkeys(ROW_SECTIONS, ()))
    revision: int = 1
    active: bool = True

    def row(self, section: str, row_id: str) -> Row:
        """The row with this id; NoSuchRow when the section has none."""
        for row in self.rows[section]:
            if row.id == row_id:
                return row
        raise NoSuchRow(row_id)

    def with_patient(self, values: Values) -> "Chart":
        """The next revision, with these values in section Patient."""
        return replace(self, patient=dict(values), revision=self.revision + 1)

    def with_row(self, section: str, row: Row) -> "Chart":
        """The next revision with *row* in place of the one that has its id, else at the end."""
        before = self.rows[section]
        known = any(other.id == row.id for other in before)
        after = tuple(row if other.id == row.id else other for other in before) if known else (*before, row)
        return replace(self, rows={**self.rows, section: after}, revision=self.revision + 1)

    def without_row(self, section: str, row_id: str) -> "Chart":
        """The next revision without that row; NoSuchRow when the section has none."""
        gone = self.row(section, row_id)
        after = tuple(row for row in self.rows[section] if row is not gone)
        return replace(self, rows={**self.rows, section: after}, revision=self.revision + 1)

    def as_json(self) -> dict[str, object]:
        """The chart keyed by the portal's labels; each row carries its id as `row_id`."""
        return {
            "id": self.id,
            "revision": self.revision,
            "active": self.active,
            "Patient": dict(self.patient),
            **{name: [{"row_id": row.id, **row.values} for row in rows] for name, rows in self.rows.items()},
        }


class Charts:
    """All charts by id, and the two sequences that ids come from."""

    def __init__(self, *, rng: random.Random) -> None:
        self._by_id: dict[str, Chart] = {}
        self._rng = rng
        self._last_patient = 10_234_400
        self._last_row = 4_100_200

    def __iter__(self) -> Iterator[Chart]:
        return iter(self._by_id.values())

    def __len__(self) -> int:
        return len(self._by_id)

    def __contains__(self, chart_id: str) -> bool:
        return chart_id in self._by_id

    def get(self, chart_id: str) -> Chart:
        """The chart as it is now; NoSuchChart for an unknown id."""
        try:
            return self._by_id[chart_id]
        except KeyError:
            raise NoSuchChart(chart_id) from None

    def put(self, chart: Chart) -> None:
        """Keep *chart* in place of what its id stood for."""
        self._by_id[chart.id] = chart

    def clear(self) -> None:
        """Take all charts away; their ids are not given again."""
        self._by_id.clear()

    def new_id(self) -> str:
        """Eight digits, rising but not contiguous. Inferred: claim ids of the real portal have eight digits too."""
        while True:
            self._last_patient += self._rng.randint(1, 97)
            if (fresh := str(self._last_patient)) not in self._by_id:
                return fresh

    def new_row_id(self) -> str:
        """Seven digits, rising but not contiguous."""
        self._last_row += self._rng.randint(1, 9)
        return str(self._last_row)

    def alike(self, patient: Values, labels: Sequence[str]) -> list[Chart]:
        """Charts that show the same under all these labels: the ones that a new patient is held against."""
        wanted = [patient[label].casefold() for label in labels]
        return [c for c in self if [c.patient[label].casefold() for label in labels] == wanted]
