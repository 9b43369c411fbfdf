"""`fusion-sync release`."""

from __future__ import annotations

from fusion.cli.acting import Entry, Json, Reason, act
from listener import interventions


def command(entry: Entry, reason: Reason, json: Json = False) -> None:
    """Let a held entry go on."""
    act(lambda tx, actor: interventions.release(tx, entry, actor=actor, reason=reason), json=json)
