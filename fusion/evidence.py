"""What is kept of pages that were not understood, for so many days: files that hold no patient, but pile up."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from pathlib import Path

_OURS = re.compile(r"(\d{8}T\d{6})-[a-z_]+-[0-9a-f]{6}\.(json|png)")
"""As `pages.outline` names them. Whatever else lies in the folder is somebody else's."""


def purge(folder: Path, *, older_than: timedelta, now: datetime, only_count: bool = False) -> int:
    """Delete the files that were made before that age; how many."""
    gone = 0
    for path in sorted(folder.glob("*")) if folder.is_dir() else ():
        name = _OURS.fullmatch(path.name)
        if name is None or datetime.strptime(name[1], "%Y%m%dT%H%M%S").replace(tzinfo=UTC) >= now - older_than:
            continue
        if not only_count:
            path.unlink(missing_ok=True)
        gone += 1
    return gone
