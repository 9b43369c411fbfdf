"""What was really done to the org: one JSON object a line, appended and flushed as it happens, never changed.

Tests and the demo judge by this file, not by asking the code under test. It holds made-up people only.
"""

import json
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any, TextIO


class Ledger:
    """Entries `{seq, at, kind, ...}`, in memory and, with a path, in a file that survives the process."""

    def __init__(self, path: Path | None, clock: Callable[[], datetime]) -> None:
        self.path = path
        self.entries: list[dict[str, Any]] = []
        self._clock = clock
        self._file: TextIO | None = None
        self.open()

    def open(self) -> None:
        """Opens the file for appending; again after `close`, when the org is started once more."""
        if self.path is not None and self._file is None:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._file = self.path.open("a", encoding="utf-8")

    def record(self, kind: str, **what: object) -> None:
        """Appends one entry. *what* must be JSON."""
        entry = {"seq": len(self.entries) + 1, "at": self._clock().isoformat(), "kind": kind, **what}
        self.entries.append(entry)
        if self._file is not None:
            self._file.write(json.dumps(entry, ensure_ascii=False) + "\n")
            self._file.flush()

    def of(self, kind: str, **equal: object) -> list[dict[str, Any]]:
        """Entries of one kind whose named values are equal to the given ones."""
        return [e for e in self.entries if e["kind"] == kind and all(e.get(k) == v for k, v in equal.items())]

    def since(self, seq: int) -> list[dict[str, Any]]:
        return self.entries[seq:]

    def close(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None
