"""What the benchmark of the stream makes of its numbers. How fast anything is, no test says."""

from __future__ import annotations

from tests.bench.capture import Kind, ratios
from tests.bench.numbers import Numbers

WHAT = "events from storage"


def test_each_ratio_is_that_of_the_slower_database_and_the_faster_rival() -> None:
    numbers = Numbers[Kind]()
    for system, rate in (
        ("ours, committed, postgres", 900.0),
        ("ours, committed, sqlite", 800.0),
        ("aiosfstream-ng, bare", 1000.0),
        ("cometd (JavaScript)", 4000.0),
        ("jsforce (JavaScript)", 2000.0),
    ):
        numbers.note(Kind(WHAT, system), rate)
    assert ratios(numbers) == {"committed_vs_bare_client": 0.8, "committed_vs_js_client": 0.2}


def test_every_ratio_is_there_also_where_nothing_was_measured() -> None:
    assert ratios(Numbers[Kind]()) == {"committed_vs_bare_client": None, "committed_vs_js_client": None}
