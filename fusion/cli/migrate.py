"""`fusion-sync migrate`: bring the database's tables to what this version needs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from alembic import command as alembic
from alembic.config import Config
from alembic.script import ScriptDirectory

import migrations
from fusion.settings import load
from listener.engines import async_url


def command(
    revision: Annotated[str, typer.Argument(help="Where to; `base` undoes everything, with all rows.")] = "head",
) -> None:
    """Make or change the tables in DATABASE_URL. Safe to run again: what is there already stays."""
    url = load().database.url
    migrate(url, revision)
    typer.echo(f"{async_url(url).render_as_string(hide_password=True)}: at {revision_of(revision)}")


def migrate(url: str, revision: str = "head") -> None:
    """Bring the database at `url` to that revision, up or down."""
    config = _config()
    config.attributes["url"] = url
    if revision == "base":
        alembic.downgrade(config, revision)
    else:
        alembic.upgrade(config, revision)


def revision_of(name: str) -> str:
    """The revision that a name such as `head` stands for."""
    found = ScriptDirectory.from_config(_config()).get_revision(name) if name != "base" else None
    return found.revision if found else name


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(migrations.__file__).parent))
    return config
