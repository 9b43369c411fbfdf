"""Saving: changes of one transaction, through the org's order of execution, that become visible together or not at all.

"Apex Developer Guide: Triggers and Order of Execution", as far as an org without Apex goes: values are taken over as
their fields allow, before-save flows run, required fields and validation rules are checked, and uniqueness last.
"""

from collections.abc import Callable, Mapping

from listener.standin import problems
from listener.standin.problems import ApiError
from listener.standin.schema import Row, Scope, Sobject, Value
from listener.standin.store import Commit, Kind, Saved, Store
from listener.standin.values import accepted

MayChange = Callable[[Sobject, Row], None]


def anybody(sobject: Sobject, row: Row) -> None:
    """Where sharing does not count."""


class Transaction:
    """Changes that become visible together or not at all. A refused one raises ApiError and leaves the rest as is.

    They are the user *by*'s, who has those custom permissions. *may_change* raises for a record that sharing keeps from
    them. Without *automation* no flow and no validation rule runs.
    """

    def __init__(
        self,
        store: Store,
        by: str,
        origin: str | None,
        *,
        permissions: frozenset[str] = frozenset(),
        may_change: MayChange = anybody,
        automation: bool = True,
    ) -> None:
        self._store = store
        self._by = by
        self._origin = origin
        self._permissions = permissions
        self._may_change = may_change
        self._automation = automation
        self._at = store.now()
        self._staged: list[Saved] = []

    def create(self, seen: Sobject, values: Mapping[str, object]) -> str:
        """The id of a new record of an object, which is *seen* as the user may see it."""
        if not seen.creatable:
            raise _not_allowed(seen)
        sobject = self._store.schema.objects[seen.name]
        row = {name: f.default for name, f in sobject.fields.items()}
        row |= self._accepted(seen, values)
        row |= {"IsDeleted": False, "CreatedDate": self._at, "CreatedById": self._by}
        row |= {"OwnerId": row.get("OwnerId") or self._by} | self._stamp()
        row = self._automated(sobject, row, None)
        self._check(sobject, row, own_id=None)
        record_id = self._store.mint_id(sobject)
        row |= {"Id": record_id}
        row |= {n: self._store.mint_number(sobject, f.auto_number) for n, f in sobject.fields.items() if f.auto_number}
        self._stage(Kind.CREATE, sobject, record_id, None, row)
        return record_id

    def update(self, seen: Sobject, record_id: str, values: Mapping[str, object]) -> None:
        """Sets the given fields. A save that changes nothing still stamps the record and still makes an event."""
        if not seen.updatable:
            raise _not_allowed(seen)
        sobject = self._store.schema.objects[seen.name]
        before = self._live(sobject, record_id)
        self._may_change(sobject, before)
        new = self._accepted(seen, values)
        after = self._automated(sobject, {**before, **new, **self._stamp()}, before)
        changed = tuple(n for n, f in sobject.fields.items() if not f.system and before.get(n) != after.get(n))
        self._check(sobject, after, own_id=record_id)
        self._stage(Kind.UPDATE, sobject, record_id, before, after, changed)

    def delete(self, seen: Sobject, record_id: str) -> None:
        """Moves the record to the recycle bin."""
        if not seen.deletable:
            raise _not_allowed(seen)
        sobject = self._store.schema.objects[seen.name]
        before = self._live(sobject, record_id)
        self._may_change(sobject, before)
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
        staged = {s.record_id: s.after for s in self._staged if s.sobject.name == sobject.name}
        stored = (other for other in self._store.rows(sobject) if other["Id"] not in staged)
        keys = [(f.name,) for f in sobject.fields.values() if f.unique] + ([sobject.once] if sobject.once else [])
        wanted = {names: _key(row, names) for names in keys if any(row.get(name) is not None for name in names)}
        for other in (*staged.values(), *stored) if wanted else ():
            if other["Id"] == own_id or other["IsDeleted"]:
                continue
            for names, key in wanted.items():
                if _key(other, names) == key:
                    which = f"{', '.join(names)} duplicates value on record with id: {str(other['Id'])[:15]}"
                    raise ApiError("DUPLICATE_VALUE", f"duplicate value found: {which}", fields=[])

    def _automated(self, sobject: Sobject, row: dict[str, Value], before: Row | None) -> dict[str, Value]:
        """The row after its before-save flows; each sees what the one before it set ("Order of Execution", step 3)."""
        for flow in sobject.flows if self._automation else ():
            row |= flow(self._scope(row, before))
        return row

    def _check(self, sobject: Sobject, row: Row, *, own_id: str | None) -> None:
        """Step 5 of that order: required fields, then validation rules, of which the first is heard; uniqueness."""
        missing = [n for n, f in sobject.fields.items() if f.required and row[n] is None]
        if missing:
            message = f"Required fields are missing: [{', '.join(missing)}]"
            raise ApiError("REQUIRED_FIELD_MISSING", message, fields=missing)
        before = self._peek(sobject, own_id) if own_id else None
        scope = self._scope(row, before)
        broken = [rule for rule in sobject.rules if self._automation and rule.condition(scope)]
        if broken:
            first = broken[0]
            raise ApiError(
                "FIELD_CUSTOM_VALIDATION_EXCEPTION", first.message, fields=[first.field] if first.field else []
            )
        if before is None or any(f.unique and before.get(f.name) != row[f.name] for f in sobject.fields.values()):
            self._check_unique(sobject, row, own_id=own_id)

    def _scope(self, row: Row, before: Row | None) -> Scope:
        return Scope(row=dict(row), before=before, now=self._at, permissions=self._permissions)


def _key(row: Row, names: tuple[str, ...]) -> tuple[str, ...]:
    """What is compared: text without regard to case."""
    return tuple(str(row.get(name)).lower() for name in names)


def _not_allowed(seen: Sobject) -> ApiError:
    message = f"insufficient access rights on entity: {seen.label}"
    return ApiError("INSUFFICIENT_ACCESS_OR_READONLY", message, fields=[])
