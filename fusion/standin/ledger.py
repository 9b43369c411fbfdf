"""What was really done to the portal, one JSON line each, never changed afterwards. Tests judge by this.

A line is written and flushed when the deed is committed, before its reply leaves: a lost reply has its line too.
People in it are made up, so it holds their values in the clear.

Kinds: `login login_failed password_accepted code_sent code_accepted code_failed terms_accepted password_changed
password_refused logout session unlock unlock_failed search payers read missing create duplicate stale add save
refused filter_cleared` by a user of the portal; `lock fault kicked captcha blocked` befall one; `seed staff_create
staff_save staff_add staff_remove lock end password expire door` come from the control endpoint.
"""

import json
import os
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Self, TextIO

from fusion.standin.forms import Values


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """Who makes a request, in which session, and when it came in (`time.perf_counter()`)."""

    user: str
    session: int | None = None
    began: float = field(default_factory=time.perf_counter)


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One deed. `before` and `after` hold only the fields that changed; `ms` is the request's time up to the commit."""

    seq: int
    at: str
    user: str
    session: int | None
    kind: str
    patient_id: str | None
    section: str | None
    row_id: str | None
    revision: int | None
    before: Values
    after: Values
    about: dict[str, object]
    ms: float


class Ledger:
    """The lines of this run, kept in memory, and appended to a file when *path* is given.

    A file of an earlier run is continued: its numbers go on, its lines stay out of `lines`.
    """

    def __init__(self, *, path: Path | None, clock: Callable[[], datetime]) -> None:
        self._clock = clock
        self._seq = 0
        self._lines: list[Line] = []
        self._file: TextIO | None = None
        if path:
            path.parent.mkdir(parents=True, exist_ok=True)
            _mend(path)
            self._seq = _last_seq(path)
            self._file = path.open("a", encoding="utf-8")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.close()

    def append(
        self,
        kind: str,
        caller: Caller,
        *,
        patient_id: str | None = None,
        section: str | None = None,
        row_id: str | None = None,
        revision: int | None = None,
        before: Values | None = None,
        after: Values | None = None,
        **about: object,
    ) -> Line:
        """Write and flush one line; of *before* and *after* only the fields that differ are kept."""
        old, new = before or {}, after or {}
        changed = [label for label in {**old, **new} if old.get(label, "") != new.get(label, "")]
        self._seq += 1
        line = Line(
            seq=self._seq,
            at=self._clock().isoformat(),
            user=caller.user,
            session=caller.session,
            kind=kind,
            patient_id=patient_id,
            section=section,
            row_id=row_id,
            revision=revision,
            before={label: old.get(label, "") for label in changed},
            after={label: new.get(label, "") for label in changed},
            about=about,
            ms=round((time.perf_counter() - caller.began) * 1000, 2),
        )
        self._lines.append(line)
        if self._file:
            self._file.write(json.dumps(asdict(line), ensure_ascii=False) + "\n")
            self._file.flush()
        return line

    def lines(self, *, since: int = 0, kind: str | None = None) -> list[Line]:
        """Lines after number *since*, oldest first."""
        return [line for line in self._lines if line.seq > since and kind in (None, line.kind)]

    def counts(self) -> dict[str, int]:
        """Number of lines by kind."""
        found: dict[str, int] = {}
        for line in self._lines:
            found[line.kind] = found.get(line.kind, 0) + 1
        return found

    def close(self) -> None:
        """Close the file; the lines can still be read."""
        if self._file:
            self._file.close()
            self._file = None


def _last_seq(path: Path) -> int:
    if not path.exists():
        return 0
    lines = path.read_text(encoding="utf-8").splitlines()
    return int(json.loads(lines[-1])["seq"]) if lines else 0


def _mend(path: Path) -> None:
    """Drop a last line that a killed run left half written."""
    if path.exists() and (whole := path.read_bytes()) and not whole.endswith(b"\n"):
        os.truncate(path, whole.rfind(b"\n") + 1)
