"""At the portal's door with real processes: a worker in one, a person's commands in others, a real browser."""

from __future__ import annotations

import asyncio
import json
import re
from typing import Any

import pytest
from cryptography.fernet import Fernet

from fusion.standin.server import DEFAULT_USERS
from tests.fusion.shell import Shell, arrived, shell

__all__ = ["shell"]  # a fixture
pytestmark = [pytest.mark.browser, pytest.mark.timeout(150)]
[(USERNAME, PASSWORD)] = DEFAULT_USERS.items()
NEW = "Brand-new-horse-2"
DOOR = ("password_accepted", "code_sent", "code_failed", "code_accepted", "login", "login_failed", "password_changed")


def at_the_door(shell: Shell) -> list[str]:
    """What happened there, in order."""
    return [line["kind"] for line in shell.box.portal.control.ledger() if line["kind"] in DOOR]


async def gate_says(shell: Shell, words: str) -> None:
    """Wait until that keeps everything from the portal."""
    await shell.until(f"SELECT 1 FROM gate WHERE lane = 'portal' AND state = 'shut' AND reason LIKE '%{words}%'")


async def status(shell: Shell) -> dict[str, Any]:
    told: dict[str, Any] = await shell.told("portal", "status")
    return told


async def test_a_new_browser_is_asked_for_a_code_and_a_person_gives_it_from_another_process(shell: Shell) -> None:
    shell.settings |= {"FUSION_SYNC_KEY": Fernet.generate_key().decode(), "FUSION_SYNC_GATE_SECONDS": "900"}
    control = shell.box.portal.control
    control.door(codes="email")
    arrived(shell, 1)
    async with shell.working() as log:
        await gate_says(shell, "waits for a log-in code")
        told = await status(shell)
        assert told["door"] == "waits for a code"
        assert told["gate"].startswith("shut: the portal waits for a log-in code: read it in")
        assert "`fusion-sync portal code 123456`" in told["next_move"]

        wrong = await shell.run("portal", "code", "wrong1")
        assert "on its way to the page that waits for it" in wrong
        await gate_says(shell, "does not accept that log-in code")

        sent = control.code(USERNAME)
        await shell.run("portal", "code", "--resend")
        async with asyncio.timeout(30):
            while (code := control.code(USERNAME)) == sent or code is None:
                await asyncio.sleep(0.1)
        await gate_says(shell, "waits for a log-in code")
        await shell.run("portal", "code", code)
        await shell.until("SELECT id FROM outbox WHERE state = 'DONE'")
        assert (await status(shell))["door"] == "open"
    expected = ["password_accepted", "code_sent", "code_failed", "code_sent", "code_accepted", "login"]
    assert at_the_door(shell) == expected
    kept = "\n".join([*log, *shell.tables(), json.dumps(await status(shell))])
    # Not the fraction of a second, which may be any six digits.
    assert not re.search(rf"wrong1|{re.escape(PASSWORD)}|(?<![.\d]){code}(?!\d)", kept)


async def test_a_password_is_changed_with_the_worker_stopped_and_never_beside_it(shell: Shell) -> None:
    shell.settings |= {"FUSION_SYNC_KEY": Fernet.generate_key().decode(), "PORTAL_NEW_PASSWORD": NEW}
    async with shell.working():
        await shell.until("SELECT 1 FROM holder WHERE name LIKE 'portal login %'")
        refused = await shell.run("portal", "rotate", code=78)
    assert f"portal login {USERNAME} at {shell.box.portal.url} is held by another process (" in refused
    assert "  → stop that one first, or wait 30 s" in refused
    assert at_the_door(shell) == []

    said = await shell.run("portal", "rotate")
    assert "The portal has the new password: put it into PORTAL_PASSWORD, take PORTAL_NEW_PASSWORD away" in said
    assert at_the_door(shell) == ["login", "password_changed"]
    shell.settings |= {"PORTAL_PASSWORD": NEW}
    again = await shell.run("portal", "rotate", code=78)
    assert "PORTAL_NEW_PASSWORD is the old one, or lacks what the portal asks for" in again
    assert [secret for secret in (NEW, PASSWORD) if secret in refused + said + again] == []
