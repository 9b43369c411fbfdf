"""A worker is killed, its browser does not notice; the next start on the host ends it, and nobody else's."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import psutil
import pytest

from fusion import leftovers
from fusion.leftovers import end_leftovers, marked
from listener.holders import this_process

ROOT = Path(__file__).parents[2]
WORKER = """
import asyncio
from pathlib import Path
from pydantic import SecretStr
from fusion import chromium
from fusion.browser import WebPortal
from fusion.pages.pack_file import load_pack
from listener.holders import this_process

async def main():
    portal = WebPortal(
        url="http://127.0.0.1:9", username="robot", password=SecretStr("-"),
        pack=load_pack("fusion_web"), evidence=Path("evidence"), executable=chromium.find(None),
    )
    async with portal:
        print(this_process(), flush=True)
        await asyncio.Event().wait()

asyncio.run(main())
"""


@asynccontextmanager
async def a_worker(folder: Path) -> AsyncIterator[tuple[asyncio.subprocess.Process, str]]:
    """A process that has a browser open, and its name. It is killed in the end, and what it left is ended."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", WORKER), cwd=folder, env={**os.environ, "PYTHONPATH": str(ROOT)}, stdout=-1
    )
    assert process.stdout is not None
    name = ""
    try:
        name = (await asyncio.wait_for(process.stdout.readline(), 30)).decode().strip()
        yield process, name
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()
        await asyncio.to_thread(end_leftovers, is_dead=lambda owner: owner == name)


def family(name: str) -> list[psutil.Process]:
    """The driver and the browser of that worker, with their children."""
    found: dict[int, psutil.Process] = {}
    for process in psutil.process_iter():
        with suppress(psutil.Error, OSError):
            if process.environ().get(leftovers._MARK) == name:
                found |= {one.pid: one for one in (process, *process.children(recursive=True))}
    return list(found.values())


def alive(processes: list[psutil.Process]) -> list[psutil.Process]:
    """Those that still run."""
    living = [one for one in processes if one.is_running()]
    return [one for one in living if one.status() != psutil.STATUS_ZOMBIE]


@pytest.mark.browser
async def test_the_next_start_ends_the_browser_of_a_killed_worker(tmp_path: Path) -> None:
    async with a_worker(tmp_path) as (process, name):
        browser = family(name)
        for kind in ("node", "chrom"):
            assert [one for one in browser if one.name().casefold().startswith(kind)]
        await asyncio.to_thread(end_leftovers)
        assert len(alive(browser)) == len(browser)

        # As when they hang: else they hear that the worker's end of the pipe is closed, and end by themselves.
        for one in browser:
            one.suspend()
        process.kill()
        await process.wait()
        assert len(alive(browser)) == len(browser)
        assert await asyncio.to_thread(end_leftovers) >= len(browser)
        assert alive(browser) == []


@pytest.mark.parametrize(
    ("owner", "ended"),
    [
        (this_process, False),  # it lives
        (lambda: "another-host/12345678.1/1/1", False),
        (lambda: f"{this_process().rsplit('/', 2)[0]}/{os.getpid()}/1", True),  # our pid, and an earlier start
        (lambda: "", False),
        (lambda: "nonsense", False),
    ],
)
def test_only_what_surely_belongs_to_a_dead_process_of_this_host_is_ended(
    owner: Callable[[], str], ended: bool
) -> None:
    process = subprocess.Popen(["sleep", "60"], env={**os.environ, leftovers._MARK: owner()})
    try:
        end_leftovers()
        assert (process.poll() is not None) is ended
    finally:
        process.kill()
        process.wait()


def test_a_process_without_a_mark_is_never_looked_at_twice() -> None:
    process = subprocess.Popen(["sleep", "60"])
    try:
        assert end_leftovers(is_dead=lambda owner: owner == "nobody") == 0
        assert process.poll() is None
    finally:
        process.kill()
        process.wait()


def test_the_mark_is_on_what_is_started_inside_only() -> None:
    def mark() -> str:
        code = f"import os; print(os.environ.get('{leftovers._MARK}', 'none'))"
        return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip()

    with marked():
        assert mark() == this_process()
    assert mark() == "none"
    with pytest.raises(KeyError), marked():
        raise KeyError
    assert leftovers._MARK not in os.environ
