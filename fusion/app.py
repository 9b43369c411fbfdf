"""The composition root: opens everything that a process needs, runs it, and closes it in reverse.

Only this module knows all the others; whatever lies below gets its parts as arguments.
"""

from __future__ import annotations

import asyncio
import signal
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any

import structlog
from aiohttp import web

from fusion import chromium, evidence, expiry, leftovers
from fusion.admission import login_of, portal_account_of
from fusion.capture import Capture
from fusion.drain import drain
from fusion.lease import LeaseTimes
from fusion.mapping import RecordMapping, load_mapping
from fusion.ops import health
from fusion.pace import Pace
from fusion.pages.pack_file import load_pack
from fusion.patrol import Patrol
from fusion.scheduler import Chore, Scheduler
from fusion.settings import Settings
from fusion.timetable import Timetable
from fusion.turn import Limits, Worker
from listener import holders, portal_account
from listener.change import Ours
from listener.database import Database
from listener.errors import Outage, SetupError
from listener.listen import Intake
from listener.login import Login
from listener.meter import Meter
from listener.org import CLIENT, SalesforceOrg
from listener.resealing import reseal
from listener.sealed import Sealed
from listener.upkeep import Purged, purge

log = structlog.get_logger()

_GRACE = timedelta(seconds=9)
"""How long a visit may take to end after SIGTERM; with closing the browser the process is gone within 15 s."""
_BURST = 15
"""Visits that follow each other without a pause, as when a morning's intakes are saved at once."""


class Role(StrEnum):
    """What a process does; `run` does all three."""

    LISTEN = "listen"
    WORK = "work"
    SERVE = "serve"


@dataclass(slots=True, kw_only=True)
class _Parts:
    """What is open. `pulses`: what each part last did, for the health page."""

    settings: Settings
    mapping: RecordMapping
    db: Database
    scheduler: Scheduler
    stack: AsyncExitStack
    tasks: asyncio.TaskGroup
    stopping: asyncio.Event
    pulses: dict[str, Any] = field(default_factory=dict)
    listening: asyncio.Task[None] | None = None
    meters: int = 0


async def run(settings: Settings, roles: frozenset[Role], *, stopping: asyncio.Event | None = None) -> None:
    """Do what the roles say until SIGTERM, SIGINT or `stopping`; `SetupError` if it cannot be done as set up."""
    stopping = stopping or asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopping.set)
    broken: list[SetupError] = []

    def give_up(error: SetupError) -> None:
        broken.append(error)
        stopping.set()

    try:
        async with AsyncExitStack() as stack, asyncio.TaskGroup() as tasks:
            db = Database(settings.database.url)
            stack.push_async_callback(db.close)
            await db.check()
            await _reseal(db, settings)
            parts = _Parts(
                settings=settings,
                mapping=load_mapping(settings.sync.mapping),
                db=db,
                scheduler=Scheduler(give_up=give_up),
                stack=stack,
                tasks=tasks,
                stopping=stopping,
            )
            await _open(parts, roles)
            parts.scheduler.start()
            log.info("started", roles=sorted(roles))
            try:
                await stopping.wait()
            finally:
                # Also when the listener fails: a visit must not go on while what it works with is being closed.
                log.info("stopping")
                stopping.set()
                await _end(parts)
    except* SetupError as group:
        raise _first(group) from None
    if broken:
        raise broken[0]
    log.info("stopped")


async def _reseal(db: Database, settings: Settings) -> None:
    """Bring what is sealed under the newest key: once a process has started with it, the old one can go."""
    if settings.sync.keys and (renewed := await reseal(db, Sealed(settings.sync.keys))):
        log.info("sealed anew with the newest key", new=renewed)


async def _end(parts: _Parts) -> None:
    await parts.scheduler.stop(grace=_GRACE)
    if parts.listening is not None:
        # It ends by itself, unless it is waiting for the database with a batch: that is delivered again.
        await asyncio.wait({parts.listening}, timeout=2)
        parts.listening.cancel()


async def _open(parts: _Parts, roles: frozenset[Role]) -> None:
    if Role.SERVE in roles:
        await _serve(parts)
    if not roles & {Role.LISTEN, Role.WORK}:
        return
    if Role.WORK in roles:
        # Before its rows are taken over: what a dead worker's browser still had in hand must be over.
        ended = await asyncio.to_thread(leftovers.end_leftovers)
        if ended:
            log.info("ended what a dead process left behind", processes=ended)
    freed = await holders.free_leases_of_the_dead(parts.db)
    if freed:
        log.info("took over from a dead process", entries=freed)
    login = login_of(parts.settings, parts.db)
    parts.stack.push_async_callback(login.close)
    if Role.WORK in roles:
        await _work(parts, login)
    if Role.LISTEN in roles:
        # Last, since on Postgres it may wait until another listener is gone.
        parts.listening = parts.tasks.create_task(_listen(parts, login), name="listen")


async def _serve(parts: _Parts) -> None:
    sync = parts.settings.sync
    server = health.app(
        parts.db, pulse=lambda: parts.pulses, expected=sync.expected, password_days=load_pack(sync.pack).password_days
    )
    runner = web.AppRunner(server, access_log=None)
    await runner.setup()
    parts.stack.push_async_callback(runner.cleanup)
    try:
        await web.TCPSite(runner, sync.ops_host, sync.ops_port).start()
    except OSError as error:
        raise SetupError(
            f"cannot serve on {sync.ops_host}:{sync.ops_port} ({error.strerror})",
            hint="is another process on it? set FUSION_SYNC_OPS_PORT",
        ) from None
    log.info("serving", host=sync.ops_host, port=sync.ops_port)


async def _work(parts: _Parts, login: Login) -> None:
    # Only who works needs Playwright; a host that only listens may be without it.
    from fusion.browser import WebPortal  # noqa: PLC0415

    portal_settings, sync = parts.settings.portal, parts.settings.sync
    await _hold(parts, portal_settings.holding, patient=False)
    org = SalesforceOrg(login, api_version=parts.settings.salesforce.api_version)
    parts.stack.push_async_callback(org.close)
    _meter(parts, org)
    account = portal_account_of(parts.settings, parts.db)
    if await account.renew_digest():
        log.info("portal password known by the newest key")
    browser = WebPortal.from_settings(
        portal_settings,
        sync,
        memory=account,
        executable=chromium.find(sync.browser),
    )
    portal = await parts.stack.enter_async_context(browser)
    lease = LeaseTimes(length=timedelta(seconds=sync.lease_seconds), deadline=timedelta(seconds=sync.deadline_seconds))
    worker = Worker(
        db=parts.db,
        org=org,
        portal=portal,
        mapping=parts.mapping,
        name=holders.this_process(),
        timetable=Timetable(portal_settings.opening),
        pace=Pace(sync.visits_per_minute, burst=_BURST),
        patrol=Patrol(
            parts.db,
            portal.walk,
            pack=load_pack(sync.pack).edition,
            zone=portal_settings.opening.zone,
            within=lease.deadline / 2,
        ),
        limits=Limits(
            lease=lease,
            portal_attempts=sync.portal_attempts,
            writeback_attempts=sync.writeback_attempts,
            gate_first=timedelta(seconds=sync.gate_seconds),
            look_again=timedelta(seconds=sync.look_again_seconds),
            tell_after=timedelta(seconds=sync.tell_seconds),
        ),
    )

    async def one_round() -> None:
        report = await drain(worker, stopping=parts.stopping)
        parts.pulses["worker"] = {"last_round_at": datetime.now(UTC), "settled": report.settled}

    async def one_purge() -> None:
        gone = await purge(parts.db, older_than=timedelta(days=sync.keep_days))
        days = timedelta(days=portal_settings.evidence_days)
        files = await asyncio.to_thread(
            evidence.purge, portal_settings.evidence_dir, older_than=days, now=datetime.now(UTC)
        )
        if gone != Purged() or files:
            log.info("purged", entries=gone.entries, gaps=gone.gaps, messages=gone.dead_letters, evidence=files)

    async def forecast() -> None:
        async with parts.db.reading() as tx:
            accounts = await portal_account.every(tx)
        for alarm in expiry.alarms(accounts, load_pack(sync.pack).password_days):
            log.warning("portal password expires", why=alarm.said, hint=alarm.move)

    parts.scheduler.add(Chore(name="password", every=timedelta(days=1), run=forecast))
    parts.scheduler.add(Chore(name="drain", every=timedelta(seconds=sync.poll_seconds), run=one_round))
    # From the start on, since a process that is restarted every night would never come to it.
    parts.scheduler.add(Chore(name="purge", every=timedelta(days=1), run=one_purge))


async def _listen(parts: _Parts, login: Login) -> None:
    salesforce, sync = parts.settings.salesforce, parts.settings.sync
    channel = salesforce.channel
    await _hold(parts, f"channel {channel}", patient=not parts.db.is_sqlite)
    user_id = await _until_logged_in(login, parts.stopping)
    if user_id is None:
        return
    org = SalesforceOrg(login, api_version=salesforce.api_version)
    parts.stack.push_async_callback(org.close)
    _meter(parts, org)
    own = frozenset(parts.mapping.own.names())
    intake = Intake(
        db=parts.db,
        ours=Ours(user_id=user_id, client=CLIENT, fields=own, heartbeat=sync.heartbeat_record),
        watched=frozenset({parts.mapping.object_name}),
        settle=timedelta(seconds=sync.settle_seconds),
        wake=lambda: parts.scheduler.wake("drain"),
    )
    await Capture(
        intake=intake,
        org=org,
        login=login,
        salesforce=salesforce,
        sync=sync,
        object_name=parts.mapping.object_name,
        ready=f"{parts.mapping.ready_field} = true",
        stopping=parts.stopping,
        pulses=parts.pulses,
    ).run(parts.scheduler)


def _meter(parts: _Parts, org: SalesforceOrg) -> None:
    """Have the limits looked at: by each connection, since each hears its own answers, and one of them asks as well."""
    meter = Meter(parts.db, org, ask_every=None if parts.meters else timedelta(minutes=15))
    parts.meters += 1
    parts.scheduler.add(Chore(name=f"limits {parts.meters}", every=timedelta(minutes=1), run=meter.read))


async def _hold(parts: _Parts, name: str, *, patient: bool) -> None:
    """Be the only process with that name, for as long as we run. `patient`: wait until the other is gone."""
    said = False
    while True:
        async with parts.db.writing() as tx:
            other = await holders.take(tx, name, lease=holders.HOLD)
        if other is None:
            break
        if not patient:
            raise SetupError(f"{name} is held by another process ({other})", hint="stop that one first, or wait 30 s")
        if not said:
            log.info("waiting for another process", held=name, holder=other)
            said = True
        try:
            await asyncio.wait_for(parts.stopping.wait(), timeout=2)
        except TimeoutError:
            continue
        raise asyncio.CancelledError

    async def keep() -> None:
        async with parts.db.writing() as tx:
            if not await holders.keep(tx, name, lease=holders.HOLD):
                # Not a clean end: who supervises us should start us again, and then we wait for our turn.
                raise SetupError(f"{name} was taken over by another process", hint="was this one frozen for long?")

    async def give_back() -> None:
        with suppress(Outage):  # then it runs out by itself
            async with parts.db.writing() as tx:
                await holders.give_back(tx, name)

    parts.stack.push_async_callback(give_back)
    parts.scheduler.add(Chore(name=f"hold {name}", every=holders.HOLD / 4, run=keep, at_once=False))


async def _until_logged_in(login: Login, stopping: asyncio.Event) -> str | None:
    """The id of the user that we are in Salesforce; None if we were stopped before it answered."""
    pause = 1.0
    while not stopping.is_set():
        try:
            return (await login.token()).user_id
        except Outage as outage:
            log.warning("cannot log in to Salesforce", why=str(outage), hint=outage.hint, seconds=pause)
        try:
            await asyncio.wait_for(stopping.wait(), timeout=pause)
        except TimeoutError:
            pause = min(60.0, pause * 2)
    return None


def _first(group: BaseExceptionGroup[SetupError]) -> SetupError:
    error: BaseException = group
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    assert isinstance(error, SetupError)  # noqa: S101 - what `except*` promises
    return error
