"""CustomField and CustomObject metadata become fields and an object; what the org would refuse is refused here.

"Metadata API Developer Guide: CustomField, CustomObject"; lengths from "Salesforce Help: Custom Field Types" and
"Classic Encryption for Custom Fields". Types that intake does not use are refused by name.
"""

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime

from listener.standin.metadata.archive import Component
from listener.standin.metadata.formula import FormulaError, check, parse, value_of
from listener.standin.metadata.parts import Refused
from listener.standin.schema import Field, FieldType, Row, Scope, Sobject, Value, by_name
from listener.standin.standard import system_fields

T = FieldType
TYPES = {
    "Checkbox": T.BOOLEAN,
    "Date": T.DATE,
    "DateTime": T.DATETIME,
    "Email": T.EMAIL,
    "EncryptedText": T.ENCRYPTED,
    "LongTextArea": T.TEXTAREA,
    "Number": T.DOUBLE,
    "Phone": T.PHONE,
    "Picklist": T.PICKLIST,
    "Text": T.STRING,
    "TextArea": T.TEXTAREA,
    "Url": T.URL,
}
#: Type -> its length where metadata gives none.
LENGTHS = {"Email": 80, "Phone": 40, "Picklist": 255, "TextArea": 255, "Url": 255}
#: Type -> the shortest and the longest length that metadata must give.
LENGTH_RANGES = {"EncryptedText": (1, 175), "LongTextArea": (256, 131072), "Text": (1, 255)}
LONGEST_FORMULA_TEXT = 1300
MASKS = {"all", "lastFour", "ssn"}


def object_of(component: Component, key_prefix: str) -> Sobject:
    """A custom object without its custom fields. Raises Refused."""
    if not component.name.endswith("__c"):
        raise Refused(f"The object {component.name} does not exist, and only custom objects can be made")
    label = component.text("label")
    if not label or not component.text("pluralLabel"):
        raise Refused("Must specify a non-empty label for the CustomObject")
    if component.text("sharingModel") not in {"Private", "ReadWrite"}:
        raise Refused("The stand-in org knows the sharing models Private and ReadWrite")
    kind = component.text("nameField/type")
    if kind not in {"AutoNumber", "Text"}:
        raise Refused("Must specify a name field of type AutoNumber or Text")
    name = Field(
        name="Name",
        label=component.text("nameField/label") or f"{label} Name",
        length=80,
        auto_number=component.text("nameField/displayFormat") if kind == "AutoNumber" else None,
    )
    return Sobject(
        name=component.name,
        label=label,
        plural=component.text("pluralLabel"),
        key_prefix=key_prefix,
        fields=by_name((*system_fields(), name)),
        private=component.text("sharingModel") == "Private",
    )


def field_of(component: Component) -> Field:
    """One custom field; its formula, if it has one, comes later (`with_formula`). Raises Refused."""
    kind, name = component.text("type"), component.short
    if not name.endswith("__c"):
        raise Refused(f"The field {name} is not a custom field: its name must end in __c")
    if kind not in TYPES:
        raise Refused(f"The stand-in org has no custom fields of type {kind or '(none)'}")
    if not component.text("label"):
        raise Refused("Must specify a non-empty label for the CustomField")
    computed = component.xml.find("formula") is not None
    found = Field(
        name=name,
        label=component.text("label"),
        type=TYPES[kind],
        length=LONGEST_FORMULA_TEXT if computed and kind == "Text" else _length(component, kind),
        precision=int(component.text("precision") or 0),
        scale=int(component.text("scale") or 0),
        required=component.yes("required"),
        values=tuple(component.texts("valueSet/valueSetDefinition/value/fullName")),
        restricted=component.yes("valueSet/restricted"),
        unique=component.yes("unique"),
        external_id=component.yes("externalId"),
        mask=_mask(component) if kind == "EncryptedText" else ("X", "all"),
    )
    if kind == "EncryptedText" and (found.unique or found.external_id or component.text("defaultValue")):
        raise Refused("An encrypted text field cannot be unique, an external ID or have a default value")
    if kind == "Picklist" and not found.values:
        raise Refused("Must specify at least one picklist value")
    if kind == "Number" and not 0 < found.precision <= 18:
        raise Refused("Can not specify 'precision' outside of 1 to 18 for a CustomField of type Number")
    if found.required and (computed or kind in {"Checkbox", "LongTextArea"}):
        raise Refused(f"Can not specify 'required' for a CustomField of type {kind}")
    return replace(found, default=_default(component, kind))


def with_formula(component: Component, f: Field, sobject: Sobject, clock: Callable[[], datetime]) -> Field:
    """The field, computed; as it is when it has no formula. Raises Refused for a formula that does not compile."""
    if component.xml.find("formula") is None:
        return f
    try:
        expression = parse(component.text("formula"))
        check(expression, sobject.find, frozenset())
    except FormulaError as exc:
        raise Refused(str(exc)) from exc

    def compute(row: Row) -> Value:
        value = value_of(expression, Scope(row=row, now=clock()))
        if f.type is T.BOOLEAN:
            return value is True
        if isinstance(value, int | float) and not isinstance(value, bool) and f.type is T.DOUBLE:
            return round(value, f.scale)
        return (value.strip() or None) if isinstance(value, str) else value

    return replace(f, formula=compute)


def _length(component: Component, kind: str) -> int:
    given = component.text("length")
    if kind not in LENGTH_RANGES:
        if given:
            raise Refused(f"Can not specify 'length' for a CustomField of type {kind}")
        return LENGTHS.get(kind, 0)
    few, many = LENGTH_RANGES[kind]
    if not given:
        raise Refused(f"Must specify 'length' for a CustomField of type {kind}")
    if not given.isdigit() or not few <= int(given) <= many:
        raise Refused(f"{component.short}: length must be between {few} and {many}")
    if kind == "LongTextArea" and not component.text("visibleLines"):
        raise Refused("Must specify 'visibleLines' for a CustomField of type LongTextArea")
    return int(given)


def _mask(component: Component) -> tuple[str, str]:
    kind, char = component.text("maskType"), component.text("maskChar")
    if kind not in MASKS or char not in {"X", "asterisk"}:
        raise Refused("Must specify 'maskChar' and 'maskType' (here: all, lastFour or ssn) for an EncryptedText field")
    return ("X" if char == "X" else "*"), kind


def _default(component: Component, kind: str) -> Value:
    text = component.text("defaultValue")
    if kind == "Checkbox":
        return text == "true"
    if kind == "Picklist":
        values = component.xml.findall("valueSet/valueSetDefinition/value")
        return next((v.findtext("fullName") for v in values if v.findtext("default") == "true"), None)
    if not text:
        return None
    try:
        expression = parse(text)  # a default value is a formula too
        check(expression, lambda _name: None, frozenset())
    except FormulaError as exc:
        raise Refused(f"defaultValue: {exc}") from exc
    return value_of(expression, Scope(row={}, now=datetime.min))  # noqa: DTZ901  a constant asks for no time
