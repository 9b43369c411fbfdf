"""One field of a form as data: what it is called, how its values are written, and by which gesture they get in."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from enum import StrEnum
from typing import Self

from pydantic import model_validator

from fusion.pages.spot import Data, Spot, Spots


class Kind(StrEnum):
    """What a field holds and how that is written."""

    TEXT = "text"
    TEXTAREA = "textarea"
    DATE = "date"
    PHONE = "phone"
    SSN = "ssn"
    SELECT = "select"
    TYPEAHEAD = "typeahead"


class Gesture(StrEnum):
    """How a value gets into a field.

    `fill`: all at once. `keys`: key by key. `slow`: with a pause after each, for masks that eat what comes fast.
    `choose`: typed, then clicked in the list that drops down. `checks`: ticked among boxes that are no inputs.
    `calendar`: turned to and clicked in a calendar. A native list needs none.
    """

    FILL = "fill"
    KEYS = "keys"
    SLOW = "slow"
    CHOOSE = "choose"
    CHECKS = "checks"
    CALENDAR = "calendar"


_TYPED = (Kind.TEXT, Kind.TEXTAREA, Kind.DATE, Kind.PHONE, Kind.SSN)
_KINDS = {
    Gesture.FILL: _TYPED,
    Gesture.KEYS: _TYPED,
    Gesture.SLOW: _TYPED,
    Gesture.CHOOSE: (Kind.SELECT, Kind.TYPEAHEAD),
    Gesture.CHECKS: (Kind.SELECT,),
    Gesture.CALENDAR: (Kind.DATE,),
}


class Calendar(Data):
    """A calendar that comes up when its field is clicked; all but `panel` is within it.

    `month`: what says which month is shown, written as `written` says (as for strptime). `day`: the days of this month,
    each with its number. `earlier`, `later`: a month back and on; `year_earlier`, `year_later`: a year.
    """

    panel: Spots
    month: Spots
    written: str
    day: Spots
    earlier: Spots
    later: Spots
    year_earlier: Spots | None = None
    year_later: Spots | None = None

    @model_validator(mode="after")
    def _month_to_read(self) -> Self:
        if date(2001, 2, 3).strftime(self.written) in (self.written, date(2001, 3, 3).strftime(self.written)):
            raise ValueError("written has no month and year")
        return self


class Entry(Data):
    """One field. `options`: the closed list of a select, if the portal and not the clinic decides on it.

    `words` lead from the mapping's names of options to the portal's own, and back; `synonyms` from further names to the
    portal's. `gesture`: where it is not the usual one of its kind. `menu`, `option` and `nothing` belong to `choose`,
    `option` also to `checks`. `chosen`: what shows the value where the field itself does not hold it; it is looked for
    in the field, and where that is an input in the form. `clear`: what empties a field that cannot be emptied by keys.
    """

    label: str
    kind: Kind
    input: Spots | None = None
    gesture: Gesture | None = None
    options: tuple[str, ...] = ()
    words: Mapping[str, str] = {}
    synonyms: Mapping[str, str] = {}
    menu: Spots | None = None
    option: Spots | None = None
    nothing: Spots | None = None
    chosen: Spots | None = None
    clear: Spots | None = None
    calendar: Calendar | None = None

    @model_validator(mode="after")
    def _complete(self) -> Self:
        if self.gesture is not None and self.kind not in _KINDS[self.gesture]:
            raise ValueError(f"{self.gesture} is no gesture for {self.kind}")
        if self.is_chosen and (self.menu is None or self.option is None):
            raise ValueError(f"a {'typeahead' if self.gesture is None else self.gesture} needs menu and option")
        if self.gesture is Gesture.CHECKS and (self.option is None or self.chosen is None):
            raise ValueError("checks need option and chosen")
        if (self.gesture is Gesture.CALENDAR) != (self.calendar is not None):
            raise ValueError("calendar as gesture and [calendar] go together")
        return self

    @model_validator(mode="after")
    def _options_by_name(self) -> Self:
        if self.options and (strange := {*self.synonyms.values(), *self.words.values()} - set(self.options)):
            raise ValueError(f"synonyms lead to no option: {', '.join(sorted(strange))}")
        if len(set(self.words.values())) < len(self.words):
            raise ValueError("two words lead to one option: then there is no way back")
        return self

    @property
    def is_chosen(self) -> bool:
        """Whether it is typed and then chosen from a list that drops down."""
        return self.gesture is Gesture.CHOOSE or (self.gesture is None and self.kind is Kind.TYPEAHEAD)

    @property
    def box(self) -> tuple[Spot, ...]:
        """Where the field is typed."""
        return self.input or (Spot(label=self.label),)
