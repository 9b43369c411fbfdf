"""`fusion-sync login` as a person runs it: the whole program, a browser that clicks Allow, and what is true then."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from cryptography.fernet import Fernet
from org_rig import free_callback, private_key, stand_in
from sqlalchemy import select

from listener.database import Database
from listener.schema import action, kept_login
from listener.standin import StandInOrg

ROOT = Path(__file__).parents[2]
BROWSER = f"{sys.executable} -c 'import sys, urllib.request; urllib.request.urlopen(sys.argv[1]).read()' %s"
"""It follows wherever it is sent, and the person in front of it has clicked Allow."""


@pytest.fixture
def callback() -> str:
    return free_callback()


@pytest.fixture
async def org(callback: str) -> AsyncIterator[StandInOrg]:
    async with stand_in(redirect_uris=frozenset({callback}), refresh_rotates=True) as standing:
        standing.control.auto_approve("integration")
        yield standing


@pytest.fixture
def environment(org: StandInOrg, callback: str, migrated_url: str, tmp_path: Path) -> dict[str, str]:
    key = tmp_path / "key.pem"
    key.write_text(private_key())
    return {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": str(ROOT),
        "BROWSER": BROWSER,
        "LOGNAME": "dana",
        "SALESFORCE_LOGIN_URL": org.url,
        "SALESFORCE_AUTH": "web",
        "SALESFORCE_CLIENT_ID": org.integration.client_id,
        "SALESFORCE_CLIENT_SECRET": org.integration.client_secret,
        "SALESFORCE_USERNAME": org.integration.username,
        "SALESFORCE_PRIVATE_KEY_FILE": str(key),
        "SALESFORCE_CALLBACK_URL": callback,
        "DATABASE_URL": migrated_url,
        "FUSION_SYNC_KEY": Fernet.generate_key().decode(),
    }


async def ran(
    environment: dict[str, str], cwd: Path, *args: str, answer: str | None = None
) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "fusion.cli", *args]
    return await asyncio.to_thread(
        subprocess.run, command, env=environment, cwd=cwd, text=True, capture_output=True, timeout=50, input=answer
    )


async def kept(url: str) -> list[Any]:
    db = Database(url)
    async with db.reading() as tx:
        found = list((await tx.execute(select(kept_login))).mappings())
    await db.close()
    return found


async def test_a_person_logs_in_once_and_again_and_the_first_grant_is_given_back(
    org: StandInOrg, environment: dict[str, str], tmp_path: Path
) -> None:
    for version in (1, 2):
        done = await ran(environment, tmp_path, "login")
        assert done.returncode == 0, done.stderr
        assert f"Logged in to org {org.org_id} as {org.integration.username}." in done.stdout
        assert [row["version"] for row in await kept(environment["DATABASE_URL"])] == [version]
    assert len(org.ledger.of("revoke", refresh=True)) == 1
    db = Database(environment["DATABASE_URL"])
    async with db.reading() as tx:
        notes = (await tx.execute(select(action.c.actor, action.c.verb, action.c.target))).all()
    await db.close()
    assert notes == [("dana", "login", "salesforce")] * 2
    shown = done.stdout + done.stderr
    assert [one for one in ("FUSION_SYNC_KEY", "SALESFORCE_CLIENT_SECRET") if environment[one] in shown] == []


async def test_without_a_browser_here_the_address_is_pasted(
    org: StandInOrg, environment: dict[str, str], tmp_path: Path
) -> None:
    command = [sys.executable, "-m", "fusion.cli", "login", "--no-browser", "--json"]
    process = await asyncio.create_subprocess_exec(
        *command,
        env=environment,
        cwd=tmp_path,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    assert process.stderr is not None
    while not (line := (await process.stderr.readline()).decode().strip()).startswith("http"):
        pass
    async with aiohttp.ClientSession() as http, http.get(line, allow_redirects=False) as answer:
        pasted = answer.headers["Location"]
    out, err = await process.communicate(f"{pasted}\n".encode())
    assert process.returncode == 0, err
    assert f'"user": "{org.integration.username}"' in out.decode()
    assert len(await kept(environment["DATABASE_URL"])) == 1


async def test_somebody_else_in_the_browser_is_refused_and_leaves_nothing(
    org: StandInOrg, environment: dict[str, str], tmp_path: Path
) -> None:
    org.control.auto_approve("intake")
    done = await ran(environment, tmp_path, "login")
    assert done.returncode == 78
    assert "SALESFORCE_USERNAME names" in done.stderr
    assert await kept(environment["DATABASE_URL"]) == []
    assert len(org.ledger.of("revoke", refresh=True)) == 1


async def test_without_a_key_nobody_is_sent_to_a_browser(
    org: StandInOrg, environment: dict[str, str], tmp_path: Path
) -> None:
    done = await ran(environment | {"FUSION_SYNC_KEY": ""}, tmp_path, "login")
    assert (done.returncode, org.ledger.of("token")) == (78, [])
    assert "FUSION_SYNC_KEY is not set" in done.stderr
    assert "generate_key" in done.stderr


@pytest.mark.parametrize("auth", ["jwt", "client_credentials"])
async def test_where_no_person_is_needed_the_log_in_is_tried(
    org: StandInOrg, environment: dict[str, str], tmp_path: Path, auth: str
) -> None:
    done = await ran(environment | {"SALESFORCE_AUTH": auth}, tmp_path, "login")
    assert (done.returncode, len(org.ledger.of("token"))) == (0, 1)
    assert done.stdout == f"Logged in to org {org.org_id} as {org.integration.username}.\n"
    assert await kept(environment["DATABASE_URL"]) == []
