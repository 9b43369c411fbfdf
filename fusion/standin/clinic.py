"""The clinic behind the portal: what its users can do to charts. A deed is checked, kept, indexed and in the ledger.

Saves are field by field and the last one wins, with no warning (inferred; nothing public speaks of a conflict). Whoever
cares can see it: each answer carries the chart's revision, and one higher than expected means that somebody else saved.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime

from fusion.standin.charts import Chart, Charts, Row
from fusion.standin.forms import PATIENT, Section, Values
from fusion.standin.ledger import Caller, Ledger
from fusion.standin.search import Hit, Index

DEFAULT_PAYERS = (
    "Atlantic Family Plan",
    "Blue Ridge Health",
    "Cape Fear Mutual",
    "Carolina Medicaid",
    "Coastal Health Alliance",
    "Dogwood Children's Plan",
    "Foothills Care Network",
    "Military Family Care East",
    "Old North State Assurance",
    "Piedmont Community Plan",
    "Sandhills Health Plan",
    "TriState Employers",
)
"""Made up; no payer of this name is meant."""

# Unknown of the real portal. By last name and birthdate alone every second twin would be a duplicate.
DUPLICATE_BY = ("First Name", "Last Name", "Birthdate")


class Invalid(Exception):
    """Values that can't be saved: label -> message, without the values."""

    def __init__(self, problems: Mapping[str, str]) -> None:
        super().__init__(f"not valid: {', '.join(problems)}")
        self.problems = dict(problems)


class PossibleDuplicate(Exception):
    """A new patient has the last name and birthdate of these."""

    def __init__(self, candidates: Sequence[Chart]) -> None:
        super().__init__(f"possible duplicate of {', '.join(chart.id for chart in candidates)}")
        self.candidates = tuple(candidates)


class Clinic:
    """Charts, their index and their ledger, changed together. *payers* are the clinic's own, in order of name."""

    def __init__(
        self,
        *,
        charts: Charts,
        index: Index,
        ledger: Ledger,
        payers: Sequence[str],
        clock: Callable[[], datetime],
        duplicate_by: Sequence[str] = DUPLICATE_BY,
    ) -> None:
        self.charts = charts
        self.index = index
        self.ledger = ledger
        self.payers = tuple(sorted(payers))
        self._clock = clock
        self._duplicate_by = tuple(duplicate_by)

    def search(self, caller: Caller, query: str, *, inactive: bool, location: str = "") -> list[Hit]:
        """What the search box finds; with *location* only those who are seen there."""
        hits = self.index.find(query, inactive=inactive)
        if location:
            hits = [hit for hit in hits if self.charts.get(hit.id).patient["Location"] == location]
        self.ledger.append("search", caller, query=query, found=[hit.id for hit in hits])
        return hits

    def read(self, caller: Caller, chart_id: str) -> Chart:
        """The chart; NoSuchChart when there is none, which is put in the ledger too."""
        if chart_id not in self.charts:
            self.ledger.append("missing", caller, patient_id=chart_id)
        chart = self.charts.get(chart_id)
        self.ledger.append("read", caller, patient_id=chart.id, revision=chart.revision)
        return chart

    def payers_like(self, caller: Caller, query: str) -> list[str]:
        """Payers with *query* anywhere in their name, whatever the case; all of them for ""."""
        found = [name for name in self.payers if query.strip().casefold() in name.casefold()]
        self.ledger.append("payers", caller, query=query, found=len(found))
        return found

    def create(self, caller: Caller, values: Values, *, anyway: bool) -> Chart:
        """A new patient's chart; Invalid or PossibleDuplicate otherwise, the latter only unless *anyway*."""
        complete = self._checked(caller, PATIENT, {}, values, None)
        if (alike := self.charts.alike(complete, self._duplicate_by)) and not anyway:
            self.ledger.append("duplicate", caller, section=PATIENT.name, candidates=[chart.id for chart in alike])
            raise PossibleDuplicate(alike)
        chart = Chart(id=self.charts.new_id(), patient=complete)
        self._keep(
            chart,
            "create",
            caller,
            section=PATIENT.name,
            after=complete,
            anyway=anyway,
            alike=[chart.id for chart in alike],
        )
        return chart

    def save_patient(self, caller: Caller, chart_id: str, values: Values) -> Chart:
        """The chart with these fields of section Patient changed; others stay."""
        chart = self.charts.get(chart_id)
        complete = self._checked(caller, PATIENT, chart.patient, values, chart_id)
        after = chart.with_patient(complete) if complete != chart.patient else chart
        self._keep(after, "save", caller, section=PATIENT.name, before=chart.patient, after=complete)
        return after

    def add_row(self, caller: Caller, chart_id: str, section: Section, values: Values) -> tuple[Chart, Row]:
        """The chart with a new contact, case, payer or note."""
        chart = self.charts.get(chart_id)
        complete = self._checked(caller, section, {}, values, chart_id)
        row = Row(id=self.charts.new_row_id(), values=complete)
        after = chart.with_row(section.name, row)
        self._keep(after, "add", caller, section=section.name, row_id=row.id, after=complete)
        return after, row

    def save_row(
        self, caller: Caller, chart_id: str, section: Section, row_id: str, values: Values
    ) -> tuple[Chart, Row]:
        """The chart with these fields of one row changed; NoSuchRow when it was removed meanwhile."""
        chart = self.charts.get(chart_id)
        row = chart.row(section.name, row_id)
        complete = self._checked(caller, section, row.values, values, chart_id, row_id)
        saved = replace(row, values=complete)
        after = chart.with_row(section.name, saved) if complete != row.values else chart
        self._keep(after, "save", caller, section=section.name, row_id=row_id, before=row.values, after=complete)
        return after, saved

    def _checked(
        self,
        caller: Caller,
        section: Section,
        before: Values,
        values: Values,
        chart_id: str | None,
        row_id: str | None = None,
    ) -> dict[str, str]:
        after = section.complete({**before, **values})
        try:
            self.check(section, before, after)
        except Invalid as refused:
            self.ledger.append(
                "refused",
                caller,
                patient_id=chart_id,
                section=section.name,
                row_id=row_id,
                problems=refused.problems,
            )
            raise
        return after

    def check(self, section: Section, before: Values, after: Values) -> None:
        """Invalid unless *after* may take the place of *before* in this section."""
        problems = section.problems(before, after, today=self._clock().date(), payers=self.payers)
        if problems:
            raise Invalid(problems)

    def _keep(
        self,
        chart: Chart,
        kind: str,
        caller: Caller,
        *,
        section: str,
        row_id: str | None = None,
        before: Values | None = None,
        after: Values,
        **about: object,
    ) -> None:
        self.charts.put(chart)
        self.index.note(chart)
        self.ledger.append(
            kind,
            caller,
            patient_id=chart.id,
            section=section,
            row_id=row_id,
            revision=chart.revision,
            before=before,
            after=after,
            **about,
        )
