"""Was it done right? Judged by what was done to the two systems, how they look in the end, and the outbox's own tables.

Independent: nothing of the code under test is asked or imported; tables are read by plain SQL. What a right chart shows
is written out by hand in `fusion.standin.intakes`. Rules are numbered as in the design, section 6.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import create_engine, text
from sqlalchemy.engine import make_url
from sqlalchemy.pool import NullPool

from fusion.standin.intakes import chart_of

Row = Mapping[str, Any]

ID, STATUS, CODE = "Fusion_Web_Id__c", "Fusion_Sync_Status__c", "Fusion_Sync_Error_Code__c"
READY = "Ready_for_Fusion__c"
_OURS = "Fusion_"
_MARK = "[Salesforce intake "
_BOOKKEEPING = {"LastModifiedDate", "LastModifiedById"}
_WRITES = ("create", "save", "add")
_SECTIONS = ("Contacts", "Cases", "Payers", "Notes")
_OWNER_NEEDED = ("ambiguous", "identity", "in_doubt", "held")
_SAME_MOMENT = timedelta(milliseconds=5)
"""SQLite's clock in the tables has whole milliseconds, the ledgers' have microseconds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """All that there is to judge by: both ledgers, both systems' final records, and the tables by name."""

    org_ledger: Sequence[Row]
    portal_ledger: Sequence[Row]
    records: Sequence[Row]
    charts: Sequence[Row]
    tables: Mapping[str, Sequence[Row]]
    robot: str
    """The portal users whose writes are ours have names that begin so."""
    integration: str
    """The id of the user that we are in Salesforce."""


def tables_of(url: str) -> dict[str, list[dict[str, Any]]]:
    """Every row of the tables that tell, with moments as aware UTC."""
    parsed = make_url(url)
    driver = {"sqlite": "sqlite", "postgresql": "postgresql+psycopg"}[parsed.get_backend_name()]
    engine = create_engine(parsed.set(drivername=driver), poolclass=NullPool)
    try:
        with engine.connect() as connection:
            return {
                name: [
                    {key: _as_moment(key, value) for key, value in row.items()}
                    for row in connection.execute(text(f"SELECT * FROM {name} ORDER BY 1")).mappings()
                ]
                for name in ("outbox", "change", "attempt", "link", "stream", "gate", "dead_letter")
            }
    finally:
        engine.dispose()


def complaints(evidence: Evidence, *, drained: bool = True) -> list[str]:
    """What is not right, a sentence each, by ids; [] if all is. `drained`: nothing is under way any more."""
    return list(dict.fromkeys(_Case(evidence).judged(drained=drained)))


class _Case:
    """The evidence, sorted by whom it is about."""

    def __init__(self, given: Evidence) -> None:
        self.given = given
        self.records = {str(record["Id"]): record for record in given.records}
        self.charts = {str(chart["id"]): chart for chart in given.charts}
        self.links = {str(link["record_id"]): str(link["portal_id"]) for link in given.tables["link"]}
        self.rows: dict[str, list[Row]] = defaultdict(list)
        for row in given.tables["outbox"]:
            self.rows[str(row["record_id"])].append(row)
        record_of = {row["id"]: str(row["record_id"]) for row in given.tables["outbox"]}
        self.visits: dict[str, list[Row]] = defaultdict(list)
        self.tellings: dict[str, list[Row]] = defaultdict(list)
        for attempt in given.tables["attempt"]:
            kept = self.visits if attempt["step"] == "portal" else self.tellings
            kept[record_of[attempt["outbox_id"]]].append(attempt)
        self.deeds = [line for line in given.portal_ledger if str(line["user"]).startswith(given.robot)]
        self.writes = [line for line in self.deeds if line["kind"] in _WRITES]
        self.known_as = self._known_as()

    def judged(self, *, drained: bool) -> Iterator[str]:
        yield from self._one_chart_each()
        yield from self._ids_stand()
        yield from self._saved_means_read_back()
        yield from self._every_write_has_its_attempt()
        yield from self._one_at_a_time()
        yield from self._every_commit_is_known()
        if drained:
            for record_id in self.records:
                yield from self._ended_well(record_id)
        yield from self._can_finish(drained=drained)

    # Rule 1: at most one portal patient per Salesforce record, ever.

    def _one_chart_each(self) -> Iterator[str]:
        made: dict[tuple[str, ...], list[str]] = defaultdict(list)
        for line in self.writes:
            if line["kind"] == "create":
                made[self._child(line["after"])].append(str(line["patient_id"]))
        for ids in made.values():
            if len(ids) > 1:
                yield f"rule 1: one child has {len(ids)} charts that we made: {', '.join(ids)}"
        owners: dict[str, set[str]] = defaultdict(set)
        for chart_id, chart in self.charts.items():
            for note in chart["Notes"]:
                for written in str(note["Note"]).splitlines():
                    if written.startswith(_MARK):
                        owners[written[len(_MARK) : -1]].add(chart_id)
        for record_id, noted in owners.items():
            if len(noted) > 1:
                yield f"rule 1: record {record_id} has notes on the charts {', '.join(sorted(noted))}"
            if self.links.get(record_id) not in noted:
                yield f"rule 1: record {record_id} has a note on chart {min(noted)}, which is not linked to it"
        linked = set(self.links.values())
        if len(linked) != len(self.links):
            yield "rule 1: two records are linked to one chart"
        doubted = {who for one, rows in self.rows.items() if self._waits_for_us(rows) for who in self.known_as[one]}
        for child, ids in made.items():
            if not linked & set(ids) and child not in doubted:
                yield f"rule 1: chart {ids[0]} was made, and is no record's"

    @staticmethod
    def _child(patient: Row) -> tuple[str, ...]:
        """Who a chart was made for: the SSN, which no two of our children share, else name and birth date."""
        if patient.get("SSN"):
            return (str(patient["SSN"]),)
        return tuple(str(patient.get(label, "")) for label in ("First Name", "Last Name", "Birthdate"))

    def _known_as(self) -> dict[str, set[tuple[str, ...]]]:
        """Everybody that a record has ever been about: names and birth dates are corrected."""
        values: dict[str, Row] = {}
        known: dict[str, set[tuple[str, ...]]] = defaultdict(set)
        for entry in self.given.org_ledger:
            if entry["kind"] == "save":
                for record_id, change in zip(entry["ids"], entry["changes"], strict=True):
                    values[record_id] = {**values.get(record_id, {}), **(change.get("values") or {})}
                    known[record_id].add(self._child(chart_of(values[record_id], "")["Patient"]))  # type: ignore[arg-type]
        return known

    @staticmethod
    def _waits_for_us(rows: Sequence[Row]) -> bool:
        """Whether a row is under way, or asks a person, so that a chart without an owner is not forgotten."""
        return any(row["state"] in ("PENDING", "PUSHED", "PARKED") for row in rows)

    # Rule 6: a different portal id is never overwritten, on either side; and what Salesforce is told is the link.

    def _ids_stand(self) -> Iterator[str]:
        held: dict[str, str] = {}
        for entry in self.given.org_ledger:
            told = (entry.get("after") or {}).get(ID) if entry["kind"] == "write" and not entry["error"] else None
            if told is None:
                continue
            record_id = str(entry["id"])
            before = held.get(record_id) or (entry.get("before") or {}).get(ID)
            if before and before != told:
                yield f"rule 6: Salesforce held chart {before} for record {record_id}, and was told {told}"
            held[record_id] = told
            if self.links.get(record_id) != told:
                yield f"rule 6: Salesforce was told chart {told} for record {record_id}, which is linked otherwise"

    # Rule 7: "saved" only after a read-back.

    def _saved_means_read_back(self) -> Iterator[str]:
        for entry in self.given.org_ledger:
            if entry["kind"] != "write" or entry["error"] or (entry.get("after") or {}).get(STATUS) != "Synced":
                continue
            chart_id, told_at = self.links.get(str(entry["id"])), _moment(entry["at"])
            lines = [line for line in self.deeds if line["patient_id"] == chart_id and _moment(line["at"]) <= told_at]
            written = [line for line in lines if line["kind"] in _WRITES]
            reads = [line for line in lines if line["kind"] == "read"]
            if chart_id is None or not reads or (written and written[-1]["seq"] > reads[-1]["seq"]):
                yield f"rule 7: record {entry['id']} was called synced, and its chart had not been read back"

    # Rule 9: no audit row, no portal write. And the intent goes before the click.

    def _every_write_has_its_attempt(self) -> Iterator[str]:
        record_of = {chart: record for record, chart in self.links.items()}
        by_child = {child: record_id for record_id, children in self.known_as.items() for child in children}
        child_of_chart = {str(w["patient_id"]): self._child(w["after"]) for w in self.writes if w["kind"] == "create"}
        intended = {row["id"] for row in self.given.tables["outbox"] if row["intent_fence"] is not None}
        for line in self.writes:
            chart_id, at = str(line["patient_id"]), _moment(line["at"])
            record_id = record_of.get(chart_id) or by_child.get(child_of_chart.get(chart_id, ()))
            what = f"the {line['kind']} in {line['section']} of chart {chart_id}"
            if record_id is None:
                yield f"rule 9: {what} is for no record that we know"
                continue
            under_way = [one for one in self.visits[record_id] if self._is_open(one, at)]
            if not under_way:
                yield f"rule 9: {what} was made without an attempt of record {record_id} under way"
            elif not any(one["outbox_id"] in intended for one in under_way):
                yield f"rule 9: {what} was made without an intent"

    @staticmethod
    def _is_open(attempt: Row, at: datetime) -> bool:
        ended = attempt["ended_at"]
        return bool(attempt["started_at"] - _SAME_MOMENT <= at and (ended is None or at <= ended + _SAME_MOMENT))

    # At most one lease per record at any time: an attempt that was ended by its holder had the record to itself.

    def _one_at_a_time(self) -> Iterator[str]:
        for step in (self.visits, self.tellings):
            for record_id, attempts in step.items():
                for one in attempts:
                    for other in attempts:
                        overlaps = one["ended_at"] and one["started_at"] < other["started_at"] < one["ended_at"]
                        if other is not one and overlaps:
                            yield f"leases: attempts {one['id']} and {other['id']} of record {record_id} overlap"

    # Rule 14: every commit that the org saw ends saved, superseded, or with a named owner.

    def _every_commit_is_known(self) -> Iterator[str]:
        known = {str(one["dedupe_key"]) for one in self.given.tables["change"]}
        states = {row["id"]: row for row in self.given.tables["outbox"]}
        reads: dict[str, datetime] = {}
        for entry in self.given.org_ledger:
            if entry["kind"] == "read" and "First_Name__c" in str(entry["soql"]):
                for record_id in self.records:
                    if record_id in entry["soql"]:
                        reads[record_id] = _moment(entry["at"])
        for event, record_id in self._commits():
            key = f"cdc:{event['replay_id']}:{event['header']['transactionKey']}:{record_id}"
            at = _moment(event["at"])
            if key not in known:
                yield f"rule 14: event {event['replay_id']} of record {record_id} is in no change row"
            elif self._rests(self.rows[record_id]) and reads.get(record_id, at) <= at:
                yield f"rule 14: record {record_id} was not read after event {event['replay_id']}"
        for one in self.given.tables["change"]:
            if one["outbox_id"] not in states:
                yield f"rule 14: change {one['id']} belongs to no outbox row"
        for row in states.values():
            if row["state"] == "PARKED" and not row["parked_reason"]:
                yield f"rule 14: entry {row['id']} is parked, and nobody is named"

    def _commits(self) -> Iterator[tuple[Row, str]]:
        """Events that passed the channel's filter and are not our own write-backs, each with each of its records."""
        ready: dict[str, bool] = {}
        for entry in self.given.org_ledger:
            if entry["kind"] == "save":
                for record_id, change in zip(entry["ids"], entry["changes"], strict=True):
                    values = change.get("values") or {}
                    ready[record_id] = bool(values.get(READY, ready.get(record_id, False)))
            elif entry["kind"] == "event":
                own = all(name.startswith(_OURS) or name in _BOOKKEEPING for name in entry["fields"])
                if entry["header"].get("commitUser") == self.given.integration and own:
                    continue
                for record_id in entry["records"]:
                    if ready.get(record_id) and record_id in self.records:
                        yield entry, record_id

    @staticmethod
    def _rests(rows: Sequence[Row]) -> bool:
        return all(row["state"] in ("DONE", "SUPERSEDED", "PARKED") for row in rows)

    # In the end: chart, record and outbox say the same.

    def _ended_well(self, record_id: str) -> Iterator[str]:
        record, rows = self.records[record_id], self.rows[record_id]
        where, chart_id = f"record {record_id}", self.links.get(record_id)
        parked = [row for row in rows if row["state"] == "PARKED"]
        if not rows:
            if record.get(READY):
                yield f"{where}: the outbox never heard of it"
            return
        if parked:
            yield from _unlike(where, "Salesforce", {STATUS: "Needs Attention", CODE: parked[-1]["code"]}, record)
            return
        last = max((row for row in rows if row["state"] == "DONE"), key=lambda row: row["id"], default=None)
        if last is None:
            yield f"{where}: nothing was done for it, and nobody is named"
            return
        if last["outcome"] == "skipped":
            return
        if chart_id is None or chart_id not in self.charts:
            yield f"{where}: it has no chart"
            return
        yield from _unlike(where, "Salesforce", {STATUS: "Synced", CODE: None, ID: chart_id}, record)
        yield from _unlike_chart(where, chart_of(record, record_id), self.charts[chart_id])

    def _can_finish(self, *, drained: bool) -> Iterator[str]:
        for record_id, rows in self.rows.items():
            blocked = any(row["state"] == "PARKED" and row["parked_reason"] in _OWNER_NEEDED for row in rows)
            for row in rows:
                if row["state"] not in ("PENDING", "PUSHED"):
                    continue
                if drained and not (blocked and row["state"] == "PENDING"):
                    yield f"entry {row['id']} of record {record_id} is still {row['state']}"
                if row["due_at"] is None:
                    yield f"entry {row['id']} of record {record_id} is never due"
            waiting = [row for row in rows if row["state"] == "PENDING" and row["leased_until"] is None]
            if len(waiting) > 1:
                yield f"record {record_id} has {len(waiting)} waiting rows"


def _unlike(where: str, system: str, expected: Row, given: Row) -> Iterator[str]:
    for name, value in expected.items():
        if (given.get(name) or None) != (value or None):
            yield f"{where}: {system} shows {name} {given.get(name)!r}, not {value!r}"


def _unlike_chart(where: str, expected: Mapping[str, Any], chart: Row) -> Iterator[str]:
    yield from _unlike(where, "the chart", expected["Patient"], chart["Patient"])
    for section in _SECTIONS:
        wanted, shown = expected[section], chart[section]
        if len(shown) != len(wanted):
            yield f"{where}: the chart has {len(shown)} rows in {section}, not {len(wanted)}"
        for one, row in zip(wanted, shown, strict=False):
            yield from _unlike(where, f"the chart ({section})", one, row)


def _moment(value: str) -> datetime:
    return datetime.fromisoformat(value).astimezone(UTC)


def _as_moment(key: str, value: Any) -> Any:
    """Columns that end in `_at`, `_until` or are `until` hold moments; SQLite keeps them as text, in UTC."""
    if isinstance(value, str) and (key.endswith(("_at", "until"))):
        return datetime.fromisoformat(value).replace(tzinfo=UTC)
    if isinstance(value, datetime):
        return value.astimezone(UTC)
    return json.loads(value) if key == "fields" and isinstance(value, str) else value
