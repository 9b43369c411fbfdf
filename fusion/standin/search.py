"""Search Patients: what the search box finds, and an index that may lag behind the charts.

By patient name, birthdate or a contact's phone (F5); nothing public says that patient ids are found, so they aren't.
The rules of matching are inferred: every word must begin a part of the name, case and accents don't count.
"""

import re
import unicodedata
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from fusion.standin.charts import Chart

SHORTEST = 2
"""Characters below which the portal doesn't search."""
PAGE = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Hit:
    """One line of the results, as shown."""

    id: str
    name: str
    birthdate: str
    phone: str
    active: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Card:
    """What the index knows of one chart."""

    hit: Hit
    words: tuple[str, ...]
    phones: tuple[str, ...]

    def matches(self, query: str) -> bool:
        """Whether the search box shows this chart for *query*."""
        if phone := digits_of_phone(query):
            return any(phone in known for known in self.phones)
        return all(
            self.hit.birthdate.startswith(word)
            if re.match(r"\d", word)
            else any(w.startswith(word) for w in self.words)
            for word in words_of(query)
        )


def words_of(text: str) -> tuple[str, ...]:
    """Lower-case words without accents, split at spaces and commas."""
    plain = "".join(c for c in unicodedata.normalize("NFKD", text.casefold()) if not unicodedata.combining(c))
    return tuple(word for word in re.split(r"[\s,]+", plain) if word)


def digits_of_phone(query: str) -> str:
    """The digits, without the country's 1, when *query* can only be a phone; else ""."""
    if not re.fullmatch(r"[\d\s().+-]+", query.strip()):
        return ""
    digits = re.sub(r"\D", "", query)
    return digits[1:] if len(digits) == 11 and digits[0] == "1" else digits


def shown_name(chart: Chart) -> str:
    """ "Last, First Middle", as lists show it."""
    p = chart.patient
    return f"{p['Last Name']}, {p['First Name']} {p['Middle Name']}".strip()


def card(chart: Chart) -> Card:
    """The index entry of *chart* as it is now."""
    patient = chart.patient
    words = words_of(" ".join(patient[label] for label in ("First Name", "Middle Name", "Last Name")))
    # A hyphenated name is found whole and by each part: "smith-lee", "lee".
    parts = [part for word in words for part in word.split("-") if part]
    phones = [row.values["Phone"] for row in chart.rows["Contacts"] if row.values["Phone"]]
    hit = Hit(
        id=chart.id,
        name=shown_name(chart),
        birthdate=patient["Birthdate"],
        phone=phones[0] if phones else "",
        active=chart.active,
    )
    return Card(hit=hit, words=tuple({*words, *parts}), phones=tuple(digits_of_phone(phone) for phone in phones))


class Index:
    """The search index; a change shows up `lag` after it was noted."""

    def __init__(self, *, clock: Callable[[], datetime]) -> None:
        self.lag = timedelta(0)
        self._clock = clock
        self._cards: dict[str, Card] = {}
        self._waiting: list[tuple[datetime, Card]] = []

    def note(self, chart: Chart, *, at_once: bool = False) -> None:
        """Take in *chart* as it is now, visible after the lag of this moment."""
        if at_once or not self.lag:
            self._cards[chart.id] = card(chart)
        else:
            self._waiting.append((self._clock() + self.lag, card(chart)))

    def clear(self) -> None:
        """Forget all charts."""
        self._cards.clear()
        self._waiting.clear()

    def find(self, query: str, *, inactive: bool = False) -> list[Hit]:
        """Hits by last name, first name, birthdate and id; [] for a query that is too short."""
        self._catch_up()
        if len(query.strip()) < SHORTEST:
            return []
        found: Iterable[Hit] = (c.hit for c in self._cards.values() if c.matches(query))
        shown = [hit for hit in found if hit.active or inactive]
        return sorted(shown, key=lambda hit: (hit.name.casefold(), hit.birthdate, hit.id))

    def _catch_up(self) -> None:
        now = self._clock()
        for due, entry in self._waiting:
            if due <= now:
                self._cards[entry.hit.id] = entry
        self._waiting = [(due, entry) for due, entry in self._waiting if due > now]
