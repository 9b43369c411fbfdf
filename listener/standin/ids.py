"""Record ids: 15 case-sensitive characters, and the 18-character form that survives case-blind systems.

The last three characters encode which of each five are upper case ("Salesforce record IDs: 15 or 18 characters",
help article 000383278), so a wrong letter is noticed here as it is there.
"""

import string
from collections.abc import Iterator
from itertools import count

ALPHABET = string.digits + string.ascii_uppercase + string.ascii_lowercase
CHECKSUM = string.ascii_uppercase + "012345"
INSTANCE = "Hs00"  # pod and reserved characters behind the three of the key prefix


def with_checksum(id15: str) -> str:
    """The 18-character form of a 15-character id."""
    groups = (id15[i : i + 5] for i in (0, 5, 10))
    return id15 + "".join(CHECKSUM[sum(1 << n for n, char in enumerate(group) if char.isupper())] for group in groups)


def as_18(text: object) -> str | None:
    """The 18-character form of an id written with 15 or 18 characters; None when it is not an id."""
    if not isinstance(text, str) or len(text) not in {15, 18} or not text.isascii() or not text.isalnum():
        return None
    full = with_checksum(text[:15])
    return full if len(text) == 15 or text == full else None


def mint(key_prefix: str, *, start: int = 1) -> Iterator[str]:
    """Fresh 18-character ids of one object, in order."""
    for number in count(start):
        digits, rest = "", number
        for _ in range(8):
            rest, digit = divmod(rest, 62)
            digits = ALPHABET[digit] + digits
        yield with_checksum(key_prefix + INSTANCE + digits)
