"""The command line: one file a command. `main` turns what goes wrong into one sentence and an exit code.

To add a command: write `fusion/cli/<name>.py` with a function `command` (or a Typer app named `app`, for a group), and
give it a line in `COMMANDS`. The file is imported only when the command is used, so that `--help` is quick and
`listen` runs where Playwright is not installed. Dashes in a name are underscores in the file's.

Exit codes are those of sysexits.h where one fits: 78 wrong set-up, 69 another side does not answer, 70 unforeseen;
1 a command's own "no", 2 wrong usage.
"""

from __future__ import annotations

import sys
from importlib import import_module, metadata
from typing import Annotated, Any

import typer
from typer.core import TyperCommand, TyperGroup

from listener.errors import Outage, SetupError, SyncError

COMMANDS: dict[str, dict[str, str]] = {
    "Try it": {
        "demo": "Tell the main job as a story on both stand-ins, without any account.",
        "sandbox": "Start both stand-ins to try things on.",
    },
    "Run it": {
        "run": "Listen, work and serve in one process.",
        "listen": "Only listen: keep every change of Salesforce in the outbox.",
        "work": "Only work: drain the outbox through the portal, and tell Salesforce.",
        "serve": "Only serve the health page.",
    },
    "Look": {
        "outbox": "List the outbox: what waits, what is done, what needs a person.",
        "show": "Show one entry whole: its changes, and every attempt.",
        "limits": "Show how much of what Salesforce grants in 24 hours is used.",
        "gaps": "List when the stream may have missed something, and what was found there.",
        "preview": "Show what a visit would type into a chart; writes nothing.",
        "doctor": "Examine the installation: what is wrong, and the next move.",
        "bench": "Measure how fast the outbox is here, beside other queues.",
    },
    "Act": {
        "retry": "Have an entry worked again now.",
        "hold": "Keep an entry from the portal until it is released.",
        "release": "Let a held entry go on.",
        "resolve": "Answer what an entry asks of a person.",
        "relink": "Put a record on another chart than the one it is linked to.",
        "portal": "Stand at the portal's door: see it, give a log-in code, try again, change the password.",
        "pause": "Let nothing go to the portal, or to Salesforce.",
        "resume": "Let everything go that way again.",
        "sweep": "Look now for what the stream may have missed.",
        "reconcile": "Compare all ready records with all charts now.",
        "backfill": "Preview, then approve, the patients who were there before the sync.",
        "purge": "Delete what was finished long ago.",
    },
    "Set up": {
        "config": "Show every setting, what it means and where it came from.",
        "pack": "Check the description of a portal.",
        "login": "Log in to Salesforce in a browser, once; or see whether the log-in works.",
        "migrate": "Make or change the database's tables.",
    },
}
"""Every command in the order of the help, by panel, with its line there."""

WRONG_SET_UP, NOT_ANSWERING, UNFORESEEN = 78, 69, 70


class _Command(TyperCommand):
    """A name and a line of help; the command itself is imported when it is used."""

    def make_context(self, info_name: str | None, args: list[str], parent: Any = None, **extra: Any) -> Any:
        """The context of the real command: from here on it is that one which runs."""
        module = import_module(f"fusion.cli.{str(self.name).replace('-', '_')}")
        if hasattr(module, "app"):
            real = typer.main.get_command(module.app)
        else:
            alone = typer.Typer(add_completion=False, pretty_exceptions_enable=False, context_settings=_HELP)
            alone.command(name=self.name)(module.command)
            real = typer.main.get_command(alone)
        context = real.make_context(info_name, args, parent=parent, **extra)
        _log()
        return context


class _Commands(TyperGroup):
    """All commands of the table."""

    def __init__(self, *args: Any, **extra: Any) -> None:
        """What Typer found, which is nothing, and the table."""
        super().__init__(*args, **extra)
        for panel, commands in COMMANDS.items():
            for name, line in commands.items():
                self.add_command(_Command(name, help=line, rich_help_panel=panel))


_HELP = {"help_option_names": ["-h", "--help"]}

app = typer.Typer(
    cls=_Commands,
    no_args_is_help=True,
    pretty_exceptions_enable=False,  # they would print the values of local variables
    context_settings=_HELP,
)


def _version(asked: bool) -> None:
    if asked:
        typer.echo(metadata.version("fusion-sync"))
        raise typer.Exit


@app.callback()
def _all(
    version: Annotated[
        bool, typer.Option("--version", help="Show the version and end.", callback=_version, is_eager=True)
    ] = False,
) -> None:
    """Patients from Salesforce to the Fusion Web Clinic portal, and the answer back.

    New here? `fusion-sync demo` shows it all on stand-ins. Settings come from the environment and from .env.
    """


def main() -> None:
    """Run the command line; never a traceback, since frames and texts of others could hold a patient's values."""
    try:
        app(prog_name="fusion-sync")
    except SyncError as error:
        match error:
            case SetupError():
                code = WRONG_SET_UP
            case Outage():
                code = NOT_ANSWERING
            case _:
                code = UNFORESEEN
        _say(f"{error}." if not str(error).endswith((".", "!", "?")) else str(error))
        if error.hint:
            _say(f"  → {error.hint}")
        sys.exit(code)
    except Exception as error:
        from listener.log import told

        _say("Something unforeseen happened; this is where:")
        for line in told(error):
            _say(f"  {line}")
        sys.exit(UNFORESEEN)


def _say(line: str) -> None:
    typer.echo(line, err=True)


def _log() -> None:
    from fusion.settings import SyncSettings
    from listener import environment, log

    try:
        sync = environment.load(SyncSettings)
    except SetupError:
        log.set_up()  # the command reads all settings itself and says what is wrong
    else:
        log.set_up(form=sync.log_format, level=sync.log_level)
