"""`fusion-sync config`: the effective settings, and what is wrong with them."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from fusion.cli.tables import as_json
from fusion.settings import PARTS, check_names, listed, load
from listener import environment
from listener.environment import ENV_FILE, Setting
from listener.errors import SetupError


def command(
    json: Annotated[bool, typer.Option("--json", help="One JSON object for machines.")] = False,
) -> None:
    """Show every setting: its value (secrets masked), where it came from, what it means.

    Exits with 78 if `run` could not start with them, and says what to do.
    """
    settings, problems = listed(), _problems()
    if json:
        found = [asdict(one) for one in settings]
        typer.echo(as_json({"settings": found, "problems": [{"text": str(one), "hint": one.hint} for one in problems]}))
    else:
        Console().print(_table(settings))
        for one in problems:
            Console(stderr=True).print(Text(f"{one}\n  → {one.hint}", style="bold red"), soft_wrap=True)
    if problems:
        raise typer.Exit(78)


def _problems() -> list[SetupError]:
    found: list[SetupError] = []
    try:
        check_names(ENV_FILE)
    except SetupError as error:
        found.append(error)
    for part in PARTS:
        try:
            environment.load(part)
        except SetupError as error:
            found.append(error)
    if not found:
        try:
            load(salesforce=True, portal=True)  # what one part asks of another
        except SetupError as error:
            found.append(error)
    return found


def _table(settings: list[Setting]) -> Table:
    table = Table(box=box.SIMPLE_HEAD, header_style="bold", pad_edge=False)
    for heading in ("setting", "value", "from", "meaning"):
        table.add_column(heading, overflow="fold", no_wrap=heading == "setting")
    for one in settings:
        value = Text("–" if one.value is None else one.value, style="" if one.origin != "default" else "dim")
        origin = Text(one.origin, style={"default": "dim", "not set": "bold red"}.get(one.origin, "green"))
        table.add_row(Text(one.name, style="bold"), value, origin, Text(one.meaning))
    return table
