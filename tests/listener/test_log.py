"""No patient's value reaches a log line, by whichever way it tries: canaries say so."""

import io
import json
import logging
import sys
import threading
import warnings
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import structlog

from listener import log
from listener.entry import State
from listener.errors import EntryError, Outage

CANARIES = ("Canary Yellowbird", "900-12-3456", "+19195550123", "canary@example.com", "04/05/2019")


class Lines(io.StringIO):
    """The log of one test."""

    @property
    def last(self) -> dict[str, Any]:
        return dict(json.loads(self.getvalue().splitlines()[-1]))


@pytest.fixture
def lines() -> Iterator[Lines]:
    """A process that logs JSON into memory, and is as before afterwards; no canary may be in it."""
    root, hooks = logging.getLogger(), (sys.excepthook, threading.excepthook)
    before = (root.handlers, root.level, structlog.get_config())
    kept = Lines()
    log.set_up(form="json", level="debug", stream=kept)
    yield kept
    logging.captureWarnings(capture=False)
    root.handlers, level, config = before
    root.setLevel(level)
    structlog.configure(**config)
    sys.excepthook, threading.excepthook = hooks
    assert not [one for one in CANARIES if one in kept.getvalue()]


def test_ids_counts_states_and_moments_pass(lines: Lines) -> None:
    structlog.get_logger().info(
        "entry worked",
        entry=41,
        record="a0P000000000001AAA",
        state=State.PUSHED,
        seconds=1.5,
        due_in=timedelta(minutes=2),
        since=datetime(2026, 1, 2, tzinfo=UTC),
        roles=frozenset({"work", "listen"}),
        why="the database is not answering (OperationalError)",
    )
    told = lines.last
    assert told.pop("timestamp")
    assert told == {
        "event": "entry worked",
        "level": "info",
        "entry": 41,
        "record": "a0P000000000001AAA",
        "state": "PUSHED",
        "seconds": 1.5,
        "due_in": 120.0,
        "since": "2026-01-02T00:00:00+00:00",
        "roles": ["listen", "work"],
        "why": "the database is not answering (OperationalError)",
    }


@pytest.mark.parametrize("canary", CANARIES)
def test_a_field_that_is_not_on_the_list_is_masked(lines: Lines, canary: str) -> None:
    structlog.get_logger().info("x", patient=canary, name=canary, value=[canary], record={"Name": canary}, state=object)
    assert {lines.last[key] for key in ("patient", "name", "value", "record", "state")} == {log.MASKED}


def test_a_word_field_takes_no_sentence(lines: Lines) -> None:
    structlog.get_logger().info("x", state=CANARIES[0], records=["a0P000000000001AAA", CANARIES[0]])
    assert lines.last["state"] == log.MASKED
    assert lines.last["records"] == ["a0P000000000001AAA", log.MASKED]


def test_bound_context_is_masked_too(lines: Lines) -> None:
    with structlog.contextvars.bound_contextvars(entry=7, patient=CANARIES[0]):
        structlog.get_logger().bind(phone=CANARIES[2]).warning("x")
    assert (lines.last["entry"], lines.last["patient"], lines.last["phone"]) == (7, log.MASKED, log.MASKED)


def test_an_exception_is_told_by_class_and_place_without_its_words_or_values(lines: Lines) -> None:
    def visit() -> None:
        patient = CANARIES[0]
        try:
            int(patient)
        except ValueError as error:
            raise KeyError(CANARIES[1]) from error

    try:
        visit()
    except KeyError:
        structlog.get_logger().exception("entry failed", entry=3)
    first, second = lines.last["error"]
    assert first.startswith("builtins.KeyError at ")
    assert first.endswith(" visit")
    assert second.startswith("builtins.ValueError at ")


def test_our_own_errors_keep_their_words(lines: Lines) -> None:
    group = ExceptionGroup("several", [Outage("the org is not answering"), TypeError(CANARIES[3])])
    structlog.get_logger().error("outage", exc_info=group)
    several, outage, other = lines.last["error"]
    assert several.startswith("builtins.ExceptionGroup at")
    assert outage.startswith("listener.errors.Outage: the org is not answering at")
    assert other.startswith("builtins.TypeError at")


def test_an_error_that_causes_itself_ends(lines: Lines) -> None:
    error = EntryError("round and round")
    error.__context__ = error
    structlog.get_logger().error("outage", exc_info=error)
    assert len(lines.last["error"]) == 1


@pytest.mark.parametrize(
    "name", ["aiohttp.client", "aiocometd_ng.client", "sqlalchemy.engine", "playwright", "asyncio"]
)
def test_a_library_is_quoted_by_name_only(lines: Lines, name: str) -> None:
    logging.getLogger(name).info("below the level: %s", CANARIES[0])
    assert lines.getvalue() == ""
    try:
        int(CANARIES[0])
    except ValueError:
        logging.getLogger(name).exception("payload %s", CANARIES[1], extra={"patient": CANARIES[2]})
    told = lines.last
    assert (told["event"], told["logger"], told["level"]) == ("a library logged", name, "error")
    assert told["where"].startswith("test_log:")
    assert told["error"][0].startswith("builtins.ValueError at ")


def test_a_warning_of_python_is_quoted_by_name_only(lines: Lines) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        logging.captureWarnings(capture=False)
        logging.captureWarnings(capture=True)
        warnings.warn(CANARIES[0], stacklevel=1)
        logging.captureWarnings(capture=False)
    assert lines.last["logger"] == "py.warnings"


def test_what_nobody_caught_is_told_without_values(lines: Lines) -> None:
    def fail() -> None:
        raise RuntimeError(CANARIES[0])

    thread = threading.Thread(target=fail)
    thread.start()
    thread.join()
    assert lines.last["event"] == "uncaught error"
    try:
        fail()
    except RuntimeError as error:
        sys.excepthook(RuntimeError, error, error.__traceback__)
    assert len(lines.getvalue().splitlines()) == 2


def test_lines_below_the_level_are_not_written(lines: Lines) -> None:
    log.set_up(form="json", level="warning", stream=lines)
    structlog.get_logger().info("x")
    assert lines.getvalue() == ""


def test_a_terminal_gets_lines_for_people(lines: Lines) -> None:
    class Terminal(Lines):
        def isatty(self) -> bool:
            return True

    terminal = Terminal()
    log.set_up(stream=terminal)
    structlog.get_logger().info("entry worked", entry=41, patient=CANARIES[0])
    assert "\x1b[" in terminal.getvalue()
    assert "entry worked" in terminal.getvalue()
    assert CANARIES[0] not in terminal.getvalue()
