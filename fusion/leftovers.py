"""Browsers that outlived their worker: each is started with its worker's name, and ended when that one is surely dead.

A worker that is killed closes the pipe to Playwright's driver, which then ends the browser. Not where the driver was
killed with it, or hangs: then a browser that nobody drives keeps its memory, and the portal session of our user.
The name is in the environment of driver and browser alone, so nothing else of ours, or of a person's, carries it.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

import psutil

from listener.holders import is_dead_here, this_process

_MARK = "BROWSER_OF_FUSION_SYNC"
_PATIENCE = 3.0
"""Seconds from asking a browser to end until it is made to."""


@contextmanager
def marked() -> Iterator[None]:
    """What is started inside carries our name; so does everything that it starts, at any time."""
    os.environ[_MARK] = this_process()
    try:
        yield
    finally:
        del os.environ[_MARK]


def end_leftovers(*, is_dead: Callable[[str], bool] = is_dead_here) -> int:
    """The number of processes that were ended: drivers and browsers whose worker died on this host, and their children.

    A worker that lives, that ran on another host, or of which it cannot be known, keeps its own. Takes up to six
    seconds where a browser does not listen; call it in a thread.
    """
    found: dict[int, psutil.Process] = {}
    for process in psutil.process_iter():
        # Gone meanwhile, or another user's.
        with suppress(psutil.Error, OSError):
            owner = process.environ().get(_MARK)
            if owner and is_dead(owner):
                # A renderer overwrites its environment with its title, so it is known by its parent alone.
                found |= {one.pid: one for one in (process, *process.children(recursive=True))}
    found.pop(os.getpid(), None)
    for process in found.values():
        # psutil tells a pid that was given anew from the process that we looked at.
        with suppress(psutil.Error):
            process.terminate()
    _, deaf = psutil.wait_procs(list(found.values()), timeout=_PATIENCE)
    for process in deaf:
        with suppress(psutil.Error):
            process.kill()
    psutil.wait_procs(deaf, timeout=_PATIENCE)
    return len(found)
