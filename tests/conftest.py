"""What every test may rely on: no setting of this machine, no connection off this machine, and both databases."""

import ipaddress
import logging
import os
import shutil
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import structlog

from fusion.cli.migrate import migrate
from fusion.settings import PARTS
from tests import postgres as servers
from tests.postgres import Postgres

_PREFIXES = tuple(str(part.model_config.get("env_prefix")) for part in PARTS)


def _stay_on_this_machine(event: str, args: tuple[Any, ...]) -> None:
    if event != "socket.connect" or not isinstance(args[1], tuple):
        return
    host = str(args[1][0])
    try:
        allowed = ipaddress.ip_address(host.partition("%")[0]).is_loopback
    except ValueError:
        allowed = host in ("localhost", "")
    if not allowed:
        raise RuntimeError(f"a test tried to connect to {host}, which is not this machine")


sys.addaudithook(_stay_on_this_machine)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Stories first: they take longest, and what begins last must not be what everything waits for."""
    items.sort(key=lambda item: item.get_closest_marker("story") is None)


@pytest.fixture(autouse=True)
def no_settings_of_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """An environment without any setting of ours; a test says what it wants."""
    for name in list(os.environ):
        if name.upper().startswith(_PREFIXES):
            monkeypatch.delenv(name)


@pytest.fixture(autouse=True)
def logs_as_before() -> Iterator[None]:
    """A command that is run in a test's own process has it log, from then on, to a stream that closes with the test."""
    root, hooks, config = logging.getLogger(), (sys.excepthook, threading.excepthook), structlog.get_config()
    handlers, level = root.handlers, root.level
    yield
    if root.handlers is handlers:
        return
    logging.captureWarnings(capture=False)
    root.handlers, root.level = handlers, level
    sys.excepthook, threading.excepthook = hooks
    structlog.configure(**config)


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """A server, started when the first test of this process asks for it."""
    with servers.running() as server:
        yield server


BOTH = ("sqlite", pytest.param("postgres", marks=pytest.mark.postgres))


@pytest.fixture(params=BOTH)
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """The URL of an empty database of the test's own; every test that asks runs on SQLite and on Postgres."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path / 'outbox.db'}"
        return
    yield from _on(request.getfixturevalue("postgres"))


@pytest.fixture(scope="session")
def migrated_sqlite(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A SQLite file with all tables, to be copied."""
    path = tmp_path_factory.mktemp("migrated") / "outbox.db"
    migrate(f"sqlite:///{path}")
    return path


@pytest.fixture(scope="session")
def migrated_postgres(postgres: Postgres) -> Iterator[str]:
    """The name of a Postgres database with all tables, to be copied."""
    name = postgres.make()
    migrate(postgres.url(name))
    yield name
    postgres.drop(name)


@pytest.fixture(params=BOTH)
def migrated_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """Like `database_url`, with all tables: copied, since migrating anew takes longer than most tests."""
    if request.param == "sqlite":
        shutil.copy(request.getfixturevalue("migrated_sqlite"), tmp_path / "outbox.db")
        yield f"sqlite:///{tmp_path / 'outbox.db'}"
        return
    template = request.getfixturevalue("migrated_postgres")
    yield from _on(request.getfixturevalue("postgres"), template)


def _on(server: Postgres, template: str | None = None) -> Iterator[str]:
    name = server.make(template)
    yield server.url(name)
    server.drop(name)
