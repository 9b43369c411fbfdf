"""How the pages draw what the clinic keeps: other labels and widgets, fields elsewhere, and further demands.

The clinic, its values and its ledger know nothing of it, so what a test reads there is the same for every look.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Self

from fusion.standin.faults import BadRule
from fusion.standin.forms import ROW_SECTIONS, SECTIONS, Field, Section, Widget

INACTIVE = "Include inactive"
ELSEWHERE = "Other Details"
"""The section in which fields are shown that have moved."""

_PLAIN = (Widget.TEXT, Widget.DATE, Widget.SSN, Widget.PHONE)
WIDGETS: Mapping[str, tuple[Widget, ...]] = {
    "picker": (Widget.DATE,),
    "checks": (Widget.SELECT,),
    "keys": (Widget.SELECT,),
    "line": (Widget.SELECT,),
    "slow": _PLAIN,
    "forgetful": _PLAIN,
    "shy": (Widget.TYPEAHEAD,),
    "racy": (Widget.TYPEAHEAD,),
}
"""What a field may be drawn as, and of which kinds.

`picker`: a calendar, nothing can be typed. `checks`: a box to tick for each option, none an input. `keys`: a list that
listens to keys really pressed and has only what is in view. `line`: a box of text. `slow`: a mask that eats what comes
too fast. `forgetful`: after a change of it the form is drawn anew, and what was typed meanwhile is lost. `shy`: hears
nothing right after the form was opened. `racy`: asks with every key, and shows whatever answer comes last, be it to an
earlier one. (Sources: O1 in research/portal.md, and what is told there of other portals.)
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """One look, for pages that are loaded from now on; all go by the usual names of fields.

    `labels`: what they are called. `hidden`: left out. `widgets`: drawn as one of `WIDGETS`. `aside`: fields of section
    Patient that have moved to a section of their own. `demands`: a regular expression that the field must match in each
    save, whether it was changed or not; "" means that it must not be empty. `long_lists`: lists have only what is in
    view, and the search's goes on where it ends. In `widgets` "Include inactive" may be `checks`, too. `options`: what
    options are called, by their usual names; "" leaves one out.
    """

    labels: Mapping[str, str] = field(default_factory=dict)
    hidden: frozenset[str] = frozenset()
    widgets: Mapping[str, str] = field(default_factory=dict)
    aside: frozenset[str] = frozenset()
    demands: Mapping[str, str] = field(default_factory=dict)
    long_lists: bool = False
    options: Mapping[str, str] = field(default_factory=dict)

    def but(self, **changed: object) -> Self:
        """The same with these changed; BadRule where a name, a type or a widget is not one of ours."""
        for name, value in changed.items():
            if name == "long_lists":
                if not isinstance(value, bool):
                    raise BadRule("long_lists: true or false")
            elif name in ("labels", "widgets", "demands", "options"):
                if not isinstance(value, Mapping) or not all(isinstance(v, str) for v in value.values()):
                    raise BadRule(f"{name}: an object of texts")
            elif name in ("hidden", "aside"):
                if not isinstance(value, list | tuple | frozenset) or not all(isinstance(v, str) for v in value):
                    raise BadRule(f"{name}: a list of texts")
                changed[name] = frozenset(value)
            else:
                raise BadRule(f"{name}: no part of the look")
        after = replace(self, **changed)  # type: ignore[arg-type]
        for name, widget in after.widgets.items():
            if (name, widget) == (INACTIVE, "checks"):
                continue
            if widget not in WIDGETS or _field(name).widget not in WIDGETS[widget]:
                raise BadRule(f"widgets: {name} cannot be drawn as {widget}")
        if strange := after.aside - set(SECTIONS["Patient"].labels()):
            raise BadRule(f"aside: no field of Patient: {', '.join(sorted(strange))}")
        return after

    def sections(self) -> list[dict[str, object]]:
        """All sections for the page."""
        drawn = [self._section(section) for section in SECTIONS.values()]
        if self.aside:
            moved = Section(
                name=ELSEWHERE,
                row="Details",
                fields=tuple(one for one in SECTIONS["Patient"].fields if one.label in self.aside),
            )
            drawn.insert(1, self._section(moved))
        return drawn

    def _section(self, section: Section) -> dict[str, object]:
        moved = self.aside if section.name == "Patient" else frozenset()
        return {
            "name": section.name,
            "row": section.row,
            "many": section.name in ROW_SECTIONS,
            "long": self.long_lists,
            "fields": [
                {
                    "name": one.label,
                    "label": self.labels.get(one.label, one.label),
                    "widget": Widget.TEXT if self.widgets.get(one.label) == "line" else one.widget,
                    "drawn": self.widgets.get(one.label, ""),
                    "required": one.required or self.demands.get(one.label) == "",
                    "options": [shown for name in one.options if (shown := self.options.get(name, name))],
                    "pattern": one.pattern,
                    "must": one.must,
                    "longest": one.longest,
                    "always": self.demands.get(one.label, ""),
                    "long": self.long_lists,
                }
                for one in section.fields
                if one.label not in self.hidden | moved
            ],
        }


def _field(label: str) -> Field:
    for section in SECTIONS.values():
        for one in section.fields:
            if one.label == label:
                return one
    raise BadRule(f"widgets: no field {label}")
