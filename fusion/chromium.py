"""Which Chromium drives the portal: the one that is set, one that is installed, or Playwright's own.

`python -m fusion.chromium` makes sure that there is one, and installs it where it can. Playwright's own builds come
from its download server, which some networks do not let through; a distribution's package does as well.
"""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from listener.errors import SetupError

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
_BUNDLES = (
    "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
    "/Applications/Chromium.app/Contents/MacOS/Chromium",
)
_HINT = "install Chromium or Google Chrome, or name its program in FUSION_SYNC_BROWSER"

Run = Callable[[Sequence[str]], int]
"""Runs a command for a person to watch, and gives its exit code."""
Starts = Callable[[str], bool]
"""Whether the program at that path starts at all: where libraries of the system are missing, it does not."""


def find(setting: str | None) -> str | None:
    """The path of the Chromium to use; None if there is none. Raises `SetupError` if the one that is set is not there.

    Asks the file system only: starting a browser to ask for its version would take longer than most visits.
    """
    if setting:
        path = Path(setting).expanduser()
        if path.is_file() and os.access(path, os.X_OK):
            return str(path)
        raise SetupError(
            "FUSION_SYNC_BROWSER names no program that can be run", hint="correct its path, or leave it out"
        )
    return _installed() or _playwrights()


def ensure(setting: str | None, *, starts: Starts, run: Run, say: Callable[[str], None]) -> str:
    """The path of a Chromium that starts, installed if there was none; says what it does, else raises `SetupError`."""
    found = _good(find(setting), starts)
    if found is None and setting:
        raise SetupError("FUSION_SYNC_BROWSER names a program that does not start", hint=_HINT)
    if found is None:
        say("No Chromium found; asking Playwright for its own …")
        if run([sys.executable, "-m", "playwright", "install", "chromium"]) != 0:
            say("Playwright could not install one.")
        found = _good(find(None), starts)
    if found is None and platform.system() == "Linux" and (apt_get := shutil.which("apt-get")):
        if os.geteuid() != 0:
            raise SetupError("no Chromium found", hint="as root: apt-get install chromium; then run this again")
        say("Installing the distribution's package …")
        if run([apt_get, "update", "-q"]) == 0:
            run([apt_get, "install", "-q", "-y", "--no-install-recommends", "chromium", "fonts-liberation"])
        found = _good(find(None), starts)
    if found is None:
        raise SetupError("no Chromium found", hint=_HINT)
    return found


def _good(path: str | None, starts: Starts) -> str | None:
    return path if path and starts(path) else None


def _installed(environ: Mapping[str, str] = os.environ) -> str | None:
    for name in NAMES:
        if path := shutil.which(name, path=environ.get("PATH")):
            return path
    return next((bundle for bundle in _BUNDLES if os.access(bundle, os.X_OK)), None)


def _playwrights() -> str | None:
    """Playwright's own, where it is installed: `<cache>/chromium-<build>/chrome-*/…`, the newest build first.

    Looked for by its folder, since asking Playwright starts a Node process ("Managing browser binaries",
    PLAYWRIGHT_BROWSERS_PATH). The build must be the one that this version of Playwright speaks to, but any Chromium
    of the last years does for what we ask of it.
    """
    given = os.environ.get("PLAYWRIGHT_BROWSERS_PATH")
    if given and given != "0":
        cache = Path(given)
    elif platform.system() == "Darwin":
        cache = Path.home() / "Library/Caches/ms-playwright"
    else:
        cache = Path.home() / ".cache/ms-playwright"
    programs = ("chrome-linux*/chrome", "chrome-mac*/*.app/Contents/MacOS/*")
    builds = [build for build in cache.glob("chromium-*") if build.name.removeprefix("chromium-").isdigit()]
    for build in sorted(builds, key=lambda one: int(one.name.removeprefix("chromium-")), reverse=True):
        for program in (path for pattern in programs for path in sorted(build.glob(pattern))):
            if os.access(program, os.X_OK):
                return str(program)
    return None


def _run(command: Sequence[str]) -> int:
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    return subprocess.run(command, check=False, env=environment).returncode  # noqa: S603 - fixed words and our own paths


def _say(line: str) -> None:
    print(line, flush=True)


def _starts(path: str) -> bool:
    try:
        asked = subprocess.run([path, "--version"], check=False, capture_output=True, timeout=30)  # noqa: S603
    except (OSError, subprocess.TimeoutExpired):
        return False
    return asked.returncode == 0


def main() -> int:
    """Say which Chromium is used, after installing one if need be; 78 where none can be had."""
    try:
        path = ensure(os.environ.get("FUSION_SYNC_BROWSER"), starts=_starts, run=_run, say=_say)
    except SetupError as error:
        print(f"{error}\n  → {error.hint}", file=sys.stderr)
        return 78
    _say(f"Chromium: {path}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
