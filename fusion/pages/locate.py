"""Spots of a pack as Playwright locators."""

from __future__ import annotations

import re
from functools import reduce
from typing import Any, cast

from playwright.async_api import FrameLocator, Locator, Page

from fusion.pages.spot import Spot

Place = Page | FrameLocator
"""A document: a page, or what a frame of it holds."""


def locate(scope: Place | Locator, spots: tuple[Spot, ...]) -> Locator:
    """Whatever any of the spots finds within *scope*; it may be hidden, several, or none."""
    return reduce(lambda one, other: one.or_(other), [_one(scope, spot) for spot in spots])


def visible(scope: Place | Locator, spots: tuple[Spot, ...]) -> Locator:
    """The first visible thing that any of the spots finds."""
    return locate(scope, spots).filter(visible=True).first


def row_css(rows: str, key_attribute: str, key: str) -> str:
    """CSS of the one row with that key, whatever characters the key has."""
    escaped = re.sub(r"[^\w-]", lambda char: f"\\{ord(char[0]):x} ", key)
    return f'{rows}[{key_attribute}="{escaped}"]'


def _one(scope: Place | Locator, spot: Spot) -> Locator:
    if spot.role is not None:
        # A pack may name any role; Playwright's list of literals is only known to its type checker.
        role = cast(Any, spot.role)
        found = scope.get_by_role(role) if spot.name is None else scope.get_by_role(role, name=spot.name, exact=True)
    elif spot.label is not None:
        found = scope.get_by_label(spot.label, exact=True)
    elif spot.row is not None:
        found = scope.locator(f"xpath={_in_row(spot.row)}")
    elif spot.css is not None:
        found = scope.locator(spot.css)
    else:
        return scope.get_by_text(spot.text or "")
    return found.filter(has_text=spot.text) if spot.text is not None else found


def _in_row(words: str) -> str:
    """XPath of the fields in table rows whose first cell has these words; what marks a label's end does not count."""
    quote = "'" if '"' in words else '"'
    first = f"normalize-space(translate(*[self::th or self::td][1], ':*', '')) = {quote}{words}{quote}"
    return f".//tr[{first}]//*[self::input[not(@type='hidden')] or self::select or self::textarea]"
