"""What everything is measured on: one durable Postgres, one folder, and the machine in a line."""

from __future__ import annotations

import os
import platform
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

import psycopg

from tests import postgres as servers
from tests.bench.rivals import plain
from tests.postgres import Postgres

# As Postgres comes: the tests' own server trades durability for speed, and a queue that is measured must not.
_DURABLE = {
    "fsync": "on",
    "full_page_writes": "on",
    "synchronous_commit": "on",
    "autovacuum": "on",
    "shared_buffers": "128MB",
    "max_connections": "100",
}

_ASKED = ("server_version", "fsync")


@dataclass(frozen=True, slots=True, kw_only=True)
class Ground:
    """Where databases are made; all of them on one disk."""

    postgres: Postgres
    folder: Path

    def url(self, database: str, name: str) -> str:
        """The URL of a new, empty database."""
        if database == "postgres":
            return self.postgres.url(self.postgres.make())
        return f"sqlite:///{self.folder / name.replace(' ', '-').replace(',', '')}.db"

    def machine(self) -> dict[str, Any]:
        """The machine and what runs on it. `load`: how many processes wanted its cores in the last minute."""
        with psycopg.connect(plain(self.postgres.url("postgres"))) as connection:
            server, fsync = (str((connection.execute(f"SHOW {name}").fetchone() or [None])[0]) for name in _ASKED)
        packages = ("sqlalchemy", "psycopg", "aiosqlite", "procrastinate", "pgqueuer", "huey")
        return {
            "cores": os.cpu_count(),
            "load": round(os.getloadavg()[0], 1),
            "python": platform.python_version(),
            "sqlite": sqlite3.sqlite_version,
            "postgres": server,
            "fsync": fsync,
            **{name: metadata.version(name) for name in packages},
        }


@contextmanager
def ground() -> Iterator[Ground]:
    """A server and a folder that live as long as this context."""
    with (
        _durable(),
        servers.running() as postgres,
        tempfile.TemporaryDirectory(prefix="bench-") as folder,  # where the server's files are, too
    ):
        yield Ground(postgres=postgres, folder=Path(folder))


@contextmanager
def _durable() -> Iterator[None]:
    before = dict(servers._SETTINGS)
    servers._SETTINGS.update(_DURABLE)
    try:
        yield
    finally:
        servers._SETTINGS.clear()
        servers._SETTINGS.update(before)
