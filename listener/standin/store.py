"""The records of the org, their recycle bin, and the transactions that change them.

A transaction stages its changes and shows them to nobody until `commit`, which stamps them with one time and hands the
`Commit` to the listeners (the event bus). Time stamps are cut to the second, as the org's are: two saves within a
second carry the same SystemModstamp.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from itertools import count

from listener.standin import problems
from listener.standin.ids import as_18, mint
from listener.standin.problems import ApiError
from listener.standin.schema import Field, Row, Schema, Sobject, Value
from listener.standin.values import accepted


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
        self._clock = clock
        self._rows: dict[str, dict[str, Row]] = {name: {} for name in schema.objects}
        self._ids = {name: mint(o.key_prefix) for name, o in schema.objects.items()}
        self._numbers = {name: count(1) for name in schema.objects}
        self._purged: dict[str, dict[str, datetime]] = {name: {} for name in schema.objects}

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

    def seed(self, sobject: Sobject, values: Mapping[str, Value]) -> str:
        """A row of an object that clients cannot write (User, Organization); no transaction, no event."""
        record_id, at = next(self._ids[sobject.name]), self.now()
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

    def begin(self, by: str, origin: str | None) -> "Transaction":
        return Transaction(self, by, origin)

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


class Transaction:
    """Changes that become visible together or not at all. A refused one raises ApiError and leaves the rest as is."""

    def __init__(self, store: Store, by: str, origin: str | None) -> None:
        self._store = store
        self._by = by
        self._origin = origin
        self._at = store.now()
        self._staged: list[Saved] = []

    def create(self, sobject: Sobject, values: Mapping[str, object]) -> str:
        """The id of a new record."""
        self._check_writable(sobject)
        row = {name: f.default for name, f in sobject.fields.items()}
        row |= self._accepted(sobject, values)
        missing = [n for n, f in sobject.fields.items() if f.required and row[n] is None]
        if missing:
            message = f"Required fields are missing: [{', '.join(missing)}]"
            raise ApiError("REQUIRED_FIELD_MISSING", message, fields=missing)
        self._check_unique(sobject, row, own_id=None)
        record_id = self._store.mint_id(sobject)
        row |= {"Id": record_id, "IsDeleted": False, "CreatedDate": self._at, "CreatedById": self._by}
        row |= {"OwnerId": row.get("OwnerId") or self._by} | self._stamp()
        row |= {n: self._store.mint_number(sobject, f.auto_number) for n, f in sobject.fields.items() if f.auto_number}
        self._stage(Kind.CREATE, sobject, record_id, None, row)
        return record_id

    def update(self, sobject: Sobject, record_id: str, values: Mapping[str, object]) -> None:
        """Sets the given fields. A save that changes nothing still stamps the record and still makes an event."""
        self._check_writable(sobject)
        before = self._live(sobject, record_id)
        new = self._accepted(sobject, values)
        missing = [n for n in new if sobject.fields[n].required and new[n] is None]
        if missing:
            message = f"Required fields are missing: [{', '.join(missing)}]"
            raise ApiError("REQUIRED_FIELD_MISSING", message, fields=missing)
        after = {**before, **new, **self._stamp()}
        changed = tuple(n for n in sobject.fields if n in new and before.get(n) != new[n])
        if any(sobject.fields[n].unique for n in changed):
            self._check_unique(sobject, after, own_id=record_id)
        self._stage(Kind.UPDATE, sobject, record_id, before, after, changed)

    def delete(self, sobject: Sobject, record_id: str) -> None:
        """Moves the record to the recycle bin."""
        self._check_writable(sobject)
        before = self._live(sobject, record_id)
        # The delete moves SystemModstamp alone: `queryAll` and getDeleted find it by that.
        after = {**before, "IsDeleted": True, "SystemModstamp": self._at}
        self._stage(Kind.DELETE, sobject, record_id, before, after)

    def undelete(self, sobject: Sobject, record_id: str) -> None:
        """Takes the record out of the recycle bin."""
        before = self._peek(sobject, record_id)
        if before is None:
            raise problems.not_found()
        if not before["IsDeleted"]:
            raise ApiError("UNDELETE_FAILED", "Entity is not in the recycle bin", fields=[])
        after = {**before, "IsDeleted": False, **self._stamp()}
        self._check_unique(sobject, after, own_id=record_id)
        self._stage(Kind.UNDELETE, sobject, record_id, before, after)

    def commit(self) -> Commit | None:
        """Makes the staged changes real; None when there are none."""
        if not self._staged:
            return None
        commit = Commit(at=self._at, by=self._by, origin=self._origin, saved=tuple(self._staged))
        self._store.apply(commit)
        return commit

    def _stamp(self) -> dict[str, Value]:
        return {"LastModifiedDate": self._at, "LastModifiedById": self._by, "SystemModstamp": self._at}

    def _stage(
        self,
        kind: Kind,
        sobject: Sobject,
        record_id: str,
        before: Row | None,
        after: Row,
        changed: tuple[str, ...] = (),
    ) -> None:
        self._staged.append(
            Saved(kind=kind, sobject=sobject, record_id=record_id, before=before, after=after, changed=changed)
        )

    def _peek(self, sobject: Sobject, record_id: str) -> Row | None:
        staged = (s.after for s in reversed(self._staged) if s.record_id == record_id)
        return next(staged, None) or self._store.peek(sobject, record_id)

    def _live(self, sobject: Sobject, record_id: str) -> Row:
        row = self._peek(sobject, record_id)
        if row is None:
            raise problems.not_found()
        if row["IsDeleted"]:
            raise problems.entity_is_deleted()
        return row

    def _accepted(self, sobject: Sobject, values: Mapping[str, object]) -> dict[str, Value]:
        taken: dict[str, Value] = {}
        for name, raw in values.items():
            if name.lower() == "attributes":
                continue
            f = sobject.find(name)
            if f is None:
                raise problems.no_such_field(name, sobject.name)
            if not f.writable:
                raise ApiError(
                    "INVALID_FIELD_FOR_INSERT_UPDATE",
                    f"Unable to create/update fields: {f.name}. Please check the security settings of this field and "
                    "verify that it is read/write for your profile or permission set.",
                    fields=[f.name],
                )
            taken[f.name] = accepted(f, raw)
        return taken

    def _check_unique(self, sobject: Sobject, row: Row, *, own_id: str | None) -> None:
        staged = {s.record_id: s.after for s in self._staged if s.sobject is sobject}
        for f in (f for f in sobject.fields.values() if f.unique and row.get(f.name) is not None):
            value = str(row[f.name]).lower()
            stored = (other for other in self._store.rows(sobject) if other["Id"] not in staged)
            for other in (*staged.values(), *stored):
                other_id = str(other["Id"])
                if other_id != own_id and not other["IsDeleted"] and str(other.get(f.name)).lower() == value:
                    message = f"duplicate value found: {f.name} duplicates value on record with id: {other_id[:15]}"
                    raise ApiError("DUPLICATE_VALUE", message, fields=[])

    @staticmethod
    def _check_writable(sobject: Sobject) -> None:
        if not sobject.writable:
            message = f"entity type {sobject.name} does not support this operation here"
            raise ApiError("CANNOT_INSERT_UPDATE_ACTIVATE_ENTITY", message, fields=[])


def record_id_of(sobject: Sobject, text: object) -> str:
    """The 18-character id of a record of *sobject*; MALFORMED_ID for anything else."""
    record_id = as_18(text)
    if record_id is None or not record_id.startswith(sobject.key_prefix):
        raise problems.malformed_id(sobject.label, str(text))
    return record_id
