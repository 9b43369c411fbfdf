"""What the benchmark of the portal makes of its numbers. How fast anything is, no test says."""

import pytest

from tests.bench.numbers import Numbers
from tests.bench.portal import Kind, Sizes, measure, ratios

NAMES = {"usual_vs_warm_0ms", "usual_vs_warm_100ms", "cpu_usual_vs_warm", "warm_vs_floor_100ms"}


def test_each_ratio_says_how_many_times_as_much_the_first_takes() -> None:
    numbers: Numbers[Kind] = Numbers()
    for way, latency, unit, value in (
        ("Chromium per visit", 0, "ms", 1500.0),
        ("ours, warm", 0, "ms", 100.0),
        ("Chromium per visit", 0, "CPU s", 2.0),
        ("ours, warm", 0, "CPU s", 0.2),
        ("ours, warm", 100, "ms", 450.0),
        ("HTTP alone", 100, "ms", 300.0),
    ):
        numbers.note(Kind("one phone changed", way, latency, unit), value)
    found = ratios(numbers)
    assert found.keys() >= NAMES
    assert found["usual_vs_warm_0ms"] == 15.0
    assert found["cpu_usual_vs_warm"] == 10.0
    assert found["warm_vs_floor_100ms"] == 1.5
    assert found["usual_vs_warm_100ms"] is None


@pytest.mark.browser
def test_a_run_visits_every_way_and_counts_the_requests() -> None:
    found = measure(Sizes(rounds=1, latencies=(0,)))
    assert {row["way"] for row in found["rows"]} >= {"Chromium per visit", "ours, warm", "HTTP alone"}
    assert found["figures"]["unchanged_requests"] <= 3
