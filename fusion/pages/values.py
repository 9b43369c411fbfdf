"""Values between the two forms they have: canonical, as all else compares them, and shown, as the portal writes them.

Pure. What the portal shows is never refused: what can't be read stays as it is written there and so differs from all
canonical values. What we are to write is refused when the portal has no way to write it.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from datetime import date, datetime

import phonenumbers

from fusion.codes import Code
from fusion.pages.entry import Entry, Kind
from fusion.pages.pack import Forms
from fusion.patient import folded
from fusion.portal import Refused


def canonical(entry: Entry, shown: str, forms: Forms) -> str:
    """What the portal shows, in canonical form; as shown, with plain spaces, where it can't be read as its kind."""
    text = plain(entry.kind, shown)
    if not text:
        return ""
    match entry.kind:
        case Kind.DATE:
            return _iso(text, forms) or text
        case Kind.PHONE:
            return _e164(text, forms) or text
        case Kind.SSN:
            digits = _digits(text)
            return _masked("###-##-####", digits) if len(digits) == 9 and not re.search(r"[^\d\s-]", text) else text
        case Kind.SELECT:
            name = option_named(entry, text)
            return next((word for word, own in entry.words.items() if folded(own) == folded(name)), name)
        case _:
            return text


def shown(entry: Entry, value: str, forms: Forms) -> str:
    """A canonical value as the portal writes it. Raises Refused with the field's label if it has no such form."""
    text = plain(entry.kind, value)
    if not text:
        return ""
    match entry.kind:
        case Kind.DATE:
            try:
                return date.fromisoformat(text).strftime(forms.date)
            except ValueError:
                raise Refused(Code.REJECTED_VALUE, entry.label) from None
        case Kind.PHONE:
            return _national(text, forms, entry.label)
        case Kind.SSN:
            if not re.fullmatch(r"\d{3}-?\d{2}-?\d{4}", text):
                raise Refused(Code.REJECTED_VALUE, entry.label)
            return _masked(forms.ssn, _digits(text))
        case Kind.SELECT:
            # What one portal calls "Other" may be the mapping's word for another option.
            words = {folded(word): own for word, own in entry.words.items()}
            name = words.get(folded(text)) or option_named(entry, text)
            if entry.options and name not in entry.options:
                raise Refused(Code.UNKNOWN_OPTION, entry.label)
            return name
        case _:
            return text


def keys(entry: Entry, shown: str) -> str:
    """What to press so that the box shows *shown*: of a masked value the digits, as the mask puts in the rest."""
    return _digits(shown) if entry.kind in (Kind.DATE, Kind.PHONE, Kind.SSN) else shown


def same(entry: Entry, one: str, other: str, forms: Forms) -> bool:
    """Whether two shown values are one: by canonical value, and of long texts letter by letter."""
    a, b = canonical(entry, one, forms), canonical(entry, other, forms)
    if entry.kind is Kind.TEXTAREA:
        return " ".join(a.split()) == " ".join(b.split())
    return folded(a) == folded(b)


def plain(kind: Kind, text: str) -> str:
    """Text as typed and compared: NFC, without ends; single spaces, but for line breaks in long texts."""
    text = unicodedata.normalize("NFC", text)
    if kind is Kind.TEXTAREA:
        return "\n".join(line.rstrip() for line in re.split(r"\r\n|\r|\n", text)).strip()
    return " ".join(text.split())


def option_named(entry: Entry, text: str) -> str:
    """The portal's own name of an option that is given by any of its names; unknown ones stay as they are."""
    wanted = folded(text)
    names = [*entry.options, *entry.words.values()]
    further = {**entry.words, **entry.synonyms}
    by_name = {**{folded(other): name for other, name in further.items()}, **{folded(name): name for name in names}}
    return by_name.get(wanted, text)


def given_and_middle(given: str, wanted_first: str) -> tuple[str, str]:
    """A list's "First Middle" in two: after the wanted first name if it begins so, else after the first word.

    "Mary Ann Lee" can be Mary Ann or Mary. Only the chart itself tells, and it is read before anything is written.
    """
    words = given.split()
    wanted = wanted_first.split()
    count = len(wanted) if wanted and folded(" ".join(words[: len(wanted)])) == folded(wanted_first) else 1
    return " ".join(words[:count]), " ".join(words[count:])


def labels_in(message: str, labels: Iterable[str]) -> tuple[str, ...]:
    """The labels that a message names, in its order. Longer ones first: "ID Number" is not also "Number"."""
    found: list[tuple[int, str]] = []
    rest = message
    for label in sorted(labels, key=len, reverse=True):
        pattern = re.compile(rf"(?<!\w){re.escape(label)}(?!\w)", re.IGNORECASE)
        if hit := pattern.search(rest):
            found.append((hit.start(), label))
            rest = pattern.sub(lambda m: "\0" * len(m[0]), rest)
    return tuple(label for _, label in sorted(found))


def _iso(text: str, forms: Forms) -> str:
    try:
        # A calendar date has no zone.
        return datetime.strptime(text, forms.date).date().isoformat()  # noqa: DTZ007
    except ValueError:
        return ""


def _e164(text: str, forms: Forms) -> str:
    try:
        number = phonenumbers.parse(text, forms.country)
    except phonenumbers.NumberParseException:
        return ""
    # Possible, not valid: staff keep numbers that no directory knows, and what is shown is what is compared.
    if not phonenumbers.is_possible_number(number) or number.extension:
        return ""
    return phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)


def _national(text: str, forms: Forms, label: str) -> str:
    try:
        number = phonenumbers.parse(text, forms.country)
    except phonenumbers.NumberParseException:
        raise Refused(Code.REJECTED_VALUE, label) from None
    digits = phonenumbers.national_significant_number(number)
    home = phonenumbers.country_code_for_region(forms.country)
    if number.country_code != home or number.extension or len(digits) != forms.phone.count("#"):
        raise Refused(Code.REJECTED_VALUE, label)
    return _masked(forms.phone, digits)


def _digits(text: str) -> str:
    return re.sub(r"\D", "", text)


def _masked(mask: str, digits: str) -> str:
    left = iter(digits)
    return "".join(next(left) if char == "#" else char for char in mask)
