"""`fusion-sync outbox`: what waits, what is done, and what needs a person."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Annotated, Any

import typer

from fusion import drift, expiry
from fusion.cli.tables import as_json, show, table, width
from fusion.pages.pack_file import load_pack
from fusion.settings import load
from listener import allowance, board, drifts, gates, portal_account
from listener.database import Database
from listener.entry import State
from listener.errors import SetupError
from listener.gates import Gate, Lane

_WIDE = {
    "entry": "id",
    "record": "record_id",
    "state": "state",
    "outcome": "outcome",
    "portal id": "portal_id",
    "tries": "attempts",
    "changes": "changes",
    "changed (UTC)": "changed_at",
    "why": "message",
}
_NARROW = {name: _WIDE[name] for name in ("entry", "record", "state", "why")}
_ROOM = 130
"""Characters from which on all columns fit, with something left for why."""


def command(
    state: Annotated[list[State] | None, typer.Option(help="Only rows in this state; may be given again.")] = None,
    limit: Annotated[int, typer.Option(help="How many rows at the most, newest first.", min=1)] = 50,
    json: Annotated[bool, typer.Option("--json", help="One JSON array for machines.")] = False,
) -> None:
    """List the outbox: one row a record that changed, newest first. No patient data is in it."""
    rows, counts, notes = asyncio.run(_read(state, limit))
    if json:
        typer.echo(as_json(rows))
        return
    columns = _WIDE if width() >= _ROOM else _NARROW
    told = [{**row, "message": row["message"] or row["code"]} for row in rows]
    shown = [[row[key] for key in columns.values()] for row in told]
    states = "  ".join(f"{name} {number}" for name, number in counts.items() if number)
    show(table("Outbox", list(columns), shown), states or "Nothing is in it.", *notes)


async def _read(states: list[State] | None, limit: int) -> tuple[list[dict[str, Any]], dict[str, int], list[str]]:
    settings = load()
    db = Database(settings.database.url)
    try:
        await db.check()
        async with db.reading() as tx:
            rows = await board.entries(tx, states=states, limit=limit)
            counts = {str(state): number for state, number in (await board.counts(tx)).items()}
            tight = [usage for usage in (await allowance.read(tx)).values() if usage.is_tight]
            shut = [gate for gate in (await gates.read(tx)).values() if not gate.is_open]
            accounts = await portal_account.every(tx)
            changed = drift.alarms(await drifts.read(tx), await drifts.waits(tx))
    finally:
        await db.close()
    told = [(one.said, one.move) for one in tight] + [(one.said, one.move) for one in changed]
    with suppress(SetupError):  # what waits is to be seen also where the pack is broken
        told += [(one.said, one.move) for one in expiry.alarms(accounts, load_pack(settings.sync.pack).password_days)]
    return rows, counts, [_of_a_gate(gate) for gate in shut] + [f"{said}\n  → {move}" for said, move in told]


def _of_a_gate(gate: Gate) -> str:
    until = f", looked at again at {gate.until:%Y-%m-%d %H:%M} UTC" if gate.until else ""
    state = "resting" if gate.rests else gate.state
    said = f"Nothing goes to {gate.lane}: {gate.reason or 'no reason given'} ({state}{until})."
    # What happened at the portal's door is kept in another table, with the next move.
    asks = gate.lane is Lane.PORTAL and gate.state != "paused" and not gate.rests
    return f"{said}\n  → `fusion-sync portal status` says what to do" if asks else said
