"""`fusion-sync retry`."""

from __future__ import annotations

from fusion.cli.acting import Entry, Json, Reason, act
from listener import interventions


def command(entry: Entry, reason: Reason, json: Json = False) -> None:
    """Have an entry worked again now, with all its attempts."""
    act(lambda tx, actor: interventions.retry(tx, entry, actor=actor, reason=reason), json=json)
