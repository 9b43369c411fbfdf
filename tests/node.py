"""Packages of node that tests use, where node is there."""

from __future__ import annotations

import fcntl
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PLACE = ROOT / ".make" / "node"


def packages(unchecked: str) -> Path:
    """The folder they are in; installs them if they are not there yet. Skips, and says that `unchecked` is."""
    if shutil.which("npm") is None:
        pytest.skip(f"node and npm are not on the PATH: {unchecked}")
    PLACE.parent.mkdir(exist_ok=True)
    with (PLACE.parent / "node.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # another worker of the tests may be at it
        subprocess.run([ROOT / ".ci" / "set-up-node"], check=True)
    return PLACE
