"""Log lines that cannot name a patient: fixed words, and fields from a list. All go to stderr; stdout is for results.

A field that is not on the list shows `[masked]`, whatever it holds. Exceptions show their class and where they were
raised, never the values around; their text is shown only if it is one of ours, since others quote what they choked on.
For the same reason a library's own log line shows only who said it, and where.
"""

from __future__ import annotations

import logging
import re
import sys
import threading
from collections.abc import Iterator, MutableMapping
from datetime import date, datetime, timedelta
from enum import Enum
from traceback import walk_tb
from types import TracebackType
from typing import Any, Literal, TextIO

import structlog

from listener.errors import SyncError

Format = Literal["auto", "console", "json"]
Level = Literal["debug", "info", "warning", "error"]

MASKED = "[masked]"
WORDS = frozenset(
    (
        # which
        "entry record object_name portal_id user_id replay_id fence worker channel lane kind step stage version "
        "section field fields row setting path evidence host port url pid signal logger where level timestamp "
        # how many, how long, since when
        "entries records messages events changes attempts failures calls used limit new own unwatched seen missed "
        "deleted gaps settled parked postponed lost released expired purged processes session "
        "seconds due_in since until start "
        # what it came to
        "state status outcome code grade roles source"
    ).split()
)
"""Fields whose values are numbers, moments or single words."""
SENTENCES = frozenset({"why", "hint", "error", "chore", "held", "holder"})
"""Fields that hold words of our own: an error's text, a chore's name."""
_WORD = re.compile(r"[^\s]{0,200}")
_FRAMES = 12


def set_up(*, form: Format = "auto", level: Level = "info", stream: TextIO | None = None) -> None:
    """Make this process log: for people in a terminal, else one JSON object a line. Changes the whole process."""
    stream = stream or sys.stderr
    console = form == "console" or (form == "auto" and stream.isatty())
    least = getattr(logging, level.upper())
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            told_errors,
            masked,
            structlog.dev.ConsoleRenderer(colors=stream.isatty())
            if console
            else structlog.processors.JSONRenderer(ensure_ascii=False),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(least),
        logger_factory=structlog.WriteLoggerFactory(stream),
        cache_logger_on_first_use=False,
    )
    root = logging.getLogger()
    root.handlers = [_FromLibraries(max(least, logging.WARNING))]
    root.setLevel(logging.WARNING)
    logging.captureWarnings(capture=True)
    sys.excepthook = _uncaught
    threading.excepthook = lambda args: _uncaught(args.exc_type, args.exc_value, args.exc_traceback)


def masked(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """The line with `[masked]` for every value that might be a patient's."""
    return {key: value if key == "event" else _passed(key, value) for key, value in event.items()}


def told_errors(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """The line with `error` in place of `exc_info`: one text for each exception of the chain, the outermost first."""
    raised = event.pop("exc_info", None)
    match raised:
        case BaseException():
            error: BaseException | None = raised
        case (_, BaseException() as error, _):
            pass
        case None | False:
            return event
        case _:
            error = sys.exc_info()[1]
    if error is not None:
        event["error"] = list(told(error))
    return event


def told(error: BaseException) -> Iterator[str]:
    """An exception and its causes: class and frames, with the text only of our own kinds."""
    seen: set[int] = set()
    waiting: list[BaseException] = [error]
    while waiting and len(seen) < 10:
        one = waiting.pop(0)
        if id(one) in seen:
            continue
        seen.add(id(one))
        frames = [
            f"{frame.f_globals.get('__name__', '?')}:{line} {frame.f_code.co_name}"
            for frame, line in walk_tb(one.__traceback__)
        ]
        text = f": {one}" if isinstance(one, SyncError) else ""
        yield f"{type(one).__module__}.{type(one).__qualname__}{text} at {' > '.join(frames[-_FRAMES:]) or '?'}"
        if isinstance(one, BaseExceptionGroup):
            waiting += one.exceptions
        before = one.__cause__ or (None if one.__suppress_context__ else one.__context__)
        if before is not None:
            waiting.append(before)


class _FromLibraries(logging.Handler):
    """What the libraries log, without their words: those may quote a payload, a header or a form."""

    def emit(self, record: logging.LogRecord) -> None:
        """One line: which logger, where in its code, and the exception's classes."""
        structlog.get_logger().log(
            record.levelno,
            "a library logged",
            logger=record.name,
            where=f"{record.module}:{record.lineno}",
            exc_info=record.exc_info if record.exc_info and record.exc_info[1] else None,
        )


def _passed(key: str, value: Any) -> Any:
    if key not in WORDS and key not in SENTENCES:
        return MASKED
    passed: Any
    match value:
        case Enum():
            passed = _passed(key, value.value)
        case None | bool() | int() | float():
            passed = value
        case datetime() | date():
            passed = value.isoformat()
        case timedelta():
            passed = value.total_seconds()
        case str() if key in SENTENCES or _WORD.fullmatch(value):
            passed = value
        case list() | tuple():
            passed = [_passed(key, one) for one in value]
        case set() | frozenset():
            passed = sorted(_passed(key, one) for one in value)
        case _:
            passed = MASKED
    return passed


def _uncaught(_kind: type[BaseException], error: BaseException | None, _traceback: TracebackType | None = None) -> None:
    if isinstance(error, KeyboardInterrupt):
        return
    structlog.get_logger().error("uncaught error", exc_info=error)
