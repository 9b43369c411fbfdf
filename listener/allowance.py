"""What the org lets be done in 24 hours, how much of it is used, and what waits so that the rest is enough.

Salesforce counts over the last 24 hours, not by the day, and for everybody who calls the org. From 80 % of the calls on
a patient who changes now goes before one who was there before: entries of a backfill and the nightly comparison wait,
and of three sweeps one is made. Who is changed in Salesforce is worked until the last call; then Salesforce refuses,
and the gate is shut for a quarter of an hour at a time. Delivered events cannot be thrifty with: that is only told.

Sources: "API Request Limits and Allocations", "Limits" (REST API Developer Guide), "Monitor Event Usage Against Your
Allocations" (Change Data Capture Developer Guide).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any

from sqlalchemy import delete, exists, func, literal_column, or_, select

from listener.database import Tx, upsert
from listener.schema import allowance, delivery

_NOW = func.db_now()
TIGHT = 0.8
"""The share of a limit from which on what can wait does."""
CAN_WAIT = 30
"""Entries of this priority wait when calls are scarce: those of a backfill."""
_STALE = timedelta(hours=2)
"""How long a figure is believed: with nobody left who brings a newer one, nothing must wait for ever."""


class Limit(StrEnum):
    """The limits that concern us, by their names in the answer of the limits resource."""

    CALLS = "DailyApiRequests"
    EVENTS = "DailyDeliveredPlatformEvents"


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """How much of what Salesforce grants was used in the 24 hours before `told_at`, by all who use the org."""

    limit: Limit
    used: int
    allowed: int
    told_at: datetime

    @property
    def share(self) -> float:
        """From 0 to 1, and above it where Salesforce is lenient."""
        return self.used / self.allowed if self.allowed else 1.0

    @property
    def is_tight(self) -> bool:
        """Whether what can wait should."""
        return self.share >= TIGHT

    @property
    def said(self) -> str:
        """In one sentence."""
        what = "API calls" if self.limit is Limit.CALLS else "delivered events"
        return f"Of {self.allowed:,} {what} in 24 hours {self.used:,} are used ({self.share:.0%})."

    @property
    def move(self) -> str:
        """What to do about it where it is tight."""
        if self.limit is Limit.CALLS:
            return "who else calls this org? Backfills wait, and sweeps are fewer, until it is under 80 %"
        return "who else listens? Each listener counts; past the limit events are kept for 72 h, and sweeps go on"


async def put(tx: Tx, told: Mapping[Limit, tuple[int, int]]) -> None:
    """Put down what Salesforce says is used, and allowed, of each limit; forget the hours that no longer count."""
    for limit, (used, allowed) in sorted(told.items()):
        values = {"used": used, "allowed": allowed, "told_at": _NOW}
        fresh = upsert(tx, allowance).values(name=str(limit), **values)
        await tx.execute(fresh.on_conflict_do_update(index_elements=["name"], set_=values))
    await tx.execute(delete(delivery).where(delivery.c.hour < func.db_after(-timedelta(days=2).total_seconds())))


async def read(tx: Tx) -> dict[Limit, Usage]:
    """What was told in the last hours."""
    fresh = select(allowance).where(
        allowance.c.told_at > func.db_after(-_STALE.total_seconds()), allowance.c.name.in_([str(one) for one in Limit])
    )
    return {
        Limit(row["name"]): Usage(
            limit=Limit(row["name"]), used=row["used"], allowed=row["allowed"], told_at=row["told_at"]
        )
        for row in (await tx.execute(fresh.order_by(allowance.c.name))).mappings()
    }


def may_go(rows: Any) -> Any:
    """Whether calls are left for such a row, as a condition of a statement."""
    scarce = exists().where(
        allowance.c.name == literal_column(repr(str(Limit.CALLS))),
        allowance.c.used * literal_column("100") >= allowance.c.allowed * literal_column(str(round(TIGHT * 100))),
        allowance.c.told_at > func.db_after(literal_column(str(-_STALE.total_seconds()))),
    )
    return or_(rows.c.priority < literal_column(str(CAN_WAIT)), ~scarce)


async def count(tx: Tx, channel: str, events: int) -> None:
    """Count what the stream brought us, by the hour."""
    hour = datetime.now(UTC).replace(minute=0, second=0, microsecond=0)
    fresh = upsert(tx, delivery).values(channel=channel, hour=hour, events=events)
    more = {"events": delivery.c.events + fresh.excluded.events}
    await tx.execute(fresh.on_conflict_do_update(index_elements=["channel", "hour"], set_=more))


async def counted(tx: Tx) -> int:
    """How many events the stream brought us in the last 24 hours, whole hours."""
    since = func.db_after(-timedelta(days=1).total_seconds())
    total = select(func.coalesce(func.sum(delivery.c.events), 0)).where(delivery.c.hour > since)
    return int((await tx.execute(total)).scalar_one())
