"""How a listing looks on a terminal, and as JSON."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from rich.console import Console
from rich.table import Table

STATE_STYLES = {
    "PENDING": "yellow",
    "PUSHED": "cyan",
    "DONE": "green",
    "PARKED": "bold red",
    "SUPERSEDED": "dim",
}

SENTENCES = frozenset({"why", "message", "fields", "meaning", "what is wrong", "how to mend it", "as it stands"}) | {
    "now",
    "would be",
    "Salesforce",
    "this chart",
    "how they compare",
}
"""Columns that may go over several lines."""


def as_json(value: Any) -> str:
    """JSON for a machine: moments in ISO 8601, keys in their order."""
    return json.dumps(value, default=_plain, ensure_ascii=False, indent=None)


def table(title: str, columns: Sequence[str], rows: Sequence[Sequence[object]]) -> Table:
    """A table with those headings; states in their colours, moments without date where they are of today."""
    made = Table(title=title, title_justify="left", header_style="bold", expand=False)
    for column in columns:
        # Only sentences may be folded: half an id is of no use.
        made.add_column(column, overflow="fold", no_wrap=column not in SENTENCES)
    for row in rows:
        made.add_row(*(styled(cell) for cell in row))
    return made


def styled(cell: object) -> str:
    """A cell as it is shown."""
    match cell:
        case None | "":
            return "[dim]–[/dim]"
        case datetime() if cell.date() == datetime.now(UTC).date():
            return f"{cell:%H:%M:%S}"
        case datetime():
            return f"{cell:%Y-%m-%d %H:%M:%S}"
        case str() if cell in STATE_STYLES:
            return f"[{STATE_STYLES[cell]}]{cell}[/]"
        case _:
            return str(cell).replace("[", r"\[")


def show(*parts: object) -> None:
    """Print to the terminal."""
    console = _console()
    for part in parts:
        if isinstance(part, str):
            # As it is: a bracket is no markup, and a command that goes on in the next line could not be copied.
            console.print(part, markup=False, highlight=False, soft_wrap=True)
        else:
            console.print(part)


def width() -> int:
    """How many characters a line has."""
    return _console().width


def _console() -> Console:
    # Into a pipe or a file there is no width to keep to.
    return Console() if sys.stdout.isatty() else Console(width=200)


def _plain(value: object) -> Any:
    match value:
        case datetime():
            return value.isoformat(timespec="milliseconds")
        case Mapping():
            return dict(value)
        case _:
            return str(value)
