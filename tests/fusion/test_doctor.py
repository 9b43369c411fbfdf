"""What the doctor finds in a database that is sound, hurt, late or left alone, and what it says to do."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import func, text

from fusion.cli.migrate import migrate
from listener import checkup, disk, gaps, gates, positions
from listener.alarms import Expected
from listener.checkup import Finding, Verdict
from listener.database import Database
from listener.disk import Mount
from listener.entry import ParkedReason
from listener.errors import SetupError
from listener.gates import Lane
from listener.positions import Position
from tests.outbox_rows import CHANNEL, a_change, alter, arrive, claimed, refused, settle

ROOT = Path(__file__).parents[2]
EXPECTED = Expected(sweep=timedelta(minutes=15))
OK, WARNING, WRONG = Verdict.OK, Verdict.WARNING, Verdict.WRONG


async def found(db: Database, **knobs: Any) -> Mapping[str, Finding]:
    """The findings by what they are about."""
    return {one.check: one for one in await checkup.examine(db, expected=EXPECTED, **knobs)}


def worse(findings: Mapping[str, Finding]) -> Mapping[str, Verdict]:
    """Those that are not ok."""
    return {check: one.verdict for check, one in findings.items() if one.verdict is not OK}


@pytest.fixture
def file(tmp_path: Path, migrated_sqlite: Path) -> Path:
    """A SQLite file with all tables that a test may hurt."""
    copy = tmp_path / "outbox.db"
    copy.write_bytes(migrated_sqlite.read_bytes())
    return copy


async def examined(file: Path, **knobs: Any) -> Mapping[str, Finding]:
    """The findings about that file."""
    db = Database(f"sqlite:///{file}")
    try:
        return await found(db, **knobs)
    finally:
        await db.close()


async def test_a_sound_database_is_ok_in_everything_and_says_nothing_to_do(db: Database) -> None:
    findings = await found(db)
    assert worse(findings) == {}
    assert {one.move for one in findings.values()} == {""}
    everywhere = {"integrity", "schema", "claim", "oldest entry", "leases", "gaps", "dead letters", "people"}
    assert findings.keys() >= everywhere | {"way to portal", "way to salesforce"}
    assert ({"file system", "disk", "write-ahead log"} <= findings.keys()) is db.is_sqlite


# The file


async def test_a_file_that_is_not_there_is_not_made(tmp_path: Path) -> None:
    findings = await examined(tmp_path / "outbox.db")
    assert worse(findings) == {"file": WRONG}
    assert "fusion-sync migrate" in findings["file"].move
    assert list(tmp_path.iterdir()) == []


async def test_a_file_that_is_no_database_is_told_without_its_content(tmp_path: Path) -> None:
    (tmp_path / "outbox.db").write_bytes(b"Dear reader, this is a letter. " * 100)
    findings = await examined(tmp_path / "outbox.db")
    assert worse(findings) == {"integrity": WRONG}
    assert "backup" in findings["integrity"].move
    assert "reader" not in str(findings)


async def test_a_damaged_file_is_told_before_anything_is_read_from_it(file: Path) -> None:
    with sqlite3.connect(file) as connection:
        (page_size,) = connection.execute("PRAGMA page_size").fetchone()
        query = "SELECT rootpage FROM sqlite_master WHERE name = 'ix_outbox_record'"
        (page,) = connection.execute(query).fetchone()
    connection.close()
    with file.open("r+b") as content:
        content.seek((page - 1) * page_size)
        content.write(b"\xff" * page_size)
    findings = await examined(file)
    assert findings["integrity"].verdict is WRONG
    assert "restore" in findings["integrity"].move


async def test_rows_without_their_entry_are_damage(file: Path) -> None:
    with sqlite3.connect(file) as connection:
        columns = "outbox_id, fence, step, worker, started_at"
        connection.execute(f"INSERT INTO attempt ({columns}) VALUES (7, 1, 'portal', 'one', '2026-11-03 12:00:00')")
    connection.close()
    findings = await examined(file)
    assert worse(findings) == {"integrity": WRONG}


async def test_a_database_without_tables_says_to_migrate(tmp_path: Path) -> None:
    sqlite3.connect(tmp_path / "outbox.db").execute("CREATE TABLE other (x)").connection.close()
    findings = await examined(tmp_path / "outbox.db")
    assert worse(findings) == {"schema": WRONG}
    assert "fusion-sync migrate" in findings["schema"].move


@pytest.mark.parametrize(
    "kind", ["nfs", "nfs4", "cifs", "smb3", "smbfs", "9p", "fuse.sshfs", "afpfs", "ceph", "fuse.glusterfs", "webdav"]
)
def test_file_systems_of_other_machines_are_known(kind: str) -> None:
    assert Mount(point=Path("/"), kind=kind).is_network


@pytest.mark.parametrize(
    "kind", ["ext4", "xfs", "btrfs", "zfs", "apfs", "tmpfs", "overlay", "NTFS", "fuse.ntfs-3g", ""]
)
def test_disks_of_this_machine_are_known(kind: str) -> None:
    assert not Mount(point=Path("/"), kind=kind).is_network
    assert Mount(point=Path("/"), kind=kind, remote=True).is_network


def test_a_path_lies_on_the_nearest_mount_and_the_last_one_there(tmp_path: Path) -> None:
    root, home = Mount(point=Path("/"), kind="ext4"), Mount(point=tmp_path, kind="ext4")
    over = Mount(point=tmp_path, kind="nfs")
    beside = Mount(point=Path(f"{tmp_path}-other"), kind="cifs")
    inside = tmp_path / "not" / "yet.db"
    assert disk.mount_of(inside, [root, home, over, beside]) == over
    assert disk.mount_of(inside, [over, home, root]) == home
    assert disk.mount_of(Path("/somewhere"), [root, home]) == root
    assert disk.mount_of(inside, [beside]) is None
    (tmp_path / "link").symlink_to(tmp_path / "not")
    assert disk.mount_of(Path("/proc/../") / (tmp_path / "link" / "yet.db").relative_to("/"), [root, over]) == over


def test_this_machines_mounts_are_read() -> None:
    assert disk.mount_of(Path(__file__), disk.mounts()) is not None


async def test_sqlite_on_a_network_file_system_is_refused_at_the_start_and_told_by_the_doctor(file: Path) -> None:
    def mounts() -> list[Mount]:
        return [Mount(point=Path("/"), kind="ext4"), Mount(point=file.parent, kind="cifs")]

    db = Database(f"sqlite:///{file}", mounts=mounts)
    with pytest.raises(SetupError, match=r"lies on a network file system \(cifs\)") as refusal:
        await db.check()
    assert "Postgres" in refusal.value.hint
    findings = await found(db, mounts=mounts)
    await db.close()
    assert worse(findings) == {"file system": WRONG}
    assert "(cifs)" in findings["file system"].said
    assert "schema" not in findings  # it is not opened there


@pytest.mark.postgres
async def test_where_this_program_lies_does_not_matter_to_postgres(migrated_postgres: str, postgres: Any) -> None:
    db = Database(postgres.url(migrated_postgres), mounts=lambda: [Mount(point=Path("/"), kind="nfs")])
    await db.check()
    await db.close()


@pytest.mark.parametrize(("free", "verdict"), [(2_000_000_000, OK), (900_000_000, WARNING), (50_000_000, WRONG)])
async def test_a_disk_that_fills_up_is_told_in_time(file: Path, free: int, verdict: Verdict) -> None:
    findings = await examined(file, free=lambda _folder: free)
    assert findings["disk"].verdict is verdict
    assert f"{free / 1e9:.1f} GB" in findings["disk"].said or f"{free / 1e6:.1f} MB" in findings["disk"].said


async def test_a_write_ahead_log_that_nothing_empties_is_told(file: Path) -> None:
    log = file.with_name("outbox.db-wal")
    log.touch()
    os.truncate(log, 300_000_000)
    findings = await examined(file)
    assert worse(findings) == {"write-ahead log": WARNING}
    assert "300.0 MB" in findings["write-ahead log"].said


async def test_a_server_that_is_not_there_is_told() -> None:
    db = Database("postgresql://127.0.0.1:1/fusion")
    findings = await found(db)
    await db.close()
    assert worse(findings) == {"schema": WRONG}
    assert "reachable" in findings["schema"].move


# The claim


async def test_a_lost_index_is_told_and_the_next_move_brings_it_back(database_url: str) -> None:
    migrate(database_url)
    db = Database(database_url)
    async with db.writing() as tx:
        await tx.execute(text("DROP INDEX ix_outbox_pending"))
    lost = (await found(db))["claim"]
    assert lost.verdict is WRONG
    async with db.writing() as tx:
        for statement in lost.move.split("`")[1].split("; "):
            await tx.execute(text(statement))
    await db.close()
    db = Database(database_url)  # a connection keeps the plan that it explained once
    assert worse(await found(db)) == {}
    await db.close()


# The entries


@pytest.mark.parametrize(("age", "verdict"), [(timedelta(minutes=50), OK), (timedelta(minutes=130), WARNING)])
async def test_what_waits_long_is_named(db: Database, age: timedelta, verdict: Verdict) -> None:
    await arrive(db, a_change(1, changed_at=datetime.now(UTC) - age), a_change(2, changed_at=datetime.now(UTC)))
    (number, *_) = [row["id"] for row in await _entries(db)]
    oldest = (await found(db))["oldest entry"]
    assert oldest.verdict is verdict
    assert oldest.said.startswith(f"Entry {number} has waited longest")
    if verdict is WARNING:
        assert "2 h 10 min" in oldest.said
        assert oldest.move == f"`fusion-sync show {number}`"


@pytest.mark.parametrize(
    ("ran_out", "shut", "verdict"),
    [(-60.0, False, OK), (60.0, False, OK), (-400.0, False, WRONG), (-400.0, True, WARNING)],
)
async def test_a_lease_that_nobody_takes_over_is_stuck(
    db: Database, ran_out: float, shut: bool, verdict: Verdict
) -> None:
    await arrive(db, a_change(1, changed_at=datetime.now(UTC)))
    entry = await claimed(db)
    await alter(db, entry.id, leased_until=func.db_after(ran_out))
    if shut:
        async with db.writing() as tx:
            await gates.shut(tx, Lane.PORTAL, reason="the portal is away", wait=timedelta(minutes=1))
    leases = (await found(db))["leases"]
    assert leases.verdict is verdict
    assert ("1 lease ran out" in leases.said) is (verdict is not OK)


async def test_a_way_that_is_shut_or_paused_is_told_with_its_reason(db: Database) -> None:
    async with db.writing() as tx:
        await gates.shut(tx, Lane.SALESFORCE, reason="it answers 503", wait=timedelta(minutes=1))
        await gates.pause(tx, Lane.PORTAL, actor="dana", reason="the portal is being updated")
    findings = await found(db)
    assert worse(findings) == {"way to portal": WARNING, "way to salesforce": WARNING}
    assert findings["way to portal"].said == "dana paused it: the portal is being updated."
    assert "fusion-sync resume portal" in findings["way to portal"].move
    assert findings["way to salesforce"].said == "It is shut after 1 failure: it answers 503."


async def test_gaps_dead_letters_and_what_waits_for_a_person_are_counted(db: Database) -> None:
    async with db.writing() as tx:
        for reason in ("overflow", "position lost"):
            await gaps.open_gap(tx, CHANNEL, reason=reason, object_name=None, since=None, until=None)
        await positions.bury(tx, CHANNEL, {"FirstName": "Canary"}, replay_id=None, reason="no header")
    await arrive(db, 1)
    await settle(db, await claimed(db), refused(ParkedReason.BAD_DATA))
    findings = await found(db)
    assert worse(findings) == {"gaps": WARNING, "dead letters": WARNING, "people": WARNING}
    assert findings["gaps"].said.startswith("2 gaps")
    assert findings["dead letters"].said.startswith("1 message of")
    assert findings["people"].said.endswith(": 1.")
    assert all(one.move for one in findings.values() if one.verdict is WARNING)
    assert "Canary" not in str(findings)


async def test_an_old_position_is_told_and_a_channel_that_is_heard_whole_too(db: Database) -> None:
    for hours, verdict in ((61, WARNING), (1, OK)):
        async with db.writing() as tx:
            at = datetime.now(UTC) - timedelta(hours=hours)
            await positions.move(tx, Position(channel=CHANNEL, replay_id="7001", at=at))
        finding = (await found(db))["stream"]
        assert finding.verdict is verdict
        assert bool(finding.move) is (verdict is WARNING)


async def _entries(db: Database) -> list[dict[str, Any]]:
    async with db.reading() as tx:
        return [dict(row) for row in (await tx.execute(text("SELECT id FROM outbox ORDER BY id"))).mappings()]


# The command


def doctor(url: str, folder: Path, *options: str) -> subprocess.CompletedProcess[str]:
    """`fusion-sync doctor` as a person starts it."""
    given = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "DATABASE_URL": url}
    return subprocess.run(
        [sys.executable, "-W", "error", "-m", "fusion.cli", "doctor", *options],
        cwd=folder,
        env=given,
        text=True,
        capture_output=True,
        timeout=60,
        check=False,
    )


async def test_the_command_says_it_all_and_ends_with_0_where_nothing_is_wrong(url: str, tmp_path: Path) -> None:
    seen = doctor(url, tmp_path, "--database", "--json")
    assert (seen.returncode, seen.stderr) == (0, "")
    told = json.loads(seen.stdout)
    assert told["ok"] is True
    assert {one["verdict"] for one in told["checks"]} == {"ok"}
    assert all(set(one) == {"check", "verdict", "said", "move"} for one in told["checks"])


def test_the_command_ends_with_1_where_something_is_wrong(tmp_path: Path) -> None:
    seen = doctor(f"sqlite:///{tmp_path / 'outbox.db'}", tmp_path)
    assert (seen.returncode, seen.stderr) == (1, "")
    assert "There is no file" in seen.stdout
    assert "fusion-sync migrate" in seen.stdout
