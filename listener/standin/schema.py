"""Objects and fields as plain data: all the org knows about a record's shape.

Standard objects are written by hand (`standard.py`), custom ones come of deployed metadata. Names follow the describe
call ("REST API Developer Guide: sObject Describe"), since that is where real clients read them.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from enum import StrEnum

Value = str | bool | int | float | date | datetime | None
Row = Mapping[str, Value]

LONG_TEXT = 256  # a text area longer than 255 characters is a Long Text Area: no filter, no sort, no history of values


class FieldType(StrEnum):
    """Field types by their describe name."""

    ID = "id"
    STRING = "string"
    TEXTAREA = "textarea"
    BOOLEAN = "boolean"
    DATE = "date"
    DATETIME = "datetime"
    DOUBLE = "double"
    PICKLIST = "picklist"
    PHONE = "phone"
    EMAIL = "email"
    URL = "url"
    ENCRYPTED = "encryptedstring"
    REFERENCE = "reference"


@dataclass(frozen=True, slots=True, kw_only=True)
class Field:
    """One field. `length` counts characters, `precision`/`scale` digits; `values` are the active picklist values."""

    name: str
    label: str
    type: FieldType = FieldType.STRING
    length: int = 0
    precision: int = 0
    scale: int = 0
    required: bool = False
    values: tuple[str, ...] = ()
    restricted: bool = False
    unique: bool = False
    external_id: bool = False
    default: Value = None
    #: `PT-{000000}`: the org numbers new records itself.
    auto_number: str | None = None
    #: Computed from the record when read, never stored, never in an event.
    formula: Callable[[Row], Value] | None = None
    #: How encrypted text shows to those who may not read it: the character, and `ssn`, `lastFour` or `all`.
    mask: tuple[str, str] = ("X", "all")
    #: (compound field, component), e.g. ("MailingAddress", "Street"): how a change event names a `MailingStreet`.
    compound: tuple[str, str] | None = None
    refers_to: tuple[str, ...] = ()
    system: bool = False
    #: False in the view of a user whose field-level security lets them read it only.
    editable: bool = True

    @property
    def writable(self) -> bool:
        """False for what only the org sets (system fields, auto numbers, formulas) and for what the viewer may not."""
        return self.editable and not (self.system or self.auto_number or self.formula)

    @property
    def long_text(self) -> bool:
        return self.type is FieldType.TEXTAREA and self.length >= LONG_TEXT

    @property
    def filterable(self) -> bool:
        """Long text and encrypted text take part in no WHERE and no ORDER BY ("SOQL and SOSL: field types";
        "Classic Encryption for Custom Fields")."""
        return not self.long_text and self.type is not FieldType.ENCRYPTED

    @property
    def nillable(self) -> bool:
        return not self.required and self.type not in {FieldType.BOOLEAN, FieldType.ID}


@dataclass(frozen=True, slots=True, kw_only=True)
class Scope:
    """What a formula looks at: a record as it will be and as it was, who saves it, and when."""

    row: Row
    before: Row | None = None
    now: datetime
    permissions: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class ValidationRule:
    """Refuses a record for which `condition` holds, with `message`, at the field or at the top of the page."""

    name: str
    condition: Callable[[Scope], bool]
    message: str
    field: str | None = None


#: A before-save flow: the fields it sets, as plain values; {} when it does not start.
BeforeSave = Callable[[Scope], Row]


@dataclass(frozen=True, slots=True, kw_only=True)
class Sobject:
    """One object: its fields by API name, the first three characters of its ids, and whether it emits change events.

    `creatable`, `updatable`, `deletable` are what the org offers; in the view of a user, what that user may do.
    `private`: records are seen by their owner alone, unless a permission or a sharing rule says otherwise.
    """

    name: str
    label: str
    plural: str
    key_prefix: str
    fields: Mapping[str, Field]
    tracked: bool = False
    creatable: bool = True
    updatable: bool = True
    deletable: bool = True
    private: bool = False
    #: Fields that together are unique.
    once: tuple[str, ...] = ()
    rules: tuple[ValidationRule, ...] = ()
    flows: tuple[BeforeSave, ...] = ()
    _by_lower: Mapping[str, Field] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        # API names are case-insensitive in SOQL and in request bodies.
        object.__setattr__(self, "_by_lower", {name.lower(): f for name, f in self.fields.items()})

    def find(self, name: str) -> Field | None:
        return self._by_lower.get(name.lower())

    @property
    def event_entity(self) -> str:
        """`Patient__c` -> `Patient__ChangeEvent`, `Contact` -> `ContactChangeEvent` ("Change Event Object Names")."""
        return self.name.removesuffix("c") + "ChangeEvent" if self.name.endswith("__c") else self.name + "ChangeEvent"


def by_name(fields: Iterable[Field]) -> dict[str, Field]:
    return {f.name: f for f in fields}


class Schema:
    """All objects of the org, found by name without regard to case."""

    def __init__(self, objects: Iterable[Sobject]) -> None:
        self.objects: dict[str, Sobject] = {}
        self._by_lower: dict[str, Sobject] = {}
        for sobject in objects:
            self.put(sobject)

    def put(self, sobject: Sobject) -> None:
        """Adds an object, or gives one its new shape."""
        self.objects[sobject.name] = sobject
        self._by_lower[sobject.name.lower()] = sobject

    def find(self, name: str) -> Sobject | None:
        return self._by_lower.get(name.lower())

    def of_event(self, entity: str) -> Sobject | None:
        """`Patient__ChangeEvent` -> `Patient__c`."""
        return next((o for o in self.objects.values() if o.event_entity == entity), None)

    def of_id(self, record_id: str) -> Sobject | None:
        return next((o for o in self.objects.values() if record_id.startswith(o.key_prefix)), None)


def describe(sobject: Sobject) -> dict[str, object]:
    """The describe answer, cut to what clients read ("REST API Developer Guide: sObject Describe")."""
    return {
        "name": sobject.name,
        "label": sobject.label,
        "labelPlural": sobject.plural,
        "keyPrefix": sobject.key_prefix,
        "custom": sobject.name.endswith("__c"),
        "createable": sobject.creatable,
        "updateable": sobject.updatable,
        "deletable": sobject.deletable,
        "undeletable": sobject.deletable,
        "queryable": True,
        "retrieveable": True,
        "replicateable": True,
        "fields": [_describe_field(f) for f in sobject.fields.values()],
    }


def _describe_field(f: Field) -> dict[str, object]:
    return {
        "name": f.name,
        "label": f.label,
        "type": str(f.type),
        "length": f.length,
        "precision": f.precision,
        "scale": f.scale,
        "nillable": f.nillable,
        "createable": f.writable,
        "updateable": f.writable,
        "unique": f.unique,
        "externalId": f.external_id,
        "idLookup": f.external_id or f.name == "Id",
        "custom": f.name.endswith("__c"),
        "calculated": f.formula is not None,
        "autoNumber": f.auto_number is not None,
        "nameField": f.name == "Name",
        "encrypted": f.type is FieldType.ENCRYPTED,
        "filterable": f.filterable,
        "sortable": f.filterable,
        "defaultedOnCreate": f.default is not None or f.system,
        "defaultValue": f.default if isinstance(f.default, bool | str | int | float) else None,
        "restrictedPicklist": f.restricted,
        "compoundFieldName": f.compound[0] if f.compound else None,
        "referenceTo": list(f.refers_to),
        "picklistValues": [
            {"value": v, "label": v, "active": True, "defaultValue": v == f.default, "validFor": None} for v in f.values
        ],
    }
