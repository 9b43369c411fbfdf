"""`fusion-sync pause`."""

from __future__ import annotations

from typing import Annotated

import typer

from fusion.cli.acting import Json, Reason, act
from listener import interventions
from listener.gates import Lane


def command(lane: Annotated[Lane, typer.Argument(help="Which way.")], reason: Reason, json: Json = False) -> None:
    """Let nothing go to the portal, or to Salesforce, until it is resumed. What changes waits in the outbox."""
    act(lambda tx, actor: interventions.pause(tx, lane, actor=actor, reason=reason), json=json)
