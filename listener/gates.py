"""The two lanes' gates: shut while the other side is not there, so that no row pays for it. A person's pause wins.

A shut gate lets nothing pass until its time has come, then one row as a probe: success opens it, failure shuts it for
twice as long.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from sqlalchemy import case, exists, func, literal, literal_column, select, update

from listener.database import Tx, upsert
from listener.entry import State
from listener.schema import gate

_NOW = func.db_now()
_BOTH = select(gate, (gate.c.until <= _NOW).label("due"))


class Lane(StrEnum):
    """A way out that can be shut on its own."""

    PORTAL = "portal"
    SALESFORCE = "salesforce"


LANES: Mapping[State, Collection[Lane]] = {
    State.PUSHED: (Lane.SALESFORCE,),
    State.PENDING: (Lane.SALESFORCE, Lane.PORTAL),
}
"""The lanes that a row in that state needs to get any further."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Gate:
    """One lane's gate. `due`: its time has come, so that one row may probe."""

    lane: Lane
    state: str = "open"
    until: datetime | None = None
    reason: str | None = None
    failures: int = 0
    actor: str | None = None
    due: bool = False

    @property
    def is_open(self) -> bool:
        """Whether everything passes."""
        return self.state == "open"

    @property
    def rests(self) -> bool:
        """Whether it is shut by the clock alone: nothing failed, and nobody has to do anything."""
        return self.state == "shut" and not self.failures

    @property
    def may_probe(self) -> bool:
        """Whether one row may pass, to see whether the other side is back. A probe that died makes room for another."""
        return self.state in ("shut", "probing") and self.due


async def read(tx: Tx) -> Mapping[Lane, Gate]:
    """Both gates as they are now."""
    found = {
        Lane(row["lane"]): Gate(
            lane=Lane(row["lane"]),
            state=row["state"],
            until=row["until"],
            reason=row["reason"],
            failures=row["failures"],
            actor=row["actor"],
            due=bool(row["due"]),
        )
        for row in (await tx.execute(_BOTH)).mappings()
    }
    return {lane: found.get(lane, Gate(lane=lane)) for lane in Lane}


def all_open(lanes: Collection[Lane]) -> Any:
    """Whether all of them are open, as a condition of a statement."""
    names: list[Any] = [literal_column(repr(str(lane))) for lane in lanes]
    return ~exists().where(gate.c.state != literal_column("'open'"), gate.c.lane.in_(names))


async def probe(tx: Tx, before: Gate, *, lease: timedelta) -> bool:
    """Whether we are the one that may probe; nobody else may for the time of a lease. Never where a person paused."""
    if before.state not in ("shut", "probing"):
        return False
    mine = (gate.c.lane == before.lane, gate.c.state == before.state, gate.c.until == before.until)
    taken = update(gate).where(*mine).values(state="probing", until=func.db_after(lease.total_seconds()))
    return (await tx.execute(taken)).rowcount == 1


async def shut(tx: Tx, lane: Lane, *, reason: str, wait: timedelta) -> None:
    """Let nothing pass for `wait`. A pause stays a pause."""
    until = func.db_after(wait.total_seconds())
    fresh = upsert(tx, gate).values(lane=lane, state="shut", until=until, reason=reason, failures=1)
    paused = gate.c.state == literal("paused")
    await tx.execute(
        fresh.on_conflict_do_update(
            index_elements=["lane"],
            set_={
                "state": case((paused, gate.c.state), else_=fresh.excluded.state),
                "until": case((paused, gate.c.until), else_=fresh.excluded.until),
                "reason": case((paused, gate.c.reason), else_=fresh.excluded.reason),
                "failures": gate.c.failures + 1,
            },
        )
    )


async def rest(tx: Tx, lane: Lane, *, reason: str, wait: timedelta) -> None:
    """Let nothing pass for `wait`, though nothing failed. A pause stays a pause."""
    values = {"state": "shut", "until": func.db_after(wait.total_seconds()), "reason": reason, "failures": 0}
    fresh = upsert(tx, gate).values(lane=lane, **values)
    await tx.execute(
        fresh.on_conflict_do_update(index_elements=["lane"], set_=values, where=gate.c.state != literal("paused"))
    )


async def opened(tx: Tx, lane: Lane) -> None:
    """The other side answered: all may pass again, unless a person paused the lane."""
    back = update(gate).where(gate.c.lane == lane, gate.c.state.in_(["shut", "probing"]))
    await tx.execute(back.values(state="open", until=None, reason=None, failures=0))


async def look_now(tx: Tx, lane: Lane) -> None:
    """Let a row probe at once: somebody did something about what shut the gate."""
    await tx.execute(update(gate).where(gate.c.lane == lane, gate.c.state == "shut").values(until=_NOW))


async def pause(tx: Tx, lane: Lane, *, actor: str, reason: str) -> None:
    """Let nothing pass until a person resumes."""
    values = {"state": "paused", "until": None, "reason": reason, "actor": actor}
    fresh = upsert(tx, gate).values(lane=lane, **values)
    await tx.execute(fresh.on_conflict_do_update(index_elements=["lane"], set_=values))


async def resume(tx: Tx, lane: Lane, *, actor: str) -> None:
    """Open the lane, whatever shut it."""
    values = {"state": "open", "until": None, "reason": None, "failures": 0, "actor": actor}
    await tx.execute(update(gate).where(gate.c.lane == lane).values(values))


def wait_after(failures: int, *, first: timedelta, cap: timedelta = timedelta(minutes=15)) -> timedelta:
    """How long a gate stays shut now, after that many earlier failures in a row: `first`, doubling, up to `cap`."""
    return min(cap, first * (1 << min(failures, 20)))
