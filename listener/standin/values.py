"""One field value between the wire and the store: what a save accepts, and how REST and events spell it.

Sources: "Object Reference: Field Types", "Primitive Data Types"; text is trimmed and an empty text is null ("Change
Data Capture: Considerations for Newline Characters": *Salesforce trims leading and trailing white spaces in field
values*); newlines sent by API are kept as they are (same page).
"""

import re
from datetime import UTC, date, datetime

from listener.standin.problems import ApiError, json_parser_error
from listener.standin.schema import Field, FieldType, Row, Sobject, Value

EMAIL = re.compile(r"[^@\s]+@[^@\s]+\.[^@\s.]{2,}")


def accepted(f: Field, raw: object) -> Value:
    """The stored form of *raw* for field *f*. Raises ApiError as a save of the org would."""
    if raw is None or raw == "":
        if f.type is FieldType.BOOLEAN:
            raise _wrong_type(f, "")
        return None
    match f.type:
        case FieldType.BOOLEAN:
            if not isinstance(raw, bool):
                raise _undeserializable("boolean", raw)
            return raw
        case FieldType.DOUBLE:
            return _number(f, raw)
        case FieldType.DATE:
            return _date(raw)
        case FieldType.DATETIME:
            return _datetime(raw)
        case _:
            return _text(f, raw)


def _text(f: Field, raw: object) -> str | None:
    if isinstance(raw, bool | int | float):
        raw = str(raw).lower() if isinstance(raw, bool) else str(raw)  # the API reads scalars into text fields
    if not isinstance(raw, str):
        raise _undeserializable("string", raw)
    text = raw.strip()
    if not text:
        return None
    if f.length and len(text) > f.length:
        raise ApiError(
            "STRING_TOO_LONG", f"{f.label}: data value too large: {text} (max length={f.length})", fields=[f.name]
        )
    if f.type is FieldType.PICKLIST and f.restricted and text not in f.values:
        raise ApiError(
            "INVALID_OR_NULL_FOR_RESTRICTED_PICKLIST",
            f"{f.label}: bad value for restricted picklist field: {text}",
            fields=[f.name],
        )
    if f.type is FieldType.EMAIL and not EMAIL.fullmatch(text):
        raise ApiError("INVALID_EMAIL_ADDRESS", f"{f.label}: invalid email address: {text}", fields=[f.name])
    return text


def _number(f: Field, raw: object) -> int | float:
    if isinstance(raw, str):
        try:
            raw = float(raw)
        except ValueError:
            raise _undeserializable("double", raw) from None
    if isinstance(raw, bool) or not isinstance(raw, int | float):
        raise _undeserializable("double", raw)
    rounded = round(raw, f.scale)
    if abs(rounded) >= 10 ** (f.precision - f.scale):
        raise ApiError(
            "NUMBER_OUTSIDE_VALID_RANGE",
            f"{f.label}: value outside of valid range on numeric field: {raw}",
            fields=[f.name],
        )
    return rounded


def _date(raw: object) -> date:
    try:
        return date.fromisoformat(raw) if isinstance(raw, str) and len(raw) == 10 else _datetime(raw).date()
    except (ValueError, ApiError):
        raise _undeserializable("date", raw) from None


def _datetime(raw: object) -> datetime:
    """An instant with its offset, cut to the second: that is all a dateTime field keeps."""
    try:
        at = datetime.fromisoformat(raw) if isinstance(raw, str) else None
    except ValueError:
        at = None
    if at is None or at.tzinfo is None:
        raise _undeserializable("datetime", raw)
    return at.astimezone(UTC).replace(microsecond=0)


def _undeserializable(kind: str, raw: object) -> ApiError:
    tokens: dict[type, str] = {str: "VALUE_STRING", dict: "START_OBJECT", list: "START_ARRAY"}
    token = tokens.get(type(raw), "VALUE_NUMBER")
    shown = raw if isinstance(raw, str) else ""
    return json_parser_error(
        f"Cannot deserialize instance of {kind} from {token} value {shown} or request may be missing a required field"
    )


def _wrong_type(f: Field, shown: str) -> ApiError:
    return ApiError(
        "INVALID_TYPE_ON_FIELD_IN_RECORD", f"{f.label}: value not of required type: {shown}", fields=[f.name]
    )


def computed(f: Field, row: Row) -> Value:
    """The value of a field as the org shows it: stored, or by its formula."""
    return row.get(f.name) if f.formula is None else f.formula(row)


def shown(f: Field, row: Row, *, clear: bool) -> Value:
    """What a reader gets: encrypted text stays masked unless they may "View Encrypted Data"."""
    value = computed(f, row)
    if f.type is not FieldType.ENCRYPTED or not isinstance(value, str) or clear:
        return value
    char, kind = f.mask
    match kind:
        case "ssn":
            return f"{char * 3}-{char * 2}-{value[-4:]}"
        case "lastFour":
            return char * len(value[:-4]) + value[-4:]
        case _:
            return char * len(value)


def rest_form(value: Value) -> str | bool | int | float | None:
    """A value as REST spells it: `2026-11-24T06:07:00.000+0000` for an instant."""
    if isinstance(value, datetime):
        return value.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.000+0000")
    return value.isoformat() if isinstance(value, date) else value


def event_form(value: Value) -> str | bool | int | float | None:
    """A value as a change event spells it: `2026-11-24T06:07:00.000Z` for an instant."""
    if isinstance(value, datetime):
        return value.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.000Z")
    return value.isoformat() if isinstance(value, date) else value


def record_body(sobject: Sobject, row: Row, names: list[str] | None, *, version: str, clear: bool) -> dict[str, object]:
    """A record as REST answers it: `attributes`, then the asked fields (all when *names* is None), nulls included."""
    body: dict[str, object] = {
        "attributes": {
            "type": sobject.name,
            "url": f"/services/data/v{version}/sobjects/{sobject.name}/{row['Id']}",
        }
    }
    for name in sobject.fields if names is None else names:
        body[name] = rest_form(shown(sobject.fields[name], row, clear=clear))
    return body
