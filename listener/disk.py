"""Where a file really lies, and how much room is left there.

SQLite's WAL is memory shared by all processes on the file, so it does not work over a network file system
(sqlite.org, "Write-Ahead Logging"), and locks over one are often only pretended ("How To Corrupt An SQLite Database
File"): two hosts that both believe to be the only writer end with a broken file.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

_NETWORK = (
    *("nfs", "cifs", "smb", "9p", "afp", "afs", "ceph", "gluster", "lustre", "beegfs", "gpfs"),
    *("dav", "webdav", "ncp", "sshfs", "s3fs", "gcsfuse", "rclone", "vboxsf", "vmhgfs"),
)
"""How the kinds of file systems begin whose files live on another machine, or are lent by the host of this one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Mount:
    """A file system where it is mounted; `kind` as the system names it: ext4, nfs4, fuse.sshfs …"""

    point: Path
    kind: str
    remote: bool = False

    @property
    def is_network(self) -> bool:
        """Whether its files are shared with other machines."""
        return self.remote or self.kind.casefold().removeprefix("fuse.").startswith(_NETWORK)


Mounts = Callable[[], Sequence[Mount]]
"""Reads what is mounted just now, in the order in which it was mounted."""


def mounts() -> list[Mount]:
    """What is mounted on this machine."""
    found = psutil.disk_partitions(all=True)
    # Windows names a share's file system as its server does, and says `remote` among the options.
    return [Mount(point=Path(one.mountpoint), kind=one.fstype, remote="remote" in one.opts.split(",")) for one in found]


def mount_of(path: Path, mounted: Sequence[Mount]) -> Mount | None:
    """The file system on which the path lies, or would lie; None where that is not known."""
    real = path.resolve()
    around = [one for one in mounted if real.is_relative_to(one.point)]
    # Of two on one point the later hides the earlier.
    return max(reversed(around), key=lambda one: len(one.point.parts), default=None)


def free_bytes(path: Path) -> int:
    """What an ordinary user may still write to the file system of an existing path."""
    return int(psutil.disk_usage(str(path)).free)
