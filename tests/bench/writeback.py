"""What telling Salesforce costs: API calls for a thousand answers that wait, and how soon one that is alone is told.

The product's own round over SQLite (`synchronous=FULL`), its own REST adapter, and the stand-in org on this host, which
spends its allowance as Salesforce does; so there is no latency but that of the machine. Judged by the org's ledger.
"""

from __future__ import annotations

import asyncio
import logging
import os
import platform
import sqlite3
import tempfile
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from importlib import metadata
from pathlib import Path
from statistics import median, quantiles
from typing import Any

import structlog
from sqlalchemy import insert

from fusion.cli.migrate import migrate
from fusion.drain import drain
from fusion.mapping import load_mapping
from fusion.patient import Patient, Shown
from fusion.portal import AboutToSave
from fusion.standin.intakes import intakes
from fusion.turn import Worker
from listener import outbox, schema
from listener.change import Change, ChangeKind, RecordId
from listener.database import Database
from listener.login import Login
from listener.org import SalesforceOrg
from listener.standin import StandInOrg
from tests.fake_portal import FakePortal
from tests.org_rig import settings_for, stand_in

Said = Callable[[str], None]
P = "Patient__c"


@dataclass(frozen=True, slots=True, kw_only=True)
class Sizes:
    """How many answers wait, and how many come one by one."""

    waiting: int = 1_000
    alone: int = 100


FULL = Sizes()
QUICK = Sizes(alone=20)


@dataclass(slots=True)
class _TimedPortal(FakePortal):
    """A portal in memory that notes when it saved last."""

    saved_at: list[datetime] = field(default_factory=list)

    async def create(self, patient: Patient, *, about_to_save: AboutToSave) -> str:
        """As in `FakePortal`."""
        portal_id = await FakePortal.create(self, patient, about_to_save=about_to_save)
        self.saved_at.append(datetime.now(UTC))
        return portal_id

    async def update(self, *given: Any, **more: Any) -> Shown:
        """As in `FakePortal`."""
        shown = await FakePortal.update(self, *given, **more)
        self.saved_at[-1] = datetime.now(UTC)
        return shown


@dataclass(frozen=True, slots=True, kw_only=True)
class _Site:
    """What one measurement works on."""

    org: StandInOrg
    db: Database
    portal: _TimedPortal
    worker: Worker

    @property
    def calls(self) -> int:
        """API calls that the org has counted."""
        return self.org.control.allowance.calls_used


def measure(sizes: Sizes, say: Said = lambda _line: None) -> dict[str, Any]:
    """The machine, a row for each thing that was measured, and the figures."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    say(f"telling {sizes.waiting} answers that wait")
    bulk = asyncio.run(_bulk(sizes.waiting))
    say(f"telling {sizes.alone} answers one by one")
    alone = asyncio.run(_one_by_one(sizes.alone))
    calls = bulk["calls"] * 1000 / sizes.waiting
    rows: list[dict[str, Any]] = [
        {"what": "1,000 answers that wait", "value": calls, "unit": "API calls"},
        {"what": "1,000 answers that wait", "value": round(bulk["seconds"], 2), "unit": "seconds"},
        {"what": "one by one, a patient", "value": alone["calls"] / sizes.alone, "unit": "API calls, the reading too"},
        {"what": "from the portal's save, p50", "value": round(alone["p50"], 1), "unit": "ms"},
        {"what": "from the portal's save, p95", "value": round(alone["p95"], 1), "unit": "ms"},
    ]
    return {
        "machine": _machine(),
        "rows": rows,
        "ratios": {},
        "figures": {"api_calls_per_1000": calls, "tell_p50_ms": round(alone["p50"], 1)},
    }


async def _bulk(number: int) -> dict[str, float]:
    async with _site() as site:
        ids = [RecordId(site.org.control.create(one)) for one in _records(number)]
        async with site.db.writing() as tx:
            await tx.execute(insert(schema.outbox), [_answered(n, one) for n, one in enumerate(ids)])
        began, before = asyncio.get_running_loop().time(), site.calls
        report = await drain(site.worker, stopping=asyncio.Event())
        seconds = asyncio.get_running_loop().time() - began
        told = {line["id"] for line in site.org.ledger.of("write", operation="update", error=None)}
        assert report.settled == number == len(told & set(ids))
        return {"calls": site.calls - before, "seconds": seconds}


async def _one_by_one(number: int) -> dict[str, float]:
    async with _site() as site:
        before = site.calls
        for n, record in enumerate(_records(number)):
            record_id = RecordId(site.org.control.create(record))
            async with site.db.writing() as tx:
                await outbox.append(tx, [_change(n, record_id)], None, settle=timedelta(0))
            await drain(site.worker, stopping=asyncio.Event())
        told = [datetime.fromisoformat(line["at"]) for line in site.org.ledger.of("write", operation="update")]
        assert len(told) == len(site.portal.saved_at) == number
        waits = [(one - saved).total_seconds() * 1000 for one, saved in zip(told, site.portal.saved_at, strict=True)]
        return {"calls": site.calls - before, "p50": median(waits), "p95": quantiles(waits, n=20)[-1]}


@asynccontextmanager
async def _site() -> AsyncIterator[_Site]:
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        url = f"sqlite:///{Path(folder) / 'outbox.db'}"
        await asyncio.to_thread(migrate, url)
        async with stand_in() as standing:
            db, login = Database(url), Login(settings_for(standing))
            org = SalesforceOrg(login, api_version="66.0")
            portal = _TimedPortal()
            worker = Worker(db=db, org=org, portal=portal, mapping=load_mapping(None), name="bench")
            try:
                yield _Site(org=standing, db=db, portal=portal, worker=worker)
            finally:
                await org.close()
                await login.close()
                await db.close()


def _records(number: int) -> list[dict[str, Any]]:
    """Made-up children, ready; apart enough that none is taken for another."""
    child = intakes(11)
    return [
        {**next(child).record, "Last_Name__c": f"Bench{n:04}", "SSN__c": None, "Guardian_Phone__c": None}
        for n in range(number)
    ]


def _change(number: int, record_id: RecordId) -> Change:
    return Change(
        object_name=P,
        record_id=record_id,
        kind=ChangeKind.CREATE,
        changed_at=datetime.now(UTC),
        dedupe_key=f"bench:{number}",
    )


def _answered(number: int, record_id: RecordId) -> dict[str, Any]:
    """A row that waits to be told that the portal has a new chart."""
    return {
        "object_name": P,
        "record_id": record_id,
        "state": "PUSHED",
        "priority": 10,
        "due_at": datetime.now(UTC),
        "changed_at": datetime.now(UTC),
        "created_at": datetime.now(UTC),
        "outcome": "created",
        "portal_id": str(20_000_000 + number),
    }


def _machine() -> dict[str, Any]:
    """The machine and what runs on it. `load`: how many processes wanted its cores in the last minute."""
    return {
        "cores": os.cpu_count(),
        "load": round(os.getloadavg()[0], 1),
        "python": platform.python_version(),
        "sqlite": sqlite3.sqlite_version,
        **{name: metadata.version(name) for name in ("simple-salesforce", "requests", "sqlalchemy")},
    }
