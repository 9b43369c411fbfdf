"""What is kept of a page after a surprise: its structure as JSON, with the portal's words and no patient's.

Words are written only if the pack knows them, or if they stand in a label; and never one that the visit knows to be a
patient's value, wherever it stands.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import secrets
from collections.abc import Iterable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

from fusion.codes import Code
from fusion.pages.pack import Pack
from fusion.pages.script import script
from fusion.pages.tab import Tab
from fusion.patient import folded

_READ = script("outline.js")


async def keep(tab: Tab, *, folder: Path, code: Code, now: datetime, values: Iterable[str]) -> str:
    """Write the outline and return its path. *values* are those that must not be in it.

    The folder can be read by this user only (0700), the file too (0600).
    """
    pack = tab.pack
    things: list[dict[str, Any]] = await tab.evaluate(
        _READ, {"dialog": pack.page.dialog, "words": sorted(set(_words(pack)))}
    )
    told = {
        "at": now.isoformat(timespec="seconds"),
        "code": code.value,
        "pack": pack.name,
        "page": scrubbed(things, values),
    }
    path = folder / f"{now:%Y%m%dT%H%M%S}-{code.value}-{secrets.token_hex(3)}.json"
    await asyncio.to_thread(_write, path, json.dumps(told, ensure_ascii=False, indent=1))
    return str(path)


def scrubbed(things: list[dict[str, Any]], values: Iterable[str]) -> list[dict[str, Any]]:
    """The outline without any text that contains one of the values."""
    known = [re.compile(rf"(?<!\w){re.escape(value)}(?!\w)") for value in {folded(value) for value in values} - {""}]

    def told(text: Any) -> Any:
        return "(other)" if isinstance(text, str) and any(value.search(folded(text)) for value in known) else text

    return [
        {key: value if key in ("tag", "role", "type") else told(value) for key, value in thing.items()}
        for thing in things
    ]


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    path.parent.chmod(0o700)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
        file.write(text)


def _words(pack: Pack) -> Iterator[str]:
    """Every word of the portal's that the pack knows."""

    def texts(data: Any) -> Iterator[str]:
        if isinstance(data, dict):
            for key, value in data.items():
                if key in ("name", "label") and isinstance(value, str):
                    yield value
                yield from texts(value)
        elif isinstance(data, list | tuple):
            for value in data:
                yield from texts(value)

    yield from texts(pack.model_dump(exclude={"search"}))
    for section in pack.sections:
        yield section.value
