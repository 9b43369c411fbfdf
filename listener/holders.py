"""Who is who among the processes, and who alone may hold a channel or a portal log-in.

A process signs leases with host, boot, pid and start time, so that a later process on the same host can see that the
signer is dead and need not wait for its leases to run out. To be taken for dead while alive is worse than waiting:
where it cannot be known, as between two containers that share a host's name, nobody is dead.
"""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from datetime import timedelta
from functools import cache
from pathlib import Path

import psutil
from sqlalchemy import delete, func, select, update

from listener import outbox
from listener.database import Database, Tx, upsert
from listener.errors import Outage, SetupError, SyncError
from listener.schema import holder

HOLD = timedelta(seconds=20)
"""How long a silent process keeps its channel and its portal log-in from the next: that one is there within 30 s."""

_NOW = func.db_now()


@cache
def this_process() -> str:
    """`host/boot/pid/start`: the same for the whole life of the process, and never again."""
    pid = os.getpid()
    return f"{socket.gethostname()}/{_boot()}/{pid}/{_started(pid)}"


def is_dead_here(name: str) -> bool:
    """Whether that process ran on this host and is no more. False where we cannot know: on another host."""
    host, boot, pid, start = [*name.rsplit("/", 3), "", "", ""][:4]
    if host != socket.gethostname() or not pid.isdigit():
        return False
    its, ours = boot.partition("."), _boot().partition(".")
    if its[0] != ours[0]:
        return True
    return its[2] == ours[2] and _started(int(pid)) != start


async def take(tx: Tx, name: str, *, lease: timedelta) -> str | None:
    """None: this process holds `name` now. Else who does: alive, on another host, or not known to be dead."""
    me = this_process()
    row = select(holder, (holder.c.leased_until > _NOW).label("valid")).where(holder.c.name == name).with_for_update()
    found = (await tx.execute(row)).mappings().first()
    if found and found["worker"] != me and found["valid"] and not is_dead_here(found["worker"]):
        return str(found["worker"])
    fresh = upsert(tx, holder).values(
        name=name, worker=me, taken_at=_NOW, leased_until=func.db_after(lease.total_seconds())
    )
    renewed = {key: fresh.excluded[key] for key in ("worker", "taken_at", "leased_until")}
    # Where the row is new to both, the second comes to the conflict after the first has committed: it must not take.
    mine = (holder.c.worker == (found["worker"] if found else me)) | (holder.c.leased_until <= _NOW)
    kept = fresh.on_conflict_do_update(index_elements=["name"], set_=renewed, where=mine)
    # By what comes back: psycopg does not count the rows of an INSERT.
    taken = (await tx.execute(kept.returning(holder.c.name))).first()
    return None if taken else "another process that was a moment earlier"


async def keep(tx: Tx, name: str, *, lease: timedelta) -> bool:
    """Whether this process still holds `name`, for another `lease`."""
    mine = update(holder).where(holder.c.name == name, holder.c.worker == this_process())
    return (await tx.execute(mine.values(leased_until=func.db_after(lease.total_seconds())))).rowcount == 1


async def give_back(tx: Tx, name: str) -> None:
    """Let the next process have it at once."""
    await tx.execute(delete(holder).where(holder.c.name == name, holder.c.worker == this_process()))


@asynccontextmanager
async def held(db: Database, name: str, *, lease: timedelta) -> AsyncIterator[None]:
    """Be the only process with that name while the body runs; `SetupError` if another is, or has become it.

    A name that was lost cuts the body off where it awaits.
    """
    async with db.writing() as tx:
        other = await take(tx, name, lease=lease)
    if other is not None:
        raise SetupError(f"{name} is held by another process ({other})", hint="stop that one first, or wait 30 s")
    body = asyncio.current_task()
    assert body is not None  # noqa: S101 - always inside a task
    lost: list[SyncError] = []

    async def keep_on() -> None:
        while not lost:
            await asyncio.sleep(lease.total_seconds() / 4)
            try:
                async with db.writing() as tx:
                    if not await keep(tx, name, lease=lease):
                        lost.append(SetupError(f"{name} was taken over by another process", hint="see which runs"))
            except Outage as outage:
                lost.append(outage)
        body.cancel()

    keeping = asyncio.create_task(keep_on(), name=f"holding {name}")
    try:
        yield
    except asyncio.CancelledError:
        if lost and body.uncancel() == 0:
            raise lost[0] from None
        raise
    finally:
        keeping.cancel()
        await asyncio.gather(keeping, return_exceptions=True)
        with suppress(Outage):  # then it runs out by itself
            async with db.writing() as tx:
                await give_back(tx, name)


async def free_leases_of_the_dead(db: Database) -> int:
    """The number of rows whose holder died on this host: their leases run out now, and the next claim takes them."""
    async with db.writing() as tx:
        dead = [name for name in await outbox.leasing_workers(tx) if is_dead_here(name)]
        return await outbox.expire_leases(tx, dead) if dead else 0


@cache
def _boot() -> str:
    """What tells this boot of the machine from every other, and after a dot, whose pids these are."""
    file, pids = Path("/proc/sys/kernel/random/boot_id"), Path("/proc/self/ns/pid")
    boot = file.read_text().strip()[:8] if file.exists() else f"{int(psutil.boot_time())}"
    return f"{boot}.{pids.stat().st_ino}" if pids.exists() else boot


def _started(pid: int) -> str | None:
    """When the process began, in a form that never changes while it lives; None if it is no more.

    On Linux in ticks since the boot (proc(5), "starttime"): the time of day that psutil makes of it moves with clocks.
    """
    file = Path(f"/proc/{pid}/stat")
    if Path("/proc/self/stat").exists():
        try:
            # The name of the program stands in brackets and may hold anything.
            fields = file.read_text("utf-8", errors="replace").rpartition(")")[2].split()
        except (FileNotFoundError, ProcessLookupError):
            return None
        return None if fields[0] in "ZX" else fields[19]
    try:
        process = psutil.Process(pid)
        return None if process.status() == psutil.STATUS_ZOMBIE else f"{process.create_time():.2f}"
    except psutil.NoSuchProcess:
        return None
