"""On which line of a TOML file a key stands, so that a mistake in it can be told with its place. Pure.

Found by parsing: the shortest readable beginning of the file that has the key ends with it. A grammar of our own would
be quicker and wrong about some quoted key; this runs only when the file is wrong anyway.
"""

from __future__ import annotations

import re
import tomllib
from typing import Any

Keys = tuple[str, ...]
"""The way to a value: `("patient", "phone", "transform")`; in an array by number, `("login", "steps", "0")`."""


def line_of(keys: Keys, text: str) -> int | None:
    """The line on which that key begins, or the nearest of its parents; None if not even the first is there."""
    lines, best, depth, readable = text.splitlines(), None, 0, 0
    for count in range(1, len(lines) + 1):
        try:
            data = tomllib.loads("\n".join(lines[:count]))
        except tomllib.TOMLDecodeError:
            continue  # within a value of several lines
        if (reached := _depth(keys, data)) > depth:
            best, depth = readable + 1, reached
        readable = count
    return best


def line_in(error: tomllib.TOMLDecodeError, text: str) -> int:
    """The line that a parser's message speaks of; the last one where it says "at end of document"."""
    found = re.search(r"line (\d+)", str(error))
    return int(found[1]) if found else len(text.splitlines())


def _depth(keys: Keys, data: Any) -> int:
    """How many of the keys lead on from each other."""
    for depth, key in enumerate(keys):
        if isinstance(data, list) and key.isdecimal() and int(key) < len(data):
            data = data[int(key)]
        elif isinstance(data, dict) and key in data:
            data = data[key]
        else:
            return depth
    return len(keys)
