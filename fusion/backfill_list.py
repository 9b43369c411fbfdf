"""The list of a backfill: a CSV, a line a record, that goes to a person as a preview and comes back as an approval.

By default it names no patient: ids, verdicts and names of facts are enough to count, to sort and to open the record
in Salesforce, where who may see whom is settled. A spreadsheet is mailed and forgotten in a folder of downloads; what
is not in it cannot leak from there. With names it is for the screen of whoever compares, and its mode is 0600 anyway.
"""

from __future__ import annotations

import csv
import io
import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, fields
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path

from listener.change import MalformedEvent, RecordId, long_id
from listener.errors import EntryError


class Verdict(StrEnum):
    """What would become of a record."""

    MATCHED = "matched"  # a chart is certainly this patient's
    CREATE = "create"
    AMBIGUOUS = "ambiguous"  # a person must say
    IMPOSSIBLE = "impossible"  # the record must be corrected first
    UNREAD = "unread"  # the portal could not be read just then: preview again


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One record of the list, in the order of its columns. `decision`: what a person said: a chart's id, new, or skip.

    `changes`: how many fields a visit would type. `modified_at`: the state of the record that was looked at.
    `patient`: its name; only in lists with names.
    """

    record_id: RecordId
    name: str = ""
    verdict: Verdict
    decision: str = ""
    chart: str = ""
    candidates: str = ""
    reasons: str = ""
    code: str = ""
    why: str = ""
    changes: int = 0
    patient: str = field(default="", repr=False)
    link: str = ""
    modified_at: datetime
    looked_at: datetime
    preview: str

    @property
    def says(self) -> str:
        """The decision as it is acted on: in lower case where it is a word."""
        word = self.decision.strip()
        return word.lower() if word.lower() in (NEW, SKIP) else word


NEW, SKIP = "new", "skip"
COLUMNS = tuple(one.name for one in fields(Line))
_NAMELESS = tuple(name for name in COLUMNS if name != "patient")
_CHART = re.compile(r"[\w.-]{1,40}", re.ASCII)
_FORMULA = re.compile(r"^(?=[=+\-@\t\r])")


class Draft:
    """A list while it is made: each line is on the disk once it is known, so that a preview that ends goes on there.

    The list itself is there when it is whole, and not before. What cannot be read of an earlier draft is looked up
    again. Mode 0600.
    """

    def __init__(self, path: Path, *, with_names: bool) -> None:
        """`EntryError` if the list is there already: a person may have worked on it."""
        if path.exists():
            raise EntryError(f"{path.name} is there already", hint="name another file, or move that one away")
        self._path = path
        self._columns = COLUMNS if with_names else _NAMELESS
        self._part = path.with_name(f"{path.name}.part")

    def kept(self) -> list[Line]:
        """The lines of an earlier preview that did not come to its end, if it was of the same kind."""
        if not self._part.is_file():
            return []
        # What was cut off in the middle is no line.
        whole = self._part.read_text("utf-8").rpartition("\n")[0]
        rows = list(csv.reader(io.StringIO(whole)))
        if not rows or tuple(rows[0]) != self._columns:
            return []
        try:
            return list(_lines(rows[0], rows[1:]))
        except EntryError:
            return []

    def begin(self, kept: Sequence[Line]) -> None:
        """Begin it with those lines."""
        _write(self._part, self._columns, kept)

    def add(self, line: Line) -> None:
        """Keep one line more."""
        with self._part.open("a", encoding="utf-8", newline="") as out:
            csv.writer(out, lineterminator="\n").writerow(_row(line, self._columns))

    def finish(self, lines: Sequence[Line]) -> Path:
        """The list, whole; the draft is gone."""
        _write(self._part, self._columns, lines)
        self._part.replace(self._path)
        return self._path


def read_list(path: Path) -> list[Line]:
    """The lines that a person left in the list; `EntryError` with the number of the line that cannot be understood."""
    try:
        text = path.read_text("utf-8-sig")
    except (OSError, UnicodeDecodeError):
        raise EntryError(f"{path.name} cannot be read", hint="save it as CSV in UTF-8") from None
    # Spreadsheets write semicolons where the comma is for decimals.
    first = text.partition("\n")[0]
    rows = list(csv.reader(io.StringIO(text), delimiter=";" if first.count(";") > first.count(",") else ","))
    if not rows or not set(_NAMELESS) <= set(rows[0]):
        raise EntryError(f"{path.name} is no list of a preview", hint="its first line must name the columns as it did")
    lines = list(_lines(rows[0], rows[1:]))
    if len({one.record_id for one in lines}) < len(lines):
        raise EntryError(f"{path.name} has a record twice", hint="delete one of the two lines")
    return lines


def _lines(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[Line]:
    for number, row in enumerate(rows, start=2):
        if not any(row):
            continue
        try:
            yield _line(dict(zip(columns, row, strict=True)))
        except (ValueError, KeyError, MalformedEvent):
            raise EntryError(
                f"line {number} of the list cannot be understood",
                hint="only `decision` may be changed: a chart's id, new, or skip; and lines may be deleted",
            ) from None


def _line(given: dict[str, str]) -> Line:
    line = Line(
        **{name: given[name] for name in ("name", "decision", "chart", "candidates", "reasons", "code", "why", "link")},
        record_id=long_id(given["record_id"].strip()),
        verdict=Verdict(given["verdict"].strip()),
        changes=int(given["changes"]),
        patient=given.get("patient", ""),
        modified_at=_moment(given["modified_at"]),
        looked_at=_moment(given["looked_at"]),
        preview=given["preview"].strip(),
    )
    if line.says and line.says not in (NEW, SKIP) and not _CHART.fullmatch(line.says):
        raise ValueError("decision")
    return line


def _row(line: Line, columns: Sequence[str]) -> list[str]:
    values = [getattr(line, name) for name in columns]
    # A cell that begins like a formula is one to a spreadsheet.
    return [one.isoformat() if isinstance(one, datetime) else _FORMULA.sub("'", str(one)) for one in values]


def _moment(text: str) -> datetime:
    moment = datetime.fromisoformat(text.strip())
    if moment.tzinfo is None:
        raise ValueError("no time zone")
    return moment.astimezone(UTC)


def _write(path: Path, columns: Sequence[str], lines: Sequence[Line]) -> None:
    """The file whole or as it was: what is written first has another name."""
    fresh = path.with_name(f"{path.name}.new")
    with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as out:
        os.fchmod(out.fileno(), 0o600)  # also where a file of that name was left behind
        writer = csv.writer(out, lineterminator="\n")
        writer.writerow(columns)
        writer.writerows(_row(line, columns) for line in lines)
        out.flush()
        os.fsync(out.fileno())
    fresh.replace(path)
