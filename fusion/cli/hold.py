"""`fusion-sync hold`."""

from __future__ import annotations

from fusion.cli.acting import Entry, Json, Reason, act
from listener import interventions


def command(entry: Entry, reason: Reason, json: Json = False) -> None:
    """Keep an entry, and later changes of its record, from the portal until it is released."""
    act(lambda tx, actor: interventions.hold(tx, entry, actor=actor, reason=reason), json=json)
