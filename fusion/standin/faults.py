"""Faults on demand: rules that make chosen requests slow, fail, or lose their reply after the deed was done."""

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass


class BadRule(ValueError):
    """The rule can't be read; the message names the key."""


@dataclass(slots=True, kw_only=True)
class Fault:
    """One rule. Empty `kinds` and `path` match every request under /api/.

    `kinds` are names of requests (`login code resend expired terms password unlock session search payers read
    create add save logout`); `path` is a regular expression searched in the path. The first `skip` matches pass,
    the next `times` are hit. `delay` is in seconds. `status` is answered, or `cut` breaks the connection, in place
    of the deed; with `after_commit` in place of its reply. A rule with neither only delays. `bare` cuts before the
    reply's head: Chromium then sends the request again by itself, even a POST. `notice` (title, text) is shown by
    the page as a dialog nobody expects, and `alert` by the browser itself, which holds up the page; with `status` in
    place of any message of the page's own.
    """

    kinds: tuple[str, ...] = ()
    path: str = ""
    times: int = 1
    skip: int = 0
    status: int | None = None
    cut: bool = False
    bare: bool = False
    delay: float = 0.0
    after_commit: bool = False
    notice: tuple[str, str] | None = None
    alert: str | None = None

    @property
    def breaks(self) -> bool:
        """Whether the reply is replaced."""
        return self.cut or self.status is not None

    def matches(self, kind: str, path: str) -> bool:
        """Whether this rule is about such a request."""
        return (not self.kinds or kind in self.kinds) and (not self.path or re.search(self.path, path) is not None)

    def as_json(self) -> dict[str, object]:
        """The rule as data, with what is left of `skip` and `times`."""
        return asdict(self)


def fault_from(rule: Mapping[str, object]) -> Fault:
    """The rule of a JSON object; BadRule when a key or its type is unknown. `kind` is accepted for a single one."""
    left = dict(rule)
    kinds = left.pop("kinds", left.pop("kind", ()))
    names = (kinds,) if isinstance(kinds, str) else kinds
    if not isinstance(names, list | tuple) or not all(isinstance(name, str) for name in names):
        raise BadRule("kinds: a list of request kinds")
    fault = Fault(kinds=tuple(names))
    kinds_of_value: dict[str, type | tuple[type, ...]] = {
        "path": str,
        "times": int,
        "skip": int,
        "status": int,
        "cut": bool,
        "bare": bool,
        "delay": (int, float),
        "after_commit": bool,
        "alert": str,
    }
    notice = left.pop("notice", None)
    if notice is not None:
        if not isinstance(notice, dict) or set(notice) != {"title", "text"}:
            raise BadRule("notice: an object with title and text")
        fault.notice = (str(notice["title"]), str(notice["text"]))
    for key, value in left.items():
        if key not in kinds_of_value or not isinstance(value, kinds_of_value[key]):
            raise BadRule(f"{key}: no such key, or not of its type")
        setattr(fault, key, value)
    if fault.path:
        try:
            re.compile(fault.path)
        except re.error:
            raise BadRule("path: not a regular expression") from None
    return fault


class Faults:
    """The rules in force, first match first."""

    def __init__(self) -> None:
        self._rules: list[Fault] = []

    def add(self, fault: Fault) -> None:
        """Put a rule in force after those that are."""
        self._rules.append(fault)

    def clear(self) -> None:
        """Drop all rules."""
        self._rules.clear()

    def rules(self) -> list[Fault]:
        """Rules in force, each with what is left of its counts."""
        return list(self._rules)

    def take(self, kind: str, path: str) -> Fault | None:
        """The rule that hits this request, counted down; None when it passes."""
        for fault in self._rules:
            if not fault.matches(kind, path):
                continue
            if fault.skip > 0:
                fault.skip -= 1
                continue
            fault.times -= 1
            if fault.times <= 0:
                # By identity: two rules may read the same.
                self._rules = [rule for rule in self._rules if rule is not fault]
            return fault
        return None
