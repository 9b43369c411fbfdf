"""Where a portal is no longer as its pack says, place by place, and who has to wait for that. Pure.

All words are the pack's and the portal's own: labels, options, kinds of boxes. None is a patient's.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence, Set
from dataclasses import dataclass, field, replace
from datetime import timedelta
from enum import StrEnum

from fusion.codes import Code
from fusion.patient import Section
from listener.alarms import Alarm
from listener.drifts import Looked
from listener.errors import SyncError


class Place(StrEnum):
    """A part of the portal that is looked at, and is in order or not, by itself."""

    SEARCH = "search"
    NEW = "new patient"
    PATIENT = Section.PATIENT.value
    CONTACTS = Section.CONTACTS.value
    CASES = Section.CASES.value
    PAYERS = Section.PAYERS.value
    NOTES = Section.NOTES.value

    @property
    def section(self) -> Section | None:
        """The section of a chart that it is; None for what is no part of a chart."""
        return None if self in ENTRANCE else Section(self.value)


ENTRANCE = frozenset({Place.SEARCH, Place.NEW})
"""What can be looked at without a chart."""
VITAL = frozenset({Place.SEARCH, Place.PATIENT})
"""Without these nobody can say whose chart it is, so nothing at all is visited."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Drift:
    """One thing that is not as expected. `about`: what it is about, where that is not the place as a whole; `found`:
    what may have taken its place, if anything. It is proposed to a person, and nothing is ever written by it.

    `in_view`: a row shows it, so that a chart without one says nothing of it.
    """

    place: Place
    expected: str
    about: str = ""
    found: str = ""
    in_view: bool = field(default=False, compare=False)

    def __str__(self) -> str:
        where = f"{self.place}, {self.about}" if self.about else str(self.place)
        return f"{where}: expected {self.expected}" + (f", found {self.found}" if self.found else "")


@dataclass(slots=True, kw_only=True)
class Walk:
    """What a walk through the portal has found so far: nothing for each place that is as the pack says.

    `bare`: sections of which no row was there to be seen, only the form. `evidence`: files about what is not in order.
    """

    found: dict[Place, Sequence[Drift]] = field(default_factory=dict)
    bare: set[Place] = field(default_factory=set)
    evidence: dict[Place, str] = field(default_factory=dict)

    @property
    def drifts(self) -> list[Drift]:
        """Everything that was found."""
        return [drift for place in Place for drift in self.found.get(place, ())]

    @property
    def of_a_chart(self) -> bool:
        """Whether a chart's sections were looked at, too."""
        return bool(self.found.keys() - ENTRANCE)

    @property
    def whole(self) -> Set[Place]:
        """The places of which all was seen."""
        return self.found.keys() - self.bare

    @property
    def blamed(self) -> Set[Place]:
        """The sections that are not in order, be it on this chart alone."""
        return {place for place, drifts in self.found.items() if drifts} - ENTRANCE

    @property
    def sure(self) -> Set[Place]:
        """The places of which no second chart need be asked."""
        return self.found.keys() - self.blamed

    def of(self, places: Set[Place]) -> Walk:
        """The same, of these places alone."""
        return Walk(
            found={place: drifts for place, drifts in self.found.items() if place in places},
            bare=self.bare & places,
            evidence={place: file for place, file in self.evidence.items() if place in places},
        )

    def confirmed_by(self, other: Walk) -> Walk:
        """The same, without what a walk over other charts has looked at and not found."""
        seen = {(drift.place, drift.expected, drift.about) for drift in other.drifts}

        def stands(drift: Drift) -> bool:
            looked = drift.place in (other.whole if drift.in_view else other.found)
            return not looked or (drift.place, drift.expected, drift.about) in seen

        found: dict[Place, Sequence[Drift]] = {
            place: [drift for drift in drifts if place in ENTRANCE or stands(drift)]
            for place, drifts in self.found.items()
        }
        return replace(self, found=found)


class Waits(SyncError):
    """The visit cannot be made, or not whole, until these places are in order again: nobody's fault, nothing charged.

    `until`: how long at the most, where nobody will say that they are. `code`: None where no place need have changed.
    """

    def __init__(
        self,
        places: Collection[Place],
        said: str,
        *,
        until: timedelta | None = None,
        evidence: str | None = None,
        code: Code | None = Code.PORTAL_CHANGED,
    ) -> None:
        super().__init__(said)
        self.places = frozenset(places)
        self.until = until
        self.evidence = evidence
        self.code = code


def waits(drifts: Mapping[Place, str], places: Collection[Place], *, evidence: str | None = None) -> Waits:
    """What to raise where these of the known drifts are in the way: a sentence for people, at most 255 characters."""
    said = [drifts[place] for place in Place if place in places]
    more = f", and {len(said) - 1} more" if len(said) > 1 else ""
    what = f"The portal has changed. {said[0]}{more}. This waits for it."
    room = 254 - len(Code.PORTAL_CHANGED.fix)
    what = what if len(what) <= room else f"{what[: room - 1]}…"
    return Waits(places, f"{what} {Code.PORTAL_CHANGED.fix}", evidence=evidence)


def alarms(looked: Sequence[Looked], waiting: Mapping[str, int]) -> list[Alarm]:
    """What ops should hear: each part of the portal that has changed, since when, and how many entries wait for it."""
    told = []
    for one in looked:
        if one.since is None:
            continue
        number = waiting.get(one.place, 0)
        entries = "1 entry waits" if number == 1 else f"{number or 'no'} entries wait"
        told.append(
            Alarm(
                code="portal_changed",
                said=f"The portal has changed: {'; '.join(one.said)} (seen since {one.since:%Y-%m-%d %H:%M} UTC; "
                f"{entries} for it).",
                move="`fusion-sync doctor --portal`, mend the pack, restart the worker: what waits goes on by itself",
            )
        )
    return told
