"""What is kept of a page after a surprise: its structure as JSON, and a picture, with no word of a patient's.

Words are written only if the pack knows them, or if they stand in a label; and never one that the visit knows to be a
patient's value, wherever it stands.
"""

from __future__ import annotations

import asyncio
import contextlib
import difflib
import json
import os
import re
import secrets
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from playwright.async_api import Error as PlaywrightError

from fusion.codes import Code
from fusion.pages.masked import masked
from fusion.pages.pack import Pack
from fusion.pages.script import script
from fusion.pages.tab import Tab
from fusion.patient import folded

_READ = script("outline.js")
_OTHER = "(other)"


async def keep(tab: Tab, *, folder: Path, code: Code, now: datetime, values: Iterable[str]) -> str:
    """Write the outline, beside it a masked picture of the page, and return the path of the former.

    *values* are those that must not be in the outline; the picture has none in any case. Folder (0700) and files (0600)
    are for this user alone.
    """
    pack, words = tab.pack, set(_words(tab.pack))
    asked = {"dialog": pack.page.dialog, "words": sorted(words), "results": pack.search.row.each}
    things: list[dict[str, Any]] = await tab.evaluate(_READ, asked)
    page = scrubbed(things, values)
    told = {
        "at": now.isoformat(timespec="seconds"),
        "code": code.value,
        "pack": pack.name,
        "labels": labels_against(pack, [str(thing["label"]) for thing in page if "label" in thing]),
        "page": page,
    }
    path = folder / f"{now:%Y%m%dT%H%M%S}-{code.value}-{secrets.token_hex(3)}.json"
    await asyncio.to_thread(_write, path, json.dumps(told, ensure_ascii=False, indent=1).encode())
    # The words are worth more than the picture.
    with contextlib.suppress(PlaywrightError):
        picture = await masked(tab, words)
        await asyncio.to_thread(_write, path.with_suffix(".png"), picture)
    return str(path)


def labels_against(pack: Pack, found: Sequence[str]) -> list[str]:
    """The labels that the page has against those of the pack's sections of which it has any: -gone, +new, " same"."""
    found = [label for label in dict.fromkeys(found) if label != _OTHER]
    sections = [[entry.label for entry in form.fields.values()] for form in pack.sections.values()]
    expected = [label for labels in sections if set(labels) & set(found) for label in labels]
    return [line for line in difflib.ndiff(expected, found) if not line.startswith("?")]


def scrubbed(things: list[dict[str, Any]], values: Iterable[str]) -> list[dict[str, Any]]:
    """The outline without any text that contains one of the values."""
    known = [re.compile(rf"(?<!\w){re.escape(value)}(?!\w)") for value in {folded(value) for value in values} - {""}]

    def told(text: Any) -> Any:
        return _OTHER if isinstance(text, str) and any(value.search(folded(text)) for value in known) else text

    return [
        {key: value if key in ("tag", "role", "type") else told(value) for key, value in thing.items()}
        for thing in things
    ]


def _write(path: Path, data: bytes) -> None:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    path.parent.chmod(0o700)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(data)


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
