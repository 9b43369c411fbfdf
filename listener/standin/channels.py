"""Channels of change events: which objects they carry, their filter and their enrichment.

"Change Data Capture: Subscription Channels": `/data/ChangeEvents` carries every tracked object, `/data/XChangeEvent`
one; a custom channel (`/data/Y__chn`, metadata PlatformEventChannel) carries its members, each with a filter expression
and enriched fields (PlatformEventChannelMember). A filter's fields are enriched by themselves ("Change Event Filters").
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from listener.standin.schema import Schema
from listener.standin.soql import Condition, fields_in, parse_condition

HEADER = "ChangeEventHeader."


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """One object on a channel. `filter` is the expression as metadata spells it, without WHERE."""

    filter: str | None = None
    enriched: tuple[str, ...] = ()

    @property
    def condition(self) -> Condition | None:
        return parse_condition(self.filter) if self.filter else None

    @property
    def extra_fields(self) -> tuple[str, ...]:
        """Enriched fields and those of the filter, each once."""
        of_filter = fields_in(self.condition) if self.condition else ()
        return tuple(dict.fromkeys([*self.enriched, *(n for n in of_filter if not n.startswith(HEADER))]))


@dataclass(frozen=True, slots=True, kw_only=True)
class Channel:
    """One channel by its subscription name; its members by object name."""

    name: str
    members: Mapping[str, Member] = field(default_factory=dict)


def channels_of(schema: Schema, custom: Iterable[Channel]) -> dict[str, Channel]:
    """Every channel of the org by name: the standard ones of its tracked objects, and the custom ones."""
    tracked = [o for o in schema.objects.values() if o.tracked]
    standard = [Channel(name=f"/data/{o.event_entity}", members={o.name: Member()}) for o in tracked]
    everything = Channel(name="/data/ChangeEvents", members={o.name: Member() for o in tracked})
    return {c.name: c for c in (everything, *standard, *custom)}
