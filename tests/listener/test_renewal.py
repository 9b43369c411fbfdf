"""A person's log-in: shared by processes, renewed once, never lost by a crash that could be helped, and sealed."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import traceback
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from cryptography.fernet import Fernet
from org_rig import settings_for, stand_in
from sqlalchemy import func, select, update
from structlog.testing import capture_logs

from listener import authorize, log
from listener.alarms import Expected
from listener.checkup import Verdict, examine
from listener.database import Database
from listener.errors import Outage, SetupError
from listener.login import Login
from listener.schema import kept_login
from listener.sealed import Sealed
from listener.standin import StandInOrg
from listener.standin.faults import Fault
from listener.token_endpoint import Token, TokenEndpoint
from listener.tokens import Grant, Held, KeptLogin, LoginEnded
from tests.kept_process import works

ROOT = Path(__file__).parents[2]
TOKEN = "/services/oauth2/token"
KEY = Fernet.generate_key().decode()


@pytest.fixture(params=[True, False], ids=["rotates", "stays"])
async def org(request: pytest.FixtureRequest) -> AsyncIterator[StandInOrg]:
    """With refresh tokens that are good once, and with such that stay."""
    async with stand_in(refresh_rotates=request.param) as standing:
        standing.control.auto_approve("integration")
        yield standing


@pytest.fixture
async def rotating() -> AsyncIterator[StandInOrg]:
    async with stand_in(refresh_rotates=True) as standing:
        standing.control.auto_approve("integration")
        yield standing


def kept_in(db: Database, org: StandInOrg, *keys: str) -> KeptLogin:
    return KeptLogin(db, Sealed(keys or (KEY,)), settings_for(org, auth="web"))


async def consented(org: StandInOrg, kept: KeptLogin) -> Grant:
    """What is kept after a person has clicked Allow."""
    settings = settings_for(org, auth="web")
    endpoint = TokenEndpoint(settings.login_url, timeout=5)
    errand = authorize.errand(settings, login_url=endpoint.url)
    async with aiohttp.ClientSession() as http, http.get(errand.url, allow_redirects=False) as answer:
        code = authorize.code_in(errand, answer.headers["Location"])
    grant = await authorize.exchanged(errand, code, endpoint=endpoint, settings=settings)
    await kept.begin(grant)
    await endpoint.close()
    return grant


_open: list[Login] = []


@pytest.fixture(autouse=True)
async def all_are_closed() -> AsyncIterator[None]:
    yield
    while _open:
        await _open.pop().close()


def login_to(org: StandInOrg, kept: KeptLogin, **more: Any) -> Login:
    """As a process has one; closed when the test ends."""
    _open.append(Login(settings_for(org, auth="web"), kept=kept, **more))
    return _open[-1]


def renewals(org: StandInOrg) -> list[int]:
    """The status of each call with a refresh token."""
    return [one["status"] for one in org.ledger.of("token", grant="refresh_token")]


async def row_of(db: Database) -> Any:
    async with db.reading() as tx:
        return (await tx.execute(select(kept_login))).mappings().one()


async def let_turns_run_out(db: Database) -> None:
    async with db.writing() as tx:
        await tx.execute(update(kept_login).values(asking_until=func.db_after(-1.0)))


async def started(org: StandInOrg, db: Database) -> subprocess.Popen[str]:
    """Another process with that log-in; it waits for `go`."""
    settings = {"login_url": org.url, "client_id": org.integration.client_id}
    said = {"database": db.url.render_as_string(hide_password=False), "key": KEY, "settings": settings}
    command = [sys.executable, "-m", "tests.kept_process", json.dumps(said)]
    process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert await asyncio.to_thread(process.stdout.readline) == "ready\n"
    return process


def go(process: subprocess.Popen[str]) -> None:
    assert process.stdin is not None
    process.stdin.write("go\n")
    process.stdin.flush()


async def test_twenty_tasks_in_each_of_two_processes_with_a_dead_token_make_one_call(
    org: StandInOrg, db: Database
) -> None:
    await consented(org, kept_in(db, org))
    processes = [await started(org, db), await started(org, db)]
    org.control.expire_tokens()
    for process in processes:
        go(process)
    said = [json.loads((await asyncio.to_thread(process.communicate))[0]) for process in processes]
    assert sorted(one["calls"] for one in said) == [0, 1]
    assert all(one["through"] for one in said)
    assert renewals(org) == [200]


async def test_a_log_in_outlives_any_number_of_renewals_and_restarts(org: StandInOrg, db: Database) -> None:
    await consented(org, kept_in(db, org))
    seen = set()
    for _ in range(6):
        login = login_to(org, kept_in(db, org))  # as after a restart
        token = await login.token()
        assert await works(token)
        seen.add(token.access_token)
        org.control.expire_tokens()
        login.refuse(token)
        assert await works(await login.token())
    assert renewals(org) == [200] * 6
    assert len(seen) == 6


async def test_who_is_cancelled_while_a_renewal_runs_does_not_cost_its_answer(
    rotating: StandInOrg, db: Database
) -> None:
    grant = await consented(rotating, kept_in(db, rotating))
    login = login_to(rotating, kept_in(db, rotating))
    login.refuse(await login.token())
    rotating.control.faults.add(Fault(path=TOKEN, delay=0.5))
    asking = asyncio.create_task(login.token())
    while not rotating.ledger.of("fault"):
        await asyncio.sleep(0.01)
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    token = await login.token()
    assert token != grant.token
    assert await works(token)
    assert renewals(rotating) == [200]


async def test_a_shutdown_waits_for_the_answer_and_keeps_it(rotating: StandInOrg, db: Database) -> None:
    await consented(rotating, kept_in(db, rotating))
    login = login_to(rotating, kept_in(db, rotating))
    login.refuse(await login.token())
    rotating.control.faults.add(Fault(path=TOKEN, delay=0.5))
    asking = asyncio.create_task(login.token())
    while not rotating.ledger.of("fault"):
        await asyncio.sleep(0.01)
    asking.cancel()
    await login.close()
    assert await works(await login_to(rotating, kept_in(db, rotating)).token())
    assert renewals(rotating) == [200]


async def killed_between_answer_and_commit(org: StandInOrg, db: Database) -> None:
    """A process asks, the org gives the next token, and kill -9 comes before anything of it is kept."""
    process = await started(org, db)
    org.control.expire_tokens()
    org.control.faults.add(Fault(path=TOKEN, hang=True, after=True))
    go(process)
    while not renewals(org):
        await asyncio.sleep(0.02)
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()


async def test_after_a_crash_before_the_answer_was_kept_a_rotating_app_needs_a_person_and_it_is_said_why(
    rotating: StandInOrg, db: Database
) -> None:
    await consented(rotating, kept_in(db, rotating))
    await killed_between_answer_and_commit(rotating, db)
    login = login_to(rotating, kept_in(db, rotating))
    assert (await row_of(db))["asked_at"] is not None
    await let_turns_run_out(db)
    login.refuse(await login.token())
    with pytest.raises(LoginEnded, match="cut off before its answer was kept") as caught:
        await login.token()
    assert caught.value.hint == "run `fusion-sync login`"
    again = login_to(rotating, kept_in(db, rotating))  # nobody asks with it again
    with pytest.raises(LoginEnded):
        await again.token()
    assert renewals(rotating) == [200, 400]
    await consented(rotating, kept_in(db, rotating))
    assert await works(await again_after(login))


async def again_after(login: Login) -> Token:
    """The token once the pause after a failure is over."""
    for _ in range(40):
        try:
            return await login.token()
        except (SetupError, Outage):
            await asyncio.sleep(0.1)
    raise AssertionError("the new log-in was not taken up")


async def test_after_such_a_crash_an_app_that_does_not_rotate_goes_on_by_itself(db: Database) -> None:
    async with stand_in() as org:
        org.control.auto_approve("integration")
        await consented(org, kept_in(db, org))
        await killed_between_answer_and_commit(org, db)
        org.control.expire_tokens()
        await let_turns_run_out(db)
        login = login_to(org, kept_in(db, org))
        login.refuse(await login.token())
        assert await works(await login.token())
        row = await row_of(db)
        assert (row["version"], row["asked_at"], row["asking_until"], row["ended"]) == (2, None, None, None)


async def test_a_revoked_log_in_stops_us_with_the_command_that_helps(org: StandInOrg, db: Database) -> None:
    await consented(org, kept_in(db, org))
    login = login_to(org, kept_in(db, org))
    token = await login.token()
    org.control.end_consents()
    login.refuse(token)
    for _ in range(5):
        with pytest.raises(SetupError, match="has ended the log-in") as caught:  # although it has worked before
            await login.token()
        assert caught.value.hint == "run `fusion-sync login`"
    assert renewals(org) == [400]


async def test_a_refusal_that_an_administrator_can_mend_does_not_end_the_log_in(org: StandInOrg, db: Database) -> None:
    await consented(org, kept_in(db, org))
    login = login_to(org, kept_in(db, org))
    login.refuse(await login.token())
    refused = '{"error":"invalid_grant","error_description":"ip restricted"}'
    org.control.faults.add(Fault(path=TOKEN, status=400, body=refused, content_type="application/json"))
    with pytest.raises(Outage, match="ip restricted"):
        await login.token()
    assert (await row_of(db))["asked_at"] is None
    assert await works(await again_after(login))


async def test_a_new_grant_that_cannot_be_kept_at_once_is_kept_before_it_is_used(
    rotating: StandInOrg, db: Database
) -> None:
    class Unlucky(KeptLogin):
        """The database is away for a while, right after the answer."""

        away = 7

        async def renewed(self, held: Held, grant: Grant) -> bool:
            if self.away:
                self.away -= 1
                raise Outage("the database is not answering")
            return await super().renewed(held, grant)

    await consented(rotating, kept_in(db, rotating))
    now = [0.0]
    unlucky = Unlucky(db, Sealed([KEY]), settings_for(rotating, auth="web"))
    login = login_to(rotating, unlucky, monotonic=lambda: now[0])
    old = await login.token()
    login.refuse(old)
    with pytest.raises(Outage, match="database"):
        await login.token()
    now[0] += 5
    token = await login.token()
    assert (token != old, unlucky.away, renewals(rotating)) == (True, 0, [200])
    assert (await kept_in(db, rotating).held()).grant.token == token


async def test_who_logs_in_anew_wins_over_a_renewal_that_was_under_way(rotating: StandInOrg, db: Database) -> None:
    kept = kept_in(db, rotating)
    await consented(rotating, kept)
    login = login_to(rotating, kept)
    login.refuse(await login.token())
    rotating.control.faults.add(Fault(path=TOKEN, delay=0.6, method="POST", contains="refresh_token"))
    asking = asyncio.create_task(login.token())
    await asyncio.sleep(0.2)
    theirs = await consented(rotating, kept_in(db, rotating))
    assert await asking == theirs.token
    assert (await kept.held()).grant == theirs


async def test_a_process_that_was_stopped_in_its_turn_is_waited_for_and_then_passed_by(
    rotating: StandInOrg, db: Database
) -> None:
    kept = kept_in(db, rotating)
    await consented(rotating, kept)
    assert await kept.turn(await kept.held(), lease=timedelta(seconds=0.6))
    login = login_to(rotating, kept_in(db, rotating))
    login.refuse(await login.token())
    assert await works(await login.token())


async def test_the_doctor_says_how_the_log_in_stands(rotating: StandInOrg, db: Database) -> None:
    async def found() -> list[tuple[Verdict, str]]:
        findings = await examine(db, expected=Expected(sweep=timedelta(minutes=15)))
        return [(one.verdict, one.said) for one in findings if one.check == "log-in"]

    assert await found() == []
    kept = kept_in(db, rotating)
    await consented(rotating, kept)
    assert [verdict for verdict, _ in await found()] == [Verdict.OK]
    rotating.control.end_consents()
    login = login_to(rotating, kept)
    login.refuse(await login.token())
    with pytest.raises(LoginEnded):
        await login.token()
    ((verdict, said),) = await found()
    assert (verdict, "has ended the log-in" in said) == (Verdict.WARNING, True)


async def test_without_a_log_in_it_is_said_how_to_make_one(rotating: StandInOrg, db: Database) -> None:
    login = login_to(rotating, kept_in(db, rotating))
    with pytest.raises(SetupError, match="nobody has logged in") as caught:
        await login.token()
    assert (caught.value.hint, login.calls) == ("run `fusion-sync login`", 0)


async def test_what_is_at_rest_shows_nothing_and_opens_with_the_keys_alone(org: StandInOrg, db: Database) -> None:
    grant = await consented(org, kept_in(db, org))
    sealed = (await row_of(db))["sealed"]
    for secret in (grant.refresh_token, grant.token.access_token, grant.token.instance_url):
        assert secret.encode() not in sealed
    newer = Fernet.generate_key().decode()
    with pytest.raises(SetupError, match="FUSION_SYNC_KEY") as caught:
        await kept_in(db, org, newer).held()
    assert grant.refresh_token not in f"{caught.value!r} {caught.value.__context__!r}"
    both = kept_in(db, org, newer, KEY)
    login = login_to(org, both)
    login.refuse(await login.token())
    await login.token()
    assert (await kept_in(db, org, newer).held()).version == 2  # sealed with the new one by now


async def test_a_secret_does_not_open_under_another_name(org: StandInOrg, db: Database) -> None:
    await consented(org, kept_in(db, org))
    async with db.writing() as tx:
        await tx.execute(update(kept_login).values(name=f"another app at {org.url}"))
    other = KeptLogin(db, Sealed([KEY]), settings_for(org, auth="web", client_id="another app"))
    with pytest.raises(SetupError, match="another app"):
        await other.held()


async def test_no_secret_shows_in_a_repr(org: StandInOrg, db: Database) -> None:
    kept = kept_in(db, org)
    grant = await consented(org, kept)
    login = login_to(org, kept)
    errand = authorize.errand(settings_for(org, auth="web"), login_url=org.url)
    shown = f"{grant!r} {await kept.held()!r} {kept!r} {login!r} {errand!r}"
    secrets = (grant.refresh_token, grant.token.access_token, KEY, errand.state, errand.verifier)
    assert [one for one in secrets if one in shown] == []


@pytest.mark.parametrize("status", [400, 401, 503])
async def test_no_secret_comes_out_however_a_renewal_fails(rotating: StandInOrg, db: Database, status: int) -> None:
    """Also where the other side quotes what it was sent, as proxies do."""
    grant = await consented(rotating, kept_in(db, rotating))
    login = login_to(rotating, kept_in(db, rotating))
    login.refuse(await login.token())
    secrets = (grant.refresh_token, grant.token.access_token, KEY, rotating.integration.client_secret)
    quoted = json.dumps({"error": secrets[0], "error_description": " ".join(secrets)})
    fault = {"path": TOKEN, "status": status, "body": quoted, "content_type": "application/json", "times": None}
    rotating.control.faults.add(Fault(**fault))
    with capture_logs() as lines, pytest.raises(Outage) as caught:
        await login.token()
    error: BaseException | None = caught.value
    shown = [repr(lines), "".join(traceback.format_exception(caught.value)), *log.told(caught.value)]
    while error is not None:
        shown.append(f"{error!r} {vars(error)}")
        error = error.__cause__ or error.__context__
    assert [one for one in secrets if one in " ".join(shown)] == []
