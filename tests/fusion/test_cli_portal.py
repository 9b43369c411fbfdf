"""`fusion-sync portal`: what a person reads at the portal's door and may do there; no secret is ever said."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Callable
from datetime import datetime, timedelta
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import typer
from aiohttp.test_utils import TestClient, TestServer
from click.testing import Result
from cryptography.fernet import Fernet
from pydantic import SecretStr
from sqlalchemy import func, update
from typer.testing import CliRunner

from fusion.account import KeptAccount
from fusion.cli.portal import app
from fusion.ops import health
from fusion.pages.memory import Profile, Shut
from fusion.pages.standing import Standing
from listener import gates, schema
from listener.alarms import Expected
from listener.database import Database
from listener.errors import SetupError
from listener.gates import Lane
from listener.schema import portal_account
from tests.outbox_rows import rows

ROOT = Path(__file__).parents[2]
KEY = Fernet.generate_key().decode()
PASSWORD, CODE, COOKIE = "Canary-horse-1", "424242", "canary-cookie"
NAME = "portal login robot@example.com at http://localhost:1"
BECAUSE = ("--reason", "Kim unlocked it.")
NOBODY_WAITS = "no log-in waits for a code.\n  → `fusion-sync portal status` says what is waited for\n"

EXPECTED = Expected(sweep=timedelta(minutes=15))

Run = Callable[..., Result]


@pytest.fixture
def run(url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """`fusion-sync portal …` on the database of this test, as dana."""
    given = {
        "DATABASE_URL": url,
        "LOGNAME": "dana",
        "PORTAL_URL": "http://localhost:1",
        "PORTAL_USERNAME": "robot@example.com",
        "PORTAL_PASSWORD": PASSWORD,
        "FUSION_SYNC_KEY": KEY,
    }
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(tmp_path)
    return lambda *args: CliRunner().invoke(app, [str(one) for one in args])


@pytest.fixture
async def account(db: Database) -> KeptAccount:
    """As a worker that has just started has it."""
    account = KeptAccount(db, NAME, SecretStr(PASSWORD), [KEY])
    await account.recall()
    return account


def alone(name: str) -> typer.Typer:
    """Another command."""
    made = typer.Typer()
    made.command(name=name)(import_module(f"fusion.cli.{name}").command)
    return made


async def said(run: Run, *args: object, code: int = 0) -> str:
    """What the command prints. In a thread, since it runs a loop of its own."""
    result = await asyncio.to_thread(run, *args)
    assert result.exit_code == code, (result.output, result.exception)
    assert [secret for secret in (PASSWORD, CODE, COOKIE, KEY) if secret in result.output] == []
    return result.output


async def status(run: Run) -> dict[str, Any]:
    """What it tells machines, without what is empty."""
    told = json.loads(await said(run, "status", "--json"))
    return {name: value for name, value in told.items() if value is not None}


async def age(db: Database, column: str, by: timedelta) -> None:
    async with db.writing() as tx:
        await tx.execute(update(portal_account).values({column: func.db_after(-by.total_seconds())}))


async def actions(db: Database) -> list[tuple[str, str, str, str]]:
    return [(one["actor"], one["verb"], one["target"], one["reason"]) for one in await rows(db, schema.action)]


async def test_before_anybody_has_logged_in(run: Run) -> None:
    assert await status(run) == {"door": "nobody has logged in yet", "gate": "open"}


async def test_an_open_door_tells_since_when_and_until_when(run: Run, account: KeptAccount) -> None:
    await account.accepted()
    await account.keep(Profile(storage={"cookies": [COOKIE]}, session={"window": COOKIE}))
    told = await status(run)
    assert (told["door"], told["gate"]) == ("open", "open")
    assert {"password_used_since", "password_expires_by", "profile_kept_at"} <= set(told)
    page = await said(run, "status")
    assert "password expires by" in page
    assert told["password_expires_by"][:10] in page


@pytest.mark.parametrize("standing", [one for one in Standing if not one.ends_by_itself and one is not Standing.CODE])
async def test_each_thing_that_keeps_us_out_is_told_with_the_next_move(
    run: Run, db: Database, account: KeptAccount, standing: Standing
) -> None:
    await account.shut(Shut(standing))
    async with db.writing() as tx:
        await gates.shut(tx, Lane.PORTAL, reason=standing.says, wait=timedelta(minutes=15))
    told = await status(run)
    assert (told["door"], told["why"], told["next_move"]) == (standing.value, standing.says, standing.hint)
    assert told["gate"] == f"shut: {standing.says}"
    assert {"since", "gate_until"} <= set(told)


async def test_a_code_is_given_once_it_is_waited_for(run: Run, db: Database, account: KeptAccount) -> None:
    assert await said(run, "code", CODE, code=1) == NOBODY_WAITS
    assert await said(run, "code", "--resend", code=1) == NOBODY_WAITS
    await account.asked()
    told = await status(run)
    assert (told["door"], told["next_move"]) == ("waits for a code", Standing.CODE.hint)
    moments = [datetime.fromisoformat(told[name]) for name in ("waits_for_a_code_since", "code_is_good_until")]
    assert moments[1] - moments[0] == timedelta(minutes=10)
    assert await said(run, "code", f" {CODE} ") == (
        "The code is on its way to the page that waits for it; `fusion-sync portal status` says what came of it.\n"
    )
    given = await account.given()
    assert given is not None
    assert given.code is not None
    assert given.code.get_secret_value() == CODE
    assert await actions(db) == [("dana", "code", "portal", "gave the log-in code")]


async def test_a_code_that_comes_too_late_is_told_how_to_get_another(
    run: Run, db: Database, account: KeptAccount
) -> None:
    await account.asked()
    await age(db, "asked_at", timedelta(minutes=10, seconds=1))
    assert await said(run, "code", CODE, code=1) == (
        "the code was asked for more than 10 minutes ago.\n  → `fusion-sync portal code --resend` has a new one sent\n"
    )
    assert await said(run, "code", "--resend") == (
        "The portal is asked for a new code; the one before is good no more.\n"
    )
    given = await account.given()
    assert given is not None
    assert given.code is None
    assert await actions(db) == [("dana", "code", "portal", "asked for a new log-in code")]


@pytest.mark.parametrize("args", [(), (CODE, "--resend"), ("12 34",), ("",)])
async def test_it_takes_a_code_or_the_wish_for_one(run: Run, account: KeptAccount, args: tuple[str, ...]) -> None:
    await account.asked()
    result = await asyncio.to_thread(run, "code", *args)
    assert (result.exit_code, "give either the code or --resend" in result.output) == (2, True)
    assert await account.given() is None


async def test_without_a_key_no_code_is_taken(run: Run, account: KeptAccount, monkeypatch: pytest.MonkeyPatch) -> None:
    await account.asked()
    monkeypatch.delenv("FUSION_SYNC_KEY")
    result = await asyncio.to_thread(run, "code", CODE)
    assert isinstance(result.exception, SetupError)
    assert "FUSION_SYNC_KEY is not set" in str(result.exception)
    assert await account.given() is None


async def test_again_opens_what_was_shut_and_only_with_a_reason(run: Run, db: Database, account: KeptAccount) -> None:
    nothing = await said(run, "again", *BECAUSE, code=1)
    assert nothing == ("nothing keeps the portal's door shut.\n  → `fusion-sync portal status` says how it stands\n")
    await account.shut(Shut(Standing.LOCKED))
    assert "--reason" in await said(run, "again", code=2)
    assert (await status(run))["door"] == "locked"
    told = json.loads(await said(run, "again", *BECAUSE, "--json"))
    assert told == {"ok": True, "said": "The next visit logs in to the portal; its password is typed once more."}
    assert (await status(run))["door"] == "open"
    assert await actions(db) == [("dana", "again", "portal", "Kim unlocked it.")]


async def test_a_log_in_of_which_nobody_knows_the_end_is_told(run: Run, account: KeptAccount) -> None:
    await account.trying()
    assert (await status(run))["door"] == "a log-in is on its way, or was cut off"


@pytest.mark.parametrize(
    ("days_left", "said_of_it"),
    [(20, None), (13.9, "expires by"), (6.9, "expires by"), (0.9, "expires by"), (-1, "is over its time")],
)
async def test_a_password_that_ends_soon_is_told_wherever_a_person_looks(
    run: Run, db: Database, account: KeptAccount, days_left: float, said_of_it: str | None
) -> None:
    await account.accepted()
    await age(db, "used_from", timedelta(days=90 - days_left))
    told = (await status(run)).get("password_warning")
    outbox = await asyncio.to_thread(CliRunner().invoke, alone("outbox"), [])
    doctor = await asyncio.to_thread(CliRunner().invoke, alone("doctor"), ["--json"])
    [finding] = [one for one in json.loads(doctor.output)["checks"] if one["check"] == "portal password"]
    client = TestClient(TestServer(health.app(db, pulse=dict, expected=EXPECTED, password_days=90)))
    async with client:
        alarms = (await (await client.get("/readyz")).json())["alarms"]
    if said_of_it is None:
        assert (told, finding["verdict"], alarms) == (None, "ok", [])
        assert "password" not in outbox.output
        return
    assert told is not None
    assert said_of_it in told
    assert finding["verdict"] == "warning"
    move = "set PORTAL_NEW_PASSWORD, stop the worker, and run `fusion-sync portal rotate`"
    assert all(said_of_it in one for one in (outbox.output, finding["said"], alarms[0]["said"]))
    assert all(move in one for one in (told, outbox.output, finding["move"], alarms[0]["move"]))


async def test_a_new_key_is_everywhere_once_a_process_has_started_with_it(
    run: Run, account: KeptAccount, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    newer = Fernet.generate_key().decode()

    async def sealed_secrets(keys: str) -> tuple[str, str]:
        monkeypatch.setenv("FUSION_SYNC_KEY", keys)
        told = json.loads((await asyncio.to_thread(CliRunner().invoke, alone("doctor"), ["--json"])).output)
        [one] = [one for one in told["checks"] if one["check"] == "sealed secrets"]
        return one["verdict"], one["said"]

    assert await sealed_secrets(KEY) == ("ok", "Nothing that is kept is sealed.")
    await account.keep(Profile(storage={"cookies": [COOKIE]}, session={}))
    assert await sealed_secrets(f"{newer},{KEY}") == ("warning", "1 of what is kept still needs an older key.")
    lost = "1 of what is kept is sealed with a key that FUSION_SYNC_KEY does not hold."
    assert await sealed_secrets(newer) == ("warning", lost)
    assert await sealed_secrets("") == ("warning", lost)
    monkeypatch.setenv("FUSION_SYNC_KEY", f"{newer},{KEY}")
    monkeypatch.setenv("FUSION_SYNC_OPS_PORT", "0")
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "fusion.cli", "serve", stderr=asyncio.subprocess.PIPE
    )
    assert process.stderr is not None
    async with asyncio.timeout(40):
        while b"serving" not in await process.stderr.readline():
            assert process.returncode is None
    process.terminate()
    assert await process.wait() == 0
    assert await sealed_secrets(newer) == ("ok", "All that is kept is sealed with the newest key.")


async def test_the_outbox_sends_whom_the_shut_door_concerns_to_the_status(run: Run, db: Database) -> None:
    async with db.writing() as tx:
        await gates.shut(tx, Lane.PORTAL, reason=Standing.CODE.says, wait=timedelta(minutes=15))
    listed = await asyncio.to_thread(CliRunner().invoke, alone("outbox"), [])
    assert "Nothing goes to portal: the portal waits for a log-in code (shut, looked at again at" in listed.output
    assert "  → `fusion-sync portal status` says what to do\n" in listed.output


async def test_outside_of_the_hours_the_outbox_says_so_and_asks_for_nothing(run: Run, db: Database) -> None:
    async with db.writing() as tx:
        await gates.rest(tx, Lane.PORTAL, reason="the clinic's hours are over", wait=timedelta(hours=9))
    listed = await asyncio.to_thread(CliRunner().invoke, alone("outbox"), [])
    assert "Nothing goes to portal: the clinic's hours are over (resting, looked at again at" in listed.output
    assert "→" not in listed.output


async def test_rotate_without_a_new_password_says_what_to_set(run: Run) -> None:
    result = await asyncio.to_thread(run, "rotate")
    assert isinstance(result.exception, SetupError)
    assert (str(result.exception), result.exception.hint) == (
        "PORTAL_NEW_PASSWORD is not set",
        "choose a password that this user has not had",
    )
