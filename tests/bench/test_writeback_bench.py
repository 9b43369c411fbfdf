"""What the benchmark of telling Salesforce counts. How fast anything is, no test says."""

from collections.abc import Iterator

import pytest
import structlog

from tests.bench.writeback import Sizes, measure


@pytest.fixture(autouse=True)
def _log() -> Iterator[None]:
    """The benchmark logs errors alone; whoever comes next logs as before."""
    before = structlog.get_config()
    yield
    structlog.configure(**before)


def test_a_run_counts_the_calls_of_many_answers_and_of_each() -> None:
    found = measure(Sizes(waiting=200, alone=2))
    assert found["figures"]["api_calls_per_1000"] == 10  # a reading and a write for two hundred
    assert found["figures"]["tell_p50_ms"] > 0
    (alone,) = [row["value"] for row in found["rows"] if row["what"] == "one by one, a patient"]
    assert alone <= 3
