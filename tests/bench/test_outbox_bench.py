"""What the benchmark makes of its numbers. How fast anything is, no test says."""

from pathlib import Path

import pytest

from fusion.cli.bench import benchmarks
from listener.errors import SetupError
from tests.bench.numbers import Numbers
from tests.bench.outbox import Kind, ratios

NAMES = {
    "claim_finish_vs_procrastinate",
    "append_batch_vs_procrastinate",
    "growth_1m_vs_0",
    "one_record_10k_vs_1",
}


def test_a_ratio_is_the_median_of_the_rounds_own() -> None:
    numbers, ours, theirs = Numbers(), Kind("w", "ours", "postgres"), Kind("w", "theirs", "postgres")
    for mine, other in ((10.0, 10.0), (3.0, 1.0), (100.0, 50.0)):
        numbers.note(ours, mine)
        numbers.note(theirs, other)
    assert numbers.ratio(ours, theirs) == 2.0
    assert [row["median"] for row in numbers.rows()] == [10.0, 10.0]


def test_every_ratio_is_there_also_where_nothing_was_measured() -> None:
    found = ratios(Numbers())
    assert found.keys() >= NAMES
    assert set(found.values()) == {None}


def test_growth_is_that_of_the_database_where_it_is_worse() -> None:
    numbers = Numbers()
    for database, cost in (("postgres", 1.1), ("sqlite", 1.3)):
        numbers.note(Kind("claim", "ours, 0 finished rows", database, unit="ms"), 1.0)
        numbers.note(Kind("claim", "ours, 1,000,000 finished rows", database, unit="ms"), cost)
    assert ratios(numbers)["growth_1m_vs_0"] == 1.3


def test_without_a_checkout_one_sentence_says_so(tmp_path: Path) -> None:
    with pytest.raises(SetupError, match="part of a checkout"):
        benchmarks("outbox", (), tmp_path)
