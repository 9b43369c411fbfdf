"""A small, honest part of SOQL: what it does not understand it refuses with MALFORMED_QUERY instead of guessing.

SELECT fields | COUNT() FROM object [WHERE ...] [ORDER BY ...] [LIMIT n] [OFFSET n], with AND, OR, NOT, parentheses,
= != < > <= >= IN, NOT IN, LIKE, literals of every type, TODAY and LAST_N_DAYS:n ("SOQL and SOSL Reference").
The same conditions serve the filter expression of a channel member ("Change Event Filters").
"""

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime
from functools import lru_cache
from typing import TypeAlias, TypeVar

from listener.standin.problems import ApiError
from listener.standin.schema import Value


@dataclass(frozen=True, slots=True)
class DateLiteral:
    """TODAY (days 0) or LAST_N_DAYS:n ("Date Formats and Date Literals in WHERE")."""

    days: int


Literal: TypeAlias = Value | DateLiteral


@dataclass(frozen=True, slots=True)
class Comparison:
    """One field against one literal, or against several (IN, NOT IN)."""

    field: str
    operator: str
    operand: Literal | tuple[Literal, ...]


@dataclass(frozen=True, slots=True)
class Not:
    inner: "Condition"


@dataclass(frozen=True, slots=True)
class AllOf:
    parts: "tuple[Condition, ...]"


@dataclass(frozen=True, slots=True)
class AnyOf:
    parts: "tuple[Condition, ...]"


Condition: TypeAlias = Comparison | Not | AllOf | AnyOf
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Order:
    field: str
    descending: bool
    nulls_last: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """A parsed query. No fields means COUNT()."""

    fields: tuple[str, ...]
    object_name: str
    where: Condition | None
    order: tuple[Order, ...]
    limit: int | None
    offset: int


TOKEN = re.compile(
    r"""\s*(?:
      (?P<datetime>\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?(?:Z|[+-]\d\d:?\d\d))
    | (?P<date>\d{4}-\d\d-\d\d)(?![\dT])
    | (?P<number>[+-]?\d+(?:\.\d+)?)(?![\w.])
    | (?P<string>'(?:[^'\\]|\\.)*')
    | (?P<days>LAST_N_DAYS:\d+)
    | (?P<name>[A-Za-z_][\w.]*)
    | (?P<symbol><=|>=|!=|<>|[=<>(),])
    )""",
    re.VERBOSE | re.IGNORECASE,
)
ESCAPE = re.compile(r"\\(.)")
ESCAPED = {"n": "\n", "N": "\n", "r": "\r", "R": "\r", "t": "\t", "T": "\t", "b": "\b", "B": "\b", "f": "\f", "F": "\f"}
COMPARISONS = {"=", "!=", "<>", "<", ">", "<=", ">="}


def parse(text: str) -> Query:
    """The query; ApiError MALFORMED_QUERY for anything outside the subset."""
    parser = _Parser(text)
    query = parser.query()
    parser.end()
    return query


@lru_cache
def parse_condition(text: str) -> Condition:
    """A condition alone: the filter expression of a channel member, without the word WHERE."""
    parser = _Parser(text)
    condition = parser.condition()
    parser.end()
    return condition


def fields_in(condition: Condition) -> Iterable[str]:
    """The names of the fields a condition reads, in order of appearance."""
    match condition:
        case Comparison():
            yield condition.field
        case Not():
            yield from fields_in(condition.inner)
        case AllOf() | AnyOf():
            for part in condition.parts:
                yield from fields_in(part)


class _Parser:
    def __init__(self, text: str) -> None:
        self._tokens: list[tuple[str, str]] = []
        position = 0
        while text[position:].strip():
            found = TOKEN.match(text, position)
            if found is None:
                character = text[position:].strip()[0]
                raise ApiError("MALFORMED_QUERY", f"unexpected token: '{character}'")
            self._tokens.append((str(found.lastgroup), str(found.group(str(found.lastgroup)))))
            position = found.end()
        self._at = 0

    def query(self) -> Query:
        self._expect("SELECT")
        if self._word() == "COUNT" and self._symbol(1) == "(":
            self._at += 1
            self._expect("(")
            self._expect(")")
            fields: tuple[str, ...] = ()
        else:
            fields = tuple(self._list(self._name))
        self._expect("FROM")
        object_name = self._name()
        where = self.condition() if self._accept("WHERE") else None
        order: tuple[Order, ...] = ()
        if self._accept("ORDER"):
            self._expect("BY")
            order = tuple(self._list(self._order))
        limit = self._integer() if self._accept("LIMIT") else None
        offset = self._integer() if self._accept("OFFSET") else 0
        return Query(fields=fields, object_name=object_name, where=where, order=order, limit=limit, offset=offset)

    def condition(self) -> Condition:
        parts = [self._term()]
        word = self._word() if self._word() in {"AND", "OR"} else None
        while word is not None and self._accept(word):
            parts.append(self._term())
        if word is not None and self._word() in {"AND", "OR"}:
            raise self._unexpected()  # SOQL wants parentheses where AND and OR meet
        if word is None:
            return parts[0]
        return AllOf(tuple(parts)) if word == "AND" else AnyOf(tuple(parts))

    def end(self) -> None:
        if self._at < len(self._tokens):
            raise self._unexpected()

    def _term(self) -> Condition:
        if self._accept("NOT"):
            return Not(self._term())
        if self._accept("("):
            inner = self.condition()
            self._expect(")")
            return inner
        name = self._name()
        if self._accept("NOT"):
            self._expect("IN")
            return Comparison(name, "NOT IN", self._operands())
        if self._accept("IN"):
            return Comparison(name, "IN", self._operands())
        if self._accept("LIKE"):
            return Comparison(name, "LIKE", self._literal())
        if self._symbol() in COMPARISONS:
            operator = self._take()
            return Comparison(name, "!=" if operator == "<>" else operator, self._literal())
        raise self._unexpected()

    def _operands(self) -> tuple[Literal, ...]:
        self._expect("(")
        values = tuple(self._list(self._literal))
        self._expect(")")
        return values

    def _literal(self) -> Literal:
        kind, text = self._tokens[self._at] if self._at < len(self._tokens) else ("", "")
        self._at += 1
        match kind:
            case "string":
                return ESCAPE.sub(lambda m: ESCAPED.get(m[1], m[1]), text[1:-1])
            case "number":
                return float(text) if "." in text else int(text)
            case "date":
                return date.fromisoformat(text)
            case "datetime":
                # Milliseconds play no part in a comparison: a dateTime field keeps none.
                return datetime.fromisoformat(text).astimezone(UTC).replace(microsecond=0)
            case "days":
                return DateLiteral(int(text.partition(":")[2]))
            case "name" if text.lower() in {"true", "false"}:
                return text.lower() == "true"
            case "name" if text.lower() == "null":
                return None
            case "name" if text.upper() == "TODAY":
                return DateLiteral(0)
            case _:
                self._at -= 1
                raise self._unexpected()

    def _order(self) -> Order:
        name = self._name()
        descending = self._accept("DESC")
        if not descending:
            self._accept("ASC")
        nulls_last = False
        if self._accept("NULLS"):
            nulls_last = self._accept("LAST")
            if not nulls_last:
                self._expect("FIRST")
        return Order(name, descending, nulls_last)

    def _list(self, item: Callable[[], T]) -> Iterator[T]:
        yield item()
        while self._accept(","):
            yield item()

    def _name(self) -> str:
        if self._at < len(self._tokens) and self._tokens[self._at][0] == "name":
            return self._take()
        raise self._unexpected()

    def _integer(self) -> int:
        kind, text = self._tokens[self._at] if self._at < len(self._tokens) else ("", "")
        if kind != "number" or not text.isdigit():
            raise self._unexpected()
        self._at += 1
        return int(text)

    def _word(self) -> str:
        kind, text = self._tokens[self._at] if self._at < len(self._tokens) else ("", "")
        return text.upper() if kind == "name" else ""

    def _symbol(self, ahead: int = 0) -> str:
        at = self._at + ahead
        kind, text = self._tokens[at] if at < len(self._tokens) else ("", "")
        return text if kind == "symbol" else ""

    def _accept(self, word: str) -> bool:
        if word in {self._word(), self._symbol()}:
            self._at += 1
            return True
        return False

    def _expect(self, word: str) -> None:
        if not self._accept(word):
            raise self._unexpected()

    def _take(self) -> str:
        self._at += 1
        return self._tokens[self._at - 1][1]

    def _unexpected(self) -> ApiError:
        token = self._tokens[self._at][1] if self._at < len(self._tokens) else "<EOF>"
        return ApiError("MALFORMED_QUERY", f"unexpected token: '{token}'")
