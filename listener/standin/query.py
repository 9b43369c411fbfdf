"""Runs a parsed query over the store, with the refusals the org gives for fields that cannot be asked that way."""

import re
from collections.abc import Callable, Iterable
from datetime import UTC, date, datetime, time, timedelta
from functools import partial
from typing import Any

from listener.standin import problems
from listener.standin.ids import as_18
from listener.standin.problems import ApiError
from listener.standin.schema import Field, FieldType, Row, Sobject, Value
from listener.standin.soql import AllOf, AnyOf, Comparison, Condition, DateLiteral, Literal, Not, Query, fields_in
from listener.standin.values import computed

IDS = {FieldType.ID, FieldType.REFERENCE}
ValueOf = Callable[[Field], Value]


def checked(find: Callable[[str], Sobject | None], query: Query) -> tuple[Sobject, list[str]]:
    """The object and the selected fields by their own spelling. INVALID_TYPE, INVALID_FIELD for what *find* lacks."""
    sobject = find(query.object_name)
    if sobject is None:
        raise problems.unknown_object(query.object_name)
    selected = [_field(sobject, name).name for name in query.fields]
    if len(set(selected)) < len(selected):
        twice = next(name for name in selected if selected.count(name) > 1)
        raise ApiError("INVALID_FIELD", f"duplicate field selected: {twice}")
    for name in fields_in(query.where) if query.where else ():
        if not _field(sobject, name).filterable:
            raise ApiError("INVALID_FIELD", f"field '{name}' can not be filtered in a query call")
    for order in query.order:
        if not _field(sobject, order.field).filterable:
            raise ApiError("INVALID_FIELD", f"field '{order.field}' can not be sorted in a query call")
    return sobject, selected


def run(rows: Iterable[Row], sobject: Sobject, query: Query, today: date) -> list[Row]:
    """Those of *rows* that match, ordered and cut."""
    if query.where is not None:
        holds = compiled(query.where, lambda name: _field(sobject, name), today)
        rows = (row for row in rows if holds(partial(_value, row)))
    found = list(rows)
    for order in reversed(query.order):  # stable sorts, the least significant first
        f = _field(sobject, order.field)
        found = _ordered(found, f, descending=order.descending, nulls_last=order.nulls_last)
    return found[query.offset :][: query.limit]


def _value(row: Row, f: Field) -> Value:
    return computed(f, row)


def _ordered(rows: list[Row], f: Field, *, descending: bool, nulls_last: bool) -> list[Row]:
    full = [row for row in rows if computed(f, row) is not None]
    empty = [row for row in rows if computed(f, row) is None]
    full.sort(key=lambda row: _comparable(f, computed(f, row)), reverse=descending)
    return full + empty if nulls_last else empty + full


def compiled(condition: Condition, field: Callable[[str], Field], today: date) -> Callable[[ValueOf], bool]:
    """A test for one record, given the value of each field; literals are checked here, before any record is seen."""
    match condition:
        case AllOf():
            parts = [compiled(part, field, today) for part in condition.parts]
            return lambda value: all(part(value) for part in parts)
        case AnyOf():
            parts = [compiled(part, field, today) for part in condition.parts]
            return lambda value: any(part(value) for part in parts)
        case Not():
            inner = compiled(condition.inner, field, today)
            return lambda value: not inner(value)
        case Comparison():
            f, operator = field(condition.field), condition.operator
            operands = condition.operand if isinstance(condition.operand, tuple) else (condition.operand,)
            wanted = [_operand(f, literal, today) for literal in operands]
            if operator in {"IN", "NOT IN"}:
                return lambda value: any(_compare(f, "=", value(f), want) for want in wanted) == (operator == "IN")
            return lambda value: _compare(f, operator, value(f), wanted[0])


def _operand(f: Field, literal: Literal, today: date) -> Any:
    """The literal in the field's own type; dates of a range stay a (start, end) pair. INVALID_FIELD where it cannot."""
    if literal is None:
        return None
    if isinstance(literal, DateLiteral) and f.type in {FieldType.DATE, FieldType.DATETIME}:
        start, end = today - timedelta(days=literal.days), today + timedelta(days=1)
        if f.type is FieldType.DATE:
            return start, end
        return datetime.combine(start, time.min, UTC), datetime.combine(end, time.min, UTC)
    fits = {
        FieldType.BOOLEAN: isinstance(literal, bool),
        FieldType.DATE: isinstance(literal, date) and not isinstance(literal, datetime),
        FieldType.DATETIME: isinstance(literal, datetime),
        FieldType.DOUBLE: isinstance(literal, int | float) and not isinstance(literal, bool),
    }.get(f.type, isinstance(literal, str))
    if not fits:
        quoted = " and should not be enclosed in quotes" if isinstance(literal, str) else ""
        message = f"value of filter criterion for field '{f.name}' must be of type {f.type}{quoted}"
        raise ApiError("INVALID_FIELD", message)
    if f.type in IDS:
        record_id = as_18(literal)
        if record_id is None:
            raise ApiError("INVALID_QUERY_FILTER_OPERATOR", f"invalid ID field: {literal}")
        return record_id
    return literal


def _compare(f: Field, operator: str, found: Value, wanted: Any) -> bool:
    if wanted is None or found is None:
        same = wanted is None and found is None
        return {"=": same, "!=": not same}.get(operator, False)
    if isinstance(wanted, tuple):
        start, end = wanted
        held: dict[str, bool] = {
            "=": start <= found < end,
            "!=": not start <= found < end,
            "<": found < start,
            ">=": found >= start,
            ">": found >= end,
            "<=": found < end,
        }
        return held[operator]
    left, right = _comparable(f, found), _comparable(f, wanted)
    match operator:
        case "=":
            return bool(left == right)
        case "!=":
            return bool(left != right)
        case "<":
            return bool(left < right)
        case ">":
            return bool(left > right)
        case "<=":
            return bool(left <= right)
        case ">=":
            return bool(left >= right)
        case _:  # LIKE: % any run, _ one character, a backslash keeps either literal
            pattern = "".join({"%": ".*", "_": "."}.get(c, re.escape(c)) for c in str(right))
            return re.fullmatch(pattern, str(left), re.DOTALL) is not None


def _comparable(f: Field, value: Any) -> Any:
    """Text compares without regard to case ("WHERE: string comparisons are case-insensitive"); ids are no text."""
    return value.lower() if isinstance(value, str) and f.type not in IDS else value


def _field(sobject: Sobject, name: str) -> Field:
    f = sobject.find(name)
    if f is None and "." in name:
        relationship = name.partition(".")[0]
        raise ApiError(
            "INVALID_FIELD",
            f"Didn't understand relationship '{relationship}' in field path. If you are attempting to use a custom "
            "relationship, be sure to append the '__r' after the custom relationship name.",
        )
    if f is None:
        raise ApiError(
            "INVALID_FIELD",
            f"No such column '{name}' on entity '{sobject.name}'. If you are attempting to use a custom field, be sure "
            "to append the '__c' after the custom field name. Please reference your WSDL or the describe call for the "
            "appropriate names.",
        )
    return f
