"""A folder to work in as a person does: both stand-ins, a database, and `fusion-sync` in processes of its own."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from portal_people import BROWSER

from fusion.standin.intakes import intakes
from fusion.standin.sandbox import Sandbox, sandbox
from tests.org_rig import private_key

ROOT = Path(__file__).parents[2]


@dataclass(slots=True)
class Shell:
    """A folder to work in, with both stand-ins and a database of its own. `settings`: what a test sets beside those."""

    box: Sandbox
    folder: Path
    settings: dict[str, str] = field(default_factory=dict)

    @property
    def database_url(self) -> str:
        return f"sqlite:///{self.folder / 'outbox.db'}"

    def start(self, *args: object) -> subprocess.Popen[str]:
        environment = {
            **os.environ,
            **self.box.environment(),
            "DATABASE_URL": self.database_url,
            "FUSION_SYNC_BACKFILL_PER_MINUTE": "600",
            "FUSION_SYNC_BROWSER": BROWSER or "",
            "FUSION_SYNC_OPS_PORT": "0",
            "FUSION_SYNC_SETTLE_SECONDS": "0",
            "LOGNAME": "dana",
            "PYTHONPATH": str(ROOT),
            **self.settings,
        }
        return subprocess.Popen(
            [sys.executable, "-m", "fusion.cli", *(str(one) for one in args)],
            env=environment,
            cwd=self.folder,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )

    async def run(self, *args: object, code: int = 0) -> str:
        """What the command prints."""
        process = self.start(*args)
        out, errors = await asyncio.to_thread(process.communicate)
        assert process.returncode == code, errors + out
        return out + errors

    async def told(self, *args: object) -> Any:
        """What the command prints for machines."""
        process = self.start(*args, "--json")
        out, errors = await asyncio.to_thread(process.communicate)
        assert process.returncode == 0, errors + out
        return json.loads(out)

    @asynccontextmanager
    async def working(self) -> AsyncIterator[list[str]]:
        """`fusion-sync run` meanwhile; what it logged is in the list when it has ended."""
        said: list[str] = []
        process = self.start("run")
        try:
            yield said
        finally:
            process.send_signal(signal.SIGTERM)
            out, errors = await asyncio.to_thread(process.communicate)
            said += (out + errors).splitlines()

    async def until(self, sql: str, *, within: float = 60.0) -> list[Any]:
        """The first row that the statement finds, waited for."""
        async with asyncio.timeout(within):
            while True:
                with sqlite3.connect(self.folder / "outbox.db") as connection:
                    found = connection.execute(sql).fetchone()
                if found is not None:
                    return list(found)
                await asyncio.sleep(0.1)

    def tables(self) -> list[str]:
        """The database as SQL, but for who holds what just now, and how the log-in of the portal user stands."""
        aside = ('INSERT INTO "holder"', 'INSERT INTO "portal_account"')
        with sqlite3.connect(self.folder / "outbox.db") as connection:
            return [line for line in connection.iterdump() if not line.startswith(aside)]


@pytest.fixture
async def shell(tmp_path: Path, migrated_sqlite: Path) -> AsyncIterator[Shell]:
    (tmp_path / "outbox.db").write_bytes(migrated_sqlite.read_bytes())
    async with sandbox(tmp_path / "stand-ins", private_key=private_key()) as box:
        yield Shell(box=box, folder=tmp_path)


def arrived(shell: Shell, number: int) -> list[str]:
    """Records of so many children."""
    child = intakes(5)
    return [shell.box.org.control.create(next(child).record) for _ in range(number)]
