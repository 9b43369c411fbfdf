"""A pack's file: found, read, and every mistake in it told with its line and what mends it.

Packs lie in folders beside this file; `FUSION_SYNC_PACK` names one of them, or the path of a folder elsewhere.
"""

from __future__ import annotations

import difflib
import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from fusion.pages.pack import Pack
from fusion.pages.roles import ROLES
from fusion.pages.spot import Data
from fusion.toml_lines import line_in, line_of
from listener.errors import SetupError

BUILT_IN = Path(__file__).parent
_FILE = "pack.toml"
_EXAMPLE = "`fusion_web` in the package is an example of a whole pack"


@dataclass(frozen=True, slots=True, kw_only=True)
class Mistake:
    """One mistake in a pack: where, what, and how to mend it. `key`: the way to it, "" where the file is unreadable."""

    file: str
    line: int
    key: str
    what: str
    mend: str

    def __str__(self) -> str:
        return f"{self.file} line {self.line}: {f'{self.key}: ' if self.key else ''}{self.what}"


def load_pack(name: str) -> Pack:
    """The pack of that name or folder. Raises SetupError with file, line and what is wrong there."""
    path = pack_path(name)
    return parse_pack(_read(path), where=str(path))


def parse_pack(text: str, *, where: str = _FILE) -> Pack:
    """The pack in that text; messages call it *where*."""
    pack, mistakes = examine(text, where=where)
    if pack is None:
        raise SetupError("; ".join(map(str, mistakes)), hint=mistakes[0].mend)
    return pack


def mistakes_in(name: str) -> list[Mistake]:
    """All mistakes in the pack of that name or folder, by line. Raises SetupError if there is no such pack."""
    path = pack_path(name)
    return examine(_read(path), where=str(path))[1]


def examine(text: str, *, where: str) -> tuple[Pack | None, list[Mistake]]:
    """The pack in that text, or its mistakes, by line."""
    try:
        return Pack.model_validate(tomllib.loads(text)), []
    except tomllib.TOMLDecodeError as wrong:
        what, mend = "not readable as TOML", "is a quote or a bracket before it left open?"
        return None, [Mistake(file=where, line=line_in(wrong, text), key="", what=what, mend=mend)]
    except ValidationError as wrong:
        return None, sorted(_mistakes(text, where, wrong), key=lambda mistake: mistake.line)


def pack_path(name: str) -> Path:
    """Where the pack of that name or folder lies, be it there or not."""
    return (Path(name) if "/" in name else BUILT_IN / name) / _FILE


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise SetupError(f"{path} is not written in UTF-8", hint="save it as UTF-8") from None
    except OSError:
        known = ", ".join(sorted(entry.parent.name for entry in BUILT_IN.glob(f"*/{_FILE}")))
        said = path.parent.name if path.is_relative_to(BUILT_IN) else str(path.parent)
        raise SetupError(
            f"there is no portal pack {said}", hint=f"set FUSION_SYNC_PACK to {known} or a folder with a {_FILE}"
        ) from None


def _mistakes(text: str, where: str, wrong: ValidationError) -> Iterator[Mistake]:
    for error in wrong.errors(include_url=False, include_context=False):
        path = tuple(str(part) for part in error["loc"] if part != "[key]")
        yield Mistake(
            file=where,
            line=line_of(path, text) or 1,
            key=".".join(path),
            what=error["msg"].removeprefix("Value error, "),
            mend=_mend(error["type"], path[-1] if path else "", error["input"], error["msg"]),
        )


def _mend(kind: str, key: str, given: Any, said: str) -> str:
    match kind:
        case "missing":
            return f"add {key}; {_EXAMPLE}"
        case "extra_forbidden":
            return _meant(key, _KEYS) or "take it out: nobody reads it"
        case "enum" | "literal_error":
            return _meant(given, re.findall(r"'([^']+)'", said)) or "take one of these"
        case "value_error" if isinstance(given, Mapping) and given.get("role", "") not in ROLES | {""}:
            return _meant(given["role"], ROLES) or "take a role that a screen reader knows"
        case "value_error":
            return "bring the two into line" if isinstance(given, Mapping) else "correct the value"
        case _:
            return f"correct the value; {_EXAMPLE}"


def _meant(given: Any, known: Iterable[str]) -> str:
    near = difflib.get_close_matches(str(given), list(known), n=1)
    return f"did you mean {near[0]}?" if near else ""


def _parts(part: type[Data]) -> Iterator[type[Data]]:
    for one in part.__subclasses__():
        yield one
        yield from _parts(one)


_KEYS = frozenset(field.alias or name for part in _parts(Data) for name, field in part.model_fields.items())
