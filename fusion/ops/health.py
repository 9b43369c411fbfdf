"""`/healthz`: is the process alive; `/readyz`: would a change go through just now, and if not, why not.

Nothing here names a patient: states, counts, ages and reasons only.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, is_dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from aiohttp import web

from fusion import drift, expiry
from listener import allowance, board, drifts, gaps, gates, portal_account, positions
from listener.alarms import Expected, alarms
from listener.database import Database
from listener.errors import SyncError

Pulse = Callable[[], Mapping[str, Any]]
"""What the process itself knows: its parts by name, each with what it last did, as a mapping or a dataclass."""


def app(
    db: Database,
    *,
    pulse: Pulse,
    expected: Expected,
    password_days: int | None = None,
    quiet_after: timedelta = timedelta(seconds=150),
) -> web.Application:
    """The routes. `quiet_after`: how long the stream may say nothing, not even "no news", until we call it deaf."""

    async def healthz(_request: web.Request) -> web.Response:
        return web.json_response({"status": "alive"})

    async def readyz(_request: web.Request) -> web.Response:
        found = await readiness(
            db, pulse=pulse, expected=expected, password_days=password_days, quiet_after=quiet_after
        )
        return web.json_response(found, status=200 if found["ready"] else 503)

    server = web.Application()
    server.add_routes([web.get("/healthz", healthz), web.get("/readyz", readyz)])
    return server


async def readiness(
    db: Database, *, pulse: Pulse, expected: Expected, password_days: int | None, quiet_after: timedelta
) -> dict[str, Any]:
    """`ready`, the `reasons` if not, the `alarms` (what we cannot be sure of), and the figures behind them.

    Outside of the portal's hours it is ready, and `rests` says so: nobody has to get up for it.
    """
    reasons: list[str] = []
    try:
        async with db.reading() as tx:
            lanes = await gates.read(tx)
            counts = await board.counts(tx)
            oldest = await board.oldest_open(tx)
            doubts = await board.doubts(tx)
            standings = await positions.standings(tx)
            open_gaps = await gaps.list_gaps(tx, only_open=True)
            usages = await allowance.read(tx)
            accounts = await portal_account.every(tx)
            events = await allowance.counted(tx)
            looked, waiting = await drifts.read(tx), await drifts.waits(tx)
    except SyncError as error:
        return {"ready": False, "reasons": [str(error)]}
    for lane, gate in lanes.items():
        if not gate.is_open and not gate.rests:
            reasons.append(f"the way to {lane} is {gate.state}: {gate.reason or 'no reason given'}")
    parts = {name: _as_mapping(part) for name, part in pulse().items()}
    heard_at = parts.get("stream", {}).get("last_heard_at")
    if "stream" in parts and (heard_at is None or datetime.now(UTC) - heard_at > quiet_after):
        reasons.append(
            "the stream has not been heard" + (f" since {heard_at:%Y-%m-%d %H:%M:%S} UTC" if heard_at else "")
        )
    age = (datetime.now(UTC) - oldest).total_seconds() if oldest else 0.0
    return {
        "ready": not reasons,
        "reasons": reasons,
        "rests": {str(lane): gate.reason for lane, gate in lanes.items() if gate.rests},
        "entries": {str(state): number for state, number in counts.items()},
        "oldest_open_seconds": round(age, 1),
        **doubts,
        "missed_by_the_stream": sum(one.missed for one in standings),
        "alarms": [
            {"channel": one.channel, **asdict(alarm)}
            for one in standings
            for alarm in alarms(one, [gap for gap in open_gaps if gap.channel == one.channel], expected)
        ]
        + [
            {"channel": None, **asdict(alarm)}
            for alarm in [*expiry.alarms(accounts, password_days), *drift.alarms(looked, waiting)]
        ],
        "limits": {
            usage.limit: {"used": usage.used, "allowed": usage.allowed, "tight": usage.is_tight}
            for usage in usages.values()
        },
        "events_in_24_hours": events,
        "parts": _plain(parts),
    }


def _as_mapping(part: Any) -> Any:
    return asdict(part) if is_dataclass(part) and not isinstance(part, type) else part


def _plain(value: Any) -> Any:
    match value:
        case Mapping():
            return {str(key): _plain(one) for key, one in value.items()}
        case datetime():
            return value.isoformat(timespec="seconds")
        case _:
            return value
