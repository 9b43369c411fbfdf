"""A chart that a page has shown, and how long ago that was."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

_JUST_NOW = 1.0
"""Seconds for which a chart that was opened has nothing over it that was not there when it was read."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AtHand:
    """`text`: what was read of it, as `chart.js` gives it."""

    chart: str
    text: str = field(repr=False)
    since: float = field(default_factory=time.monotonic)

    @property
    def age(self) -> float:
        """Seconds since it was read."""
        return time.monotonic() - self.since

    @property
    def is_just_now(self) -> bool:
        """Whether what lies over it now was there when it was read, or nothing does."""
        return self.age <= _JUST_NOW
