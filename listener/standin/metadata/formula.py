"""Formulas: the part of Salesforce's formula language that intake rules are written in.

"Salesforce Help: Formula Operators and Functions". Compiled when it is deployed; a function that this org does not
know is refused then, by its name, instead of being guessed at later. Blank text is equal to "", and a comparison with
a blank date or number does not hold ("Tips on Building Formulas").
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from functools import lru_cache
from typing import Any, TypeAlias

from listener.standin.schema import Field, FieldType, Scope, Value


class FormulaError(Exception):
    """Why a formula cannot be compiled; the text is what a deploy or an editor shows."""


@dataclass(frozen=True, slots=True)
class Constant:
    value: Value


@dataclass(frozen=True, slots=True)
class Name:
    """A field (`Last_Name__c`; in a flow `$Record.Last_Name__c`) or a custom permission (`$Permission.X`)."""

    text: str

    @property
    def field(self) -> str:
        return self.text.removeprefix("$Record.")


@dataclass(frozen=True, slots=True)
class Call:
    """A function, or an operator by its sign, with its operands."""

    function: str
    arguments: "tuple[Expression, ...]"


Expression: TypeAlias = Constant | Name | Call

TOKEN = re.compile(
    r"""\s*(?:
      (?P<comment>/\*.*?\*/)
    | (?P<number>\d+(?:\.\d+)?)
    | (?P<string>"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*')
    | (?P<merge>\{!\s*[\w.$]+\s*\})
    | (?P<name>\$?[A-Za-z_][\w.]*)
    | (?P<symbol><=|>=|!=|<>|==|&&|\|\||[=<>(),&+\-*/])
    )""",
    re.VERBOSE | re.DOTALL,
)
#: From loosest to tightest; operators of one row are taken from left to right.
PRECEDENCE = (("||",), ("&&",), ("=", "==", "!=", "<>"), ("<", ">", "<=", ">="), ("&",), ("+", "-"), ("*", "/"))
SAME = {"==": "=", "<>": "!=", "&&": "AND", "||": "OR"}
ANY_NUMBER = 1000
#: Function -> how few and how many arguments.
FUNCTIONS = {
    "AND": (1, ANY_NUMBER),
    "BLANKVALUE": (2, 2),
    "CASE": (4, ANY_NUMBER),
    "IF": (3, 3),
    "IMAGE": (2, 4),
    "ISBLANK": (1, 1),
    "ISCHANGED": (1, 1),
    "ISNEW": (0, 0),
    "ISPICKVAL": (2, 2),
    "LEN": (1, 1),
    "NOT": (1, 1),
    "NOW": (0, 0),
    "OR": (1, ANY_NUMBER),
    "PRIORVALUE": (1, 1),
    "TEXT": (1, 1),
    "TODAY": (0, 0),
}
#: Where a picklist may stand ("Tips for Using Picklist Formula Fields").
TAKES_PICKLIST = {"ISPICKVAL", "CASE", "TEXT", "ISBLANK", "ISCHANGED", "PRIORVALUE"}
CONSTANTS: dict[str, Value] = {"TRUE": True, "FALSE": False, "NULL": None}


@lru_cache(maxsize=256)
def parse(text: str) -> Expression:
    """Raises FormulaError for what does not parse, and for functions that are not known here."""
    parser = _Parser(text)
    expression = parser.expression()
    parser.end()
    return expression


def names_in(expression: Expression) -> Iterator[Name]:
    match expression:
        case Name():
            yield expression
        case Call():
            for argument in expression.arguments:
                yield from names_in(argument)


def check(expression: Expression, field: Callable[[str], Field | None], permissions: frozenset[str]) -> None:
    """Raises FormulaError where a name stands for nothing, or for a field that may not be used there."""
    match expression:
        case Name(text) if text.startswith("$Permission."):
            if text.removeprefix("$Permission.") not in permissions:
                raise FormulaError(f"Field {text} does not exist. Check spelling.")
        case Name():
            f = field(expression.field)
            if f is None or (expression.text.startswith("$") and expression.field == expression.text):
                raise FormulaError(f"Field {expression.text} does not exist. Check spelling.")
            if f.long_text or f.type is FieldType.ENCRYPTED:
                kind = "encrypted" if f.type is FieldType.ENCRYPTED else "long text area"
                raise FormulaError(f"You cannot use {kind} fields in this type of formula: {f.name}")
            if f.type is FieldType.PICKLIST and not expression.text.startswith("$Record."):
                raise FormulaError(
                    f"Field {f.name} is a picklist field. Picklist fields are only supported in certain functions."
                )
        case Call():
            for argument in expression.arguments:
                f = field(argument.field) if isinstance(argument, Name) else None
                if expression.function in TAKES_PICKLIST and f is not None and f.type is FieldType.PICKLIST:
                    continue
                check(argument, field, permissions)


def value_of(expression: Expression, scope: Scope) -> Value:
    """What the formula comes to."""
    match expression:
        case Constant(value):
            return value
        case Name(text) if text.startswith("$Permission."):
            return text.removeprefix("$Permission.") in scope.permissions
        case Name():
            return scope.row.get(expression.field)
        case Call():
            result: Value = _call(expression, scope)
            return result


def _call(call: Call, scope: Scope) -> Any:
    arguments = call.arguments

    def value(index: int) -> Any:
        return value_of(arguments[index], scope)

    match call.function:
        case "AND":
            return all(value(i) is True for i in range(len(arguments)))
        case "OR":
            return any(value(i) is True for i in range(len(arguments)))
        case "NOT":
            return value(0) is not True
        case "IF":
            return value_of(arguments[1] if value(0) is True else arguments[2], scope)
        case "CASE":
            subject = value(0)
            for i in range(1, len(arguments) - 1, 2):
                if _blank(subject) == _blank(value(i)):
                    return value_of(arguments[i + 1], scope)
            return value_of(arguments[-1], scope)
        case "ISNEW":
            return scope.before is None
        case "ISCHANGED":  # false for a new record
            f = arguments[0]
            return scope.before is not None and isinstance(f, Name) and value(0) != scope.before.get(f.field)
        case "PRIORVALUE":
            f = arguments[0]
            return scope.before.get(f.field) if scope.before is not None and isinstance(f, Name) else value(0)
        case "NOW":
            return scope.now
        case "TODAY":
            return scope.now.date()
        case "ISBLANK":
            return _blank(value(0)) == ""
        case "BLANKVALUE":
            return value_of(arguments[1], scope) if _blank(value(0)) == "" else value_of(arguments[0], scope)
        case "ISPICKVAL":
            return bool(_blank(value(0)) == _blank(value(1)))
        case "TEXT":
            return str(_blank(value(0)))
        case "LEN":
            return len(str(_blank(value(0))))
        case "IMAGE":  # the API answers with the markup ("Sample Image Link Formulas")
            return f'<img src="{value(0)}" alt="{value(1)}" border="0"/>'
        case sign:
            return _operation(sign, value(0), value(1))


def _operation(sign: str, left: Any, right: Any) -> Any:
    match sign:
        case "&":
            return f"{_blank(left)}{_blank(right)}"
        case "=":
            return bool(_blank(left) == _blank(right))
        case "!=":
            return bool(_blank(left) != _blank(right))
    if left is None or right is None:
        return None
    if isinstance(left, datetime) != isinstance(right, datetime) and isinstance(right, date):
        left, right = (v.date() if isinstance(v, datetime) else v for v in (left, right))
    match sign:
        case "<":
            return bool(left < right)
        case ">":
            return bool(left > right)
        case "<=":
            return bool(left <= right)
        case ">=":
            return bool(left >= right)
        case "+":
            return left + (timedelta(days=right) if isinstance(left, date) else right)
        case "-":
            gone = left - (timedelta(days=right) if isinstance(left, date) and not isinstance(right, date) else right)
            return gone / timedelta(days=1) if isinstance(gone, timedelta) else gone
        case "*":
            return left * right
        case _:
            return left / right if right else None


def _blank(value: Any) -> Any:
    return "" if value is None else value


class _Parser:
    def __init__(self, text: str) -> None:
        self._tokens: list[tuple[str, str]] = []
        position = 0
        while text[position:].strip():
            found = TOKEN.match(text, position)
            if found is None:
                raise FormulaError(f"Syntax error. Found '{text[position:].strip()[0]}'")
            if found.lastgroup != "comment":
                self._tokens.append((str(found.lastgroup), str(found.group(str(found.lastgroup)))))
            position = found.end()
        self._at = 0

    def expression(self, level: int = 0) -> Expression:
        if level == len(PRECEDENCE):
            return self._term()
        left = self.expression(level + 1)
        while self._symbol() in PRECEDENCE[level]:
            sign = self._take()
            left = Call(SAME.get(sign, sign), (left, self.expression(level + 1)))
        return left

    def end(self) -> None:
        if self._at < len(self._tokens):
            raise FormulaError(f"Syntax error. Extra '{self._tokens[self._at][1]}'")

    def _term(self) -> Expression:
        kind, text = self._tokens[self._at] if self._at < len(self._tokens) else ("", "")
        self._at += 1
        match kind:
            case "number":
                return Constant(float(text) if "." in text else int(text))
            case "string":
                return Constant(re.sub(r"\\(.)", r"\1", text[1:-1]))
            case "merge":
                return Name(text[2:-1].strip())
            case "symbol" if text == "(":
                inner = self.expression()
                self._expect(")")
                return inner
            case "symbol" if text == "-":
                return Call("-", (Constant(0), self._term()))
            case "name" if self._symbol() == "(":
                return self._function(text.upper())
            case "name" if text.upper() in CONSTANTS:
                return Constant(CONSTANTS[text.upper()])
            case "name":
                return Name(text)
            case _:
                raise FormulaError(
                    f"Syntax error. Found '{text}'" if text else "Syntax error. The formula ends too soon"
                )

    def _function(self, function: str) -> Expression:
        self._expect("(")
        arguments: list[Expression] = []
        while self._symbol() != ")":
            arguments.append(self.expression())
            if self._symbol() != ")":
                self._expect(",")
        self._expect(")")
        if function not in FUNCTIONS:
            raise FormulaError(f"Unknown function {function}. The stand-in org knows: {', '.join(FUNCTIONS)}.")
        few, many = FUNCTIONS[function]
        if not few <= len(arguments) <= many:
            raise FormulaError(f"Incorrect number of parameters for function '{function}()'.")
        return Call(function, tuple(arguments))

    def _symbol(self) -> str:
        kind, text = self._tokens[self._at] if self._at < len(self._tokens) else ("", "")
        return text if kind == "symbol" else ""

    def _take(self) -> str:
        self._at += 1
        return self._tokens[self._at - 1][1]

    def _expect(self, symbol: str) -> None:
        if self._symbol() != symbol:
            raise FormulaError(f"Syntax error. Missing '{symbol}'")
        self._at += 1
