"""`fusion-sync resolve`."""

from __future__ import annotations

from typing import Annotated

import typer

from fusion.cli.acting import Entry, Json, Reason, act
from listener import interventions


def command(
    entry: Entry,
    reason: Reason,
    chart: Annotated[str | None, typer.Option(help="The patient's chart is the one with this portal id.")] = None,
    new: Annotated[bool, typer.Option("--new", help="I looked: the patient has no chart. Make one.")] = False,
    done: Annotated[bool, typer.Option("--done", help="I did by hand what there was to do.")] = False,
    json: Json = False,
) -> None:
    """Answer what an entry asks of a person: which chart it is, that there is none, or that it is done."""
    if [chart is not None, new, done].count(True) != 1:
        raise typer.BadParameter("say one of --chart ID, --new and --done")
    if chart is not None:
        act(lambda tx, actor: interventions.resolve_as_chart(tx, entry, chart, actor=actor, reason=reason), json=json)
    elif new:
        act(lambda tx, actor: interventions.resolve_as_new(tx, entry, actor=actor, reason=reason), json=json)
    else:
        act(lambda tx, actor: interventions.resolve_as_done(tx, entry, actor=actor, reason=reason), json=json)
