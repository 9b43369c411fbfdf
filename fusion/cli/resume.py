"""`fusion-sync resume`."""

from __future__ import annotations

from typing import Annotated

import typer

from fusion.cli.acting import Json, Reason, act
from listener import interventions
from listener.gates import Lane


def command(lane: Annotated[Lane, typer.Argument(help="Which way.")], reason: Reason, json: Json = False) -> None:
    """Let everything go that way again, whatever had stopped it."""
    act(lambda tx, actor: interventions.resume(tx, lane, actor=actor, reason=reason), json=json)
