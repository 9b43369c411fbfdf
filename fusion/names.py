"""How alike two names or two birth dates are: the words of `matching`, without its decisions. Pure.

Likeness only ever finds candidates for a person's eye. Nothing is written on the strength of it: that takes `EXACT`.
"""

from __future__ import annotations

import re
import unicodedata
from datetime import date
from enum import StrEnum

from rapidfuzz import fuzz
from rapidfuzz.distance import OSA

from fusion.nicknames import may_be_short_for
from fusion.patient import folded

_SIMILAR = 85
"""rapidfuzz ratio from which two spellings may be one name: one letter of four (Ana, Anna), two of fourteen."""


class Likeness(StrEnum):
    """How two values compare; the value ends the name of a fact (`first_name_nickname`)."""

    EXACT = "same"
    VARIANT = "variant"  # the same but for accents, hyphens, apostrophes and spaces
    PARTIAL = "partial"  # one has a word more: Smith, Smith-Lee
    NICKNAME = "nickname"
    SIMILAR = "similar"
    TRANSPOSED = "transposed"
    NEAR = "near"  # one day or one digit off
    MISSING = "missing"
    DIFFERENT = "differs"

    @property
    def is_equal(self) -> bool:
        """Whether it is one value, however it was typed."""
        return self in (Likeness.EXACT, Likeness.VARIANT)


def last_name_likeness(one: str, other: str) -> Likeness:
    """How alike two last names are."""
    if not one.strip() or not other.strip():
        return Likeness.MISSING
    if folded(one) == folded(other):
        return Likeness.EXACT
    if plain(one) == plain(other):
        return Likeness.VARIANT
    words, others = _words(one), _words(other)
    if words <= others or others <= words:
        return Likeness.PARTIAL
    return Likeness.SIMILAR if _spelt_alike(plain(one), plain(other)) else Likeness.DIFFERENT


def first_name_likeness(one: str, other: str) -> Likeness:
    """How alike two first names are; a short form of the other is a `NICKNAME`."""
    likeness = last_name_likeness(one, other)
    if likeness in (Likeness.SIMILAR, Likeness.DIFFERENT) and any(
        may_be_short_for(word, also) for word in _words(one) for also in _words(other)
    ):
        return Likeness.NICKNAME
    return likeness


def date_likeness(one: date | None, other: date | None) -> Likeness:
    """How alike two birth dates are. Slips of a hand: day and month swapped, digits swapped, one digit or day off."""
    if one is None or other is None:
        return Likeness.MISSING
    if one == other:
        return Likeness.EXACT
    if (one.year, one.month, one.day) == (other.year, other.day, other.month):
        return Likeness.TRANSPOSED
    digits, others = one.strftime("%Y%m%d"), other.strftime("%Y%m%d")
    if _adjacent_swap(digits, others):
        return Likeness.TRANSPOSED
    off = sum(a != b for a, b in zip(digits, others, strict=True))
    return Likeness.NEAR if off == 1 or abs((one - other).days) == 1 else Likeness.DIFFERENT


def plain(name: str) -> str:
    """Letters and digits alone, lower case, without accents: `José-María O'Neill` is `josemariaoneill`."""
    decomposed = unicodedata.normalize("NFKD", name.casefold().translate(_UNDECOMPOSED))
    return "".join(char for char in decomposed if char.isalnum())


# Letters with a stroke are letters of their own to Unicode; American intake forms spell them without.
_UNDECOMPOSED = str.maketrans(
    {"ø": "o", "ł": "l", "đ": "d", "ð": "d", "æ": "ae", "œ": "oe", "þ": "th", "ı": "i", "ß": "ss"}
)


def _words(name: str) -> frozenset[str]:
    parts = [part for word in re.split(r"[\s\-‐‑–.,/]+", name) if (part := plain(word))]
    # An initial says nothing against John Paul when the chart has John P.
    return frozenset(part for part in parts if len(part) > 1) or frozenset(parts)


def _spelt_alike(one: str, other: str) -> bool:
    return fuzz.ratio(one, other) >= _SIMILAR or _adjacent_swap(one, other) or _sound_alike(one, other)


def _adjacent_swap(one: str, other: str) -> bool:
    return sorted(one) == sorted(other) and OSA.distance(one, other) == 1


def _sound_alike(one: str, other: str) -> bool:
    """Aidan and Aiden, Kaitlyn and Caitlin, Mia and Maya: the same consonants, the same first and last sound.

    The ratio alone is blind here: in a name of three letters one vowel is a third of it.
    """
    one, other = _sounds(one), _sounds(other)
    if not one or not other or (one[0], one[-1]) != (other[0], other[-1]):
        return False
    return _consonants(one) == _consonants(other) != ""


def _sounds(name: str) -> str:
    spoken = name.replace("ph", "f").translate(str.maketrans("cqzy", "kksi"))
    return re.sub(r"(.)\1+", r"\1", spoken)


def _consonants(sounds: str) -> str:
    return re.sub(r"(.)\1+", r"\1", re.sub(r"[aeiouhw]", "", sounds))
