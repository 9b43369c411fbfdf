"""The records of the org, their recycle bin, and who is told when they change.

A transaction shows its changes to nobody until it hands them over as one `Commit`, which the listeners (the event bus)
hear of. Time stamps are cut to the second, as the org's are: two saves within a second carry the same SystemModstamp.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from itertools import count

from listener.standin import problems
from listener.standin.ids import as_18, mint
from listener.standin.schema import Field, Row, Schema, Sobject, Value


class Kind(StrEnum):
    """What happened to a record; the words of ChangeEventHeader.changeType."""

    CREATE = "CREATE"
    UPDATE = "UPDATE"
    DELETE = "DELETE"
    UNDELETE = "UNDELETE"


@dataclass(frozen=True, slots=True, kw_only=True)
class Saved:
    """One saved record: its values before (None for a new one) and after, and the names of the fields that changed."""

    kind: Kind
    sobject: Sobject
    record_id: str
    before: Row | None
    after: Row
    changed: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Commit:
    """One committed transaction: when, by which user, from where (`changeOrigin`), and what it saved, in order."""

    at: datetime
    by: str
    origin: str | None
    saved: tuple[Saved, ...]


class Store:
    """Every record of the org in memory. `on_commit` is called once a transaction, after its rows are visible."""

    def __init__(self, schema: Schema, clock: Callable[[], datetime]) -> None:
        self.schema = schema
        self.on_commit: list[Callable[[Commit], None]] = []
        #: Records that somebody else is saving, with how many more writes of clients they refuse.
        self.locked: Counter[str] = Counter()
        self._clock = clock
        self._rows: dict[str, dict[str, Row]] = {}
        self._ids: dict[str, Iterator[str]] = {}
        self._numbers: dict[str, Iterator[int]] = {}
        self._purged: dict[str, dict[str, datetime]] = {}
        self.take_shape()

    def take_shape(self) -> None:
        """Makes room for what the schema has got: new objects, and new fields of the records that are there."""
        for name, sobject in self.schema.objects.items():
            if name not in self._rows:
                self._rows[name], self._purged[name] = {}, {}
                self._ids[name], self._numbers[name] = mint(sobject.key_prefix), count(1)
            new = {f.name: f.default for f in sobject.fields.values()}
            for record_id, row in self._rows[name].items():
                if new.keys() - row.keys():
                    self._rows[name][record_id] = new | dict(row)

    def now(self) -> datetime:
        return self._clock().replace(microsecond=0)

    def rows(self, sobject: Sobject, *, deleted: bool = False) -> Iterator[Row]:
        """The object's rows; with *deleted* also those in the recycle bin."""
        return (row for row in self._rows[sobject.name].values() if deleted or not row["IsDeleted"])

    def peek(self, sobject: Sobject, record_id: str) -> Row | None:
        """The row, deleted or not; None when the org has none of this id."""
        return self._rows[sobject.name].get(record_id)

    def get(self, sobject: Sobject, record_id: str) -> Row:
        """The live row; NOT_FOUND or ENTITY_IS_DELETED otherwise."""
        row = self.peek(sobject, record_id)
        if row is None:
            raise problems.not_found()
        if row["IsDeleted"]:
            raise problems.entity_is_deleted()
        return row

    def by_external_id(self, sobject: Sobject, f: Field, value: str) -> Row | None:
        """The live row whose external id *f* is *value*; compared without regard to case, as unique fields are."""
        return next((r for r in self.rows(sobject) if str(r.get(f.name) or "").lower() == value.lower()), None)

    def seed(self, sobject: Sobject, values: Mapping[str, Value], *, in_place_of: str | None = None) -> str:
        """A row of an object that clients cannot write (User, Organization), new or in place of the one of that id; no
        transaction, no event. Its id."""
        record_id, at = in_place_of or next(self._ids[sobject.name]), self.now()
        system: dict[str, Value] = {
            "Id": record_id,
            "IsDeleted": False,
            "CreatedDate": at,
            "LastModifiedDate": at,
            "SystemModstamp": at,
        }
        blank = {name: f.default for name, f in sobject.fields.items()}
        self._rows[sobject.name][record_id] = blank | system | dict(values)
        return record_id

    def purge(self, sobject: Sobject, record_id: str) -> None:
        """A hard delete: gone from the recycle bin too, and no change event tells of it ("Enrich Change Events")."""
        row = self._rows[sobject.name].pop(record_id, None)
        if row is not None:
            deleted_at = row["SystemModstamp"] if row["IsDeleted"] else self.now()
            assert isinstance(deleted_at, datetime)  # noqa: S101  the store stamps every row
            self._purged[sobject.name][record_id] = deleted_at

    def log_of_deletes(self, sobject: Sobject) -> Iterator[tuple[str, datetime]]:
        """Every deleted record with its time, the purged ones too ("sObject Get Deleted")."""
        for row in self.rows(sobject, deleted=True):
            at = row["SystemModstamp"]
            if row["IsDeleted"] and isinstance(at, datetime):
                yield str(row["Id"]), at
        yield from self._purged[sobject.name].items()

    def mint_id(self, sobject: Sobject) -> str:
        return next(self._ids[sobject.name])

    def mint_number(self, sobject: Sobject, pattern: str) -> str:
        """`PT-{000000}` -> `PT-000042`. A number given to a save that fails later is lost, as in the org."""
        head, _, rest = pattern.partition("{")
        zeros, _, tail = rest.partition("}")
        return f"{head}{next(self._numbers[sobject.name]):0{len(zeros)}d}{tail}"

    def apply(self, commit: Commit) -> None:
        for saved in commit.saved:
            self._rows[saved.sobject.name][saved.record_id] = saved.after
        for listener in self.on_commit:
            listener(commit)


def record_id_of(sobject: Sobject, text: object) -> str:
    """The 18-character id of a record of *sobject*; MALFORMED_ID for anything else."""
    record_id = as_18(text)
    if record_id is None or not record_id.startswith(sobject.key_prefix):
        raise problems.malformed_id(sobject.label, str(text))
    return record_id
