"""From a Salesforce record to a patient in canonical values; what cannot be made canonical is refused by its label.

A value that is guessed right nine times in ten is wrong in a child's chart the tenth time, so nothing is repaired here
that a person could have meant otherwise. No message, and no exception under it, holds a value.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

import phonenumbers

from fusion.codes import Code
from fusion.mapping import RecordMapping, Rule
from fusion.mapping_file import ROW_KEYS, Transform
from fusion.patient import Field, Patient, Section, note_with_marker
from fusion.portal import Refused
from fusion.states import state_code
from listener.change import RecordId

_SEVERITY = (Code.MISSING_FIELD, Code.MASKED_SSN, Code.REJECTED_VALUE, Code.UNKNOWN_OPTION)


class Unfit(ValueError):
    """A value that has no canonical form. The text says what it is, or is not; the value is nowhere in it."""

    def __init__(self, what: str, *, code: Code = Code.REJECTED_VALUE) -> None:
        super().__init__(what)
        self.code = code


@dataclass(frozen=True, slots=True, kw_only=True)
class _Problem:
    """One field that is wrong: `alone` completes the sentence of its own code, `beside` stands beside a graver one."""

    code: Code
    alone: str
    beside: str


def patient_from(
    record: Mapping[str, Any],
    mapping: RecordMapping,
    *,
    record_id: RecordId,
    portal_id: str | None,
    today: date,
) -> Patient:
    """The patient that a record as read by REST holds. `today` is the clinic's, by which no one is born tomorrow.

    A section of which every source is empty is "" throughout, its constants too: nothing is to be added. A field of
    which the record does not hold the source (not even as null) is absent, like one that is not mapped.
    `Refused` names all fields that are wrong, under the gravest code: missing, masked, rejected, unknown option.
    """
    values: dict[Field, str] = {}
    problems: list[_Problem] = []
    for section in Section:
        rules = {field: rule for field, rule in mapping.rules.items() if field.section is section}
        given = {field: _given(record, rule) for field, rule in rules.items()}
        if any(given.get(key, ()) is None for key in ROW_KEYS.get(section, ())):
            continue  # our row could not be told from another
        if section is not Section.PATIENT and _is_nothing(given, rules):
            values.update((field, "") for field, texts in given.items() if texts is not None)
            continue
        for field, texts in given.items():
            found = _canonical(texts, rules[field], today=today)
            if isinstance(found, _Problem):
                problems.append(found)
            elif texts is not None:
                values[field] = found
    if problems:
        raise _refusal(problems)
    if Field.NOTE in values:
        values[Field.NOTE] = note_with_marker(values[Field.NOTE], record_id)
    return Patient(record_id=record_id, portal_id=portal_id, values=values)


def _given(record: Mapping[str, Any], rule: Rule) -> tuple[Any, ...] | None:
    """What the rule's sources hold; None if the record does not hold one of them."""
    if not rule.sources:
        return (rule.value,)
    return tuple(record[name] for name in rule.sources) if all(name in record for name in rule.sources) else None


def _is_nothing(given: Mapping[Field, tuple[Any, ...] | None], rules: Mapping[Field, Rule]) -> bool:
    """Whether no source holds anything that is worth a row. A section of constants alone was meant to be one."""
    sourced = [(texts or (), rules[field]) for field, texts in given.items() if rules[field].sources]
    return bool(sourced) and all(
        one is None or (isinstance(one, str) and (not text(one) or text(one) in rule.alone_is_nothing))
        for texts, rule in sourced
        for one in texts
    )


def _canonical(texts: tuple[Any, ...] | None, rule: Rule, *, today: date) -> str | _Problem:
    label = rule.policy.label
    try:
        value = _transformed([_text_of(one) for one in texts or ()], rule, today=today)
    except Unfit as unfit:
        said = f"{label} is {unfit}"
        return _Problem(code=unfit.code, alone=said if unfit.code is Code.REJECTED_VALUE else label, beside=said)
    if not value and rule.policy.required:
        return _Problem(code=Code.MISSING_FIELD, alone=label, beside=f"{label} is empty")
    return value


def _refusal(problems: Sequence[_Problem]) -> Refused:
    """One refusal for all. Its own kind comes last, so that the code's sentence ("… is empty.") ends in them."""
    code = min((problem.code for problem in problems), key=_SEVERITY.index)
    beside = [problem.beside for problem in problems if problem.code is not code]
    return Refused(code, ", ".join([*beside, *(problem.alone for problem in problems if problem.code is code)]))


def _text_of(given: Any) -> str:
    """A value of REST as text: null is empty, numbers are written without a trailing `.0`."""
    match given:
        case None:
            return ""
        case str():
            return given
        case bool():
            return "true" if given else "false"
        case int():
            return str(given)
        case float():
            return str(int(given)) if given.is_integer() else str(given)
        case _:
            raise Unfit("not a single value")


def _transformed(texts: Sequence[str], rule: Rule, *, today: date) -> str:
    only = texts[0] if texts else ""
    if not rule.sources:
        return rule.value if texts else ""
    match rule.transform:
        case Transform.JOIN:
            return join(texts)
        case Transform.DATE:
            return day(only, today=today)
        case Transform.OPTION:
            return option(only, rule.options)
        case transform:
            return PLAIN[transform](only)


def text(value: str) -> str:
    """One line: composed letters, single spaces, no ends; control and invisible characters are gone."""
    return " ".join(_visible(value).split())


def multiline(value: str) -> str:
    """Lines as typed: ends of lines are `\\n`, blanks at their ends and empty lines around the text are gone."""
    lines = re.split(r"\r\n|[\n\r\u0085\u2028\u2029]", value)
    return "\n".join(_visible(line).replace("\t", " ").rstrip() for line in lines).strip("\n")


def join(values: Sequence[str]) -> str:
    """The values that are not empty, with a space between."""
    return text(" ".join(values))


def upper(value: str) -> str:
    """One line in capitals."""
    return text(value).upper()


def day(value: str, *, today: date) -> str:
    """`YYYY-MM-DD`, of a day from 1900 up to today; REST gives a Date in that form and no other."""
    given = text(value)
    if not given:
        return ""
    found = _day_in(given)
    if found is None or found.year < 1900:
        raise Unfit("not a date")
    if found > today:
        raise Unfit("not a date up to today")
    return found.isoformat()


def phone(value: str) -> str:
    """E.164 of a number of the North American plan: the portal's masked field takes ten digits and no extension.

    Letters are refused, since `phonenumbers` would dial them (1-800-FLOWERS).
    """
    given = text(value)
    if not given:
        return ""
    number = None if re.search(r"[^\W\d_]", given) else _number_in(given)
    if number is None or number.extension or number.country_code != 1 or not phonenumbers.is_valid_number(number):
        raise Unfit("not a phone number")
    return phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)


def ssn(value: str) -> str:
    """`999-99-9999`. Numbers that were never given out are refused; 9xx stands, being a taxpayer's number (ITIN).

    Salesforce masks an encrypted field for users without View Encrypted Data; such a value is no value.
    """
    given = text(value)
    if not given:
        return ""
    if re.fullmatch(r"[\dxX*•#\s-]+", given) and re.search(r"[xX*•#]", given):
        raise Unfit("masked", code=Code.MASKED_SSN)
    digits = re.sub(r"[\s-]", "", given)
    # SSA, "Social Security Number Randomization": areas 000 and 666, group 00 and serial 0000 are not assigned.
    if not re.fullmatch(r"(?!000|666)[0-9]{3}(?!00)[0-9]{2}(?!0000)[0-9]{4}", digits) or len(set(digits)) == 1:
        raise Unfit("not a social security number")
    return f"{digits[:3]}-{digits[3:5]}-{digits[5:]}"


def email(value: str) -> str:
    """The one address, its domain in lower case. What stands before the @ is the mail server's to read, so it stays."""
    given = text(value)
    if not given:
        return ""
    local, at, domain = given.rpartition("@")
    if not at or not re.fullmatch(r"[^\s@<>(),;:\"\[\]\\]+", local) or not re.fullmatch(_DOMAIN, domain):
        raise Unfit("not an email address")
    return f"{local}@{domain.lower()}"


_DOMAIN = r"([^\W_]([\w-]*[^\W_])?\.)+[^\W\d_][\w-]*[^\W_]"


def state(value: str) -> str:
    """Two letters of a state, of DC or of a territory, from the letters or the name."""
    given = text(value)
    if not given:
        return ""
    code = state_code(given)
    if code is None:
        raise Unfit("not a US state")
    return code


def zip_code(value: str) -> str:
    """`99999` or `99999-9999`."""
    given = text(value)
    if not given:
        return ""
    found = re.fullmatch(r"([0-9]{5})(?:[- ]?([0-9]{4}))?", given)
    if found is None:
        raise Unfit("not a ZIP code")
    return f"{found[1]}-{found[2]}" if found[2] else found[1]


def option(value: str, options: Mapping[str, str]) -> str:
    """The portal's option for a picklist value, whatever its case."""
    given = text(value)
    if not given:
        return ""
    known = {text(name).casefold(): portal for name, portal in options.items()}
    found = known.get(given.casefold())
    if found is None:
        raise Unfit("not on the portal's list", code=Code.UNKNOWN_OPTION)
    return found


PLAIN: Mapping[Transform, Callable[[str], str]] = {
    Transform.TEXT: text,
    Transform.MULTILINE: multiline,
    Transform.PHONE: phone,
    Transform.SSN: ssn,
    Transform.EMAIL: email,
    Transform.STATE: state,
    Transform.ZIP: zip_code,
    Transform.UPPER: upper,
}
"""The transforms that need nothing but the value."""


def _visible(line: str) -> str:
    """NFC, without what can be pasted and not be seen: a zero-width space makes two equal names differ for ever."""
    composed = unicodedata.normalize("NFC", line)
    shown = "".join(" " if unicodedata.category(char) == "Cc" and char != "\t" else char for char in composed)
    return re.sub("[\u00ad\u200b\u2060\ufeff]", "", shown)


def _day_in(given: str) -> date | None:
    try:
        return date.fromisoformat(given) if re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", given) else None
    except ValueError:
        return None


def _number_in(given: str) -> phonenumbers.PhoneNumber | None:
    try:
        return phonenumbers.parse(given, "US")
    except phonenumbers.NumberParseException:
        return None
