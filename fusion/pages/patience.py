"""How long the portal is waited for."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """How long to wait, in seconds: for a page, for one thing on it, for a save's evidence, for a list to drop down."""

    page: float = 20.0
    action: float = 5.0
    save: float = 20.0
    menu: float = 2.0
