"""What runs within a page: functions of JavaScript from the files beside this one."""

from __future__ import annotations

from pathlib import Path


def script(name: str) -> str:
    """The function in that file, without the comment before it and the semicolon after it."""
    lines = (Path(__file__).parent / name).read_text(encoding="utf-8").splitlines()
    return "\n".join(line for line in lines if not line.startswith("//")).strip().removesuffix(";")
