"""Spots of a pack as Playwright locators."""

from __future__ import annotations

import re
from functools import reduce
from typing import Any, cast

from playwright.async_api import Locator, Page

from fusion.pages.spot import Spot


def locate(scope: Page | Locator, spots: tuple[Spot, ...]) -> Locator:
    """Whatever any of the spots finds within *scope*; it may be hidden, several, or none."""
    return reduce(lambda one, other: one.or_(other), [_one(scope, spot) for spot in spots])


def visible(scope: Page | Locator, spots: tuple[Spot, ...]) -> Locator:
    """The first visible thing that any of the spots finds."""
    return locate(scope, spots).filter(visible=True).first


def row_css(rows: str, key_attribute: str, key: str) -> str:
    """CSS of the one row with that key, whatever characters the key has."""
    escaped = re.sub(r"[^\w-]", lambda char: f"\\{ord(char[0]):x} ", key)
    return f'{rows}[{key_attribute}="{escaped}"]'


def _one(scope: Page | Locator, spot: Spot) -> Locator:
    if spot.role is not None:
        # A pack may name any role; Playwright's list of literals is only known to its type checker.
        role = cast(Any, spot.role)
        found = scope.get_by_role(role) if spot.name is None else scope.get_by_role(role, name=spot.name, exact=True)
    elif spot.label is not None:
        found = scope.get_by_label(spot.label, exact=True)
    elif spot.css is not None:
        found = scope.locator(spot.css)
    else:
        return scope.get_by_text(spot.text or "")
    return found.filter(has_text=spot.text) if spot.text is not None else found
