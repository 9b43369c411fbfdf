"""Numbers of a run in rounds: medians, and ratios of what was measured side by side."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import asdict, is_dataclass
from statistics import median
from typing import Any, Generic, TypeVar

K = TypeVar("K")


class Numbers(Generic[K]):
    """Every number of every round, by what was measured: a dataclass, whose fields are columns of the table."""

    def __init__(self) -> None:
        """None yet."""
        self.rounds: dict[K, list[float]] = defaultdict(list)

    def note(self, kind: K, value: float) -> None:
        """One round's number."""
        self.rounds[kind].append(value)

    def rows(self) -> list[dict[str, Any]]:
        """The medians, a row of the table each."""
        return [
            {**_columns(kind), "median": _short(median(values)), "rounds": len(values)}
            for kind, values in self.rounds.items()
        ]

    def ratio(self, one: K, other: K) -> float | None:
        """The median over the rounds of one over the other; None where either was not measured."""
        pairs = zip(self.rounds.get(one, []), self.rounds.get(other, []), strict=False)
        each = [mine / theirs for mine, theirs in pairs]
        return round(median(each), 2) if each else None


def _columns(kind: object) -> dict[str, Any]:
    assert is_dataclass(kind)
    assert not isinstance(kind, type)
    return asdict(kind)


def _short(value: float) -> float:
    return round(value, 2) if value < 100 else round(value)
