"""Which Chromium is used, and what is tried where there is none."""

import os
import platform
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from fusion import chromium
from listener.errors import SetupError


def a_program(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("#!/bin/sh\n")
    path.chmod(0o755)
    return path


def never(command: Sequence[str]) -> int:
    raise AssertionError(f"nothing was to be run: {command}")


@pytest.fixture
def bare(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A machine without any browser; programs put into the folder's `bin` are on its PATH."""
    (tmp_path / "bin").mkdir()
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    monkeypatch.setenv("PLAYWRIGHT_BROWSERS_PATH", str(tmp_path / "browsers"))
    monkeypatch.setattr(chromium, "_BUNDLES", ())
    return tmp_path


def test_the_one_that_is_set_is_used(bare: Path) -> None:
    a_program(bare / "bin/chromium")
    mine = a_program(bare / "mine")
    assert chromium.find(str(mine)) == str(mine)


@pytest.mark.parametrize("setting", ["nowhere", "."])
def test_a_set_one_that_cannot_be_run_is_never_passed_over(bare: Path, setting: str) -> None:
    a_program(bare / "bin/chromium")
    with pytest.raises(SetupError, match="FUSION_SYNC_BROWSER names no program"):
        chromium.find(str(bare / setting))


@pytest.mark.parametrize("name", chromium.NAMES)
def test_an_installed_one_is_found_by_its_usual_names(bare: Path, name: str) -> None:
    assert chromium.find(None) is None
    assert chromium.find("") is None
    assert a_program(bare / "bin" / name) == Path(chromium.find(None) or "")


def test_playwrights_own_newest_build_is_found(bare: Path) -> None:
    for build in ("chromium-999", "chromium-1200", "chromium_headless_shell-1300"):
        a_program(bare / "browsers" / build / "chrome-linux64/chrome")
    assert chromium.find(None) == str(bare / "browsers/chromium-1200/chrome-linux64/chrome")


def test_what_is_there_is_not_installed_again(bare: Path) -> None:
    path = str(a_program(bare / "bin/chromium"))
    assert chromium.ensure(None, starts=lambda one: one == path, run=never, say=pytest.fail) == path


def test_a_set_one_that_does_not_start_is_told(bare: Path) -> None:
    mine = a_program(bare / "mine")
    with pytest.raises(SetupError, match="FUSION_SYNC_BROWSER names a program that does not start"):
        chromium.ensure(str(mine), starts=lambda _: False, run=never, say=pytest.fail)


def test_playwrights_own_is_installed_where_there_is_none(bare: Path) -> None:
    ran: list[Sequence[str]] = []

    def run(command: Sequence[str]) -> int:
        ran.append(command)
        a_program(bare / "browsers/chromium-1200/chrome-linux/chrome")
        return 0

    found = chromium.ensure(None, starts=lambda _: True, run=run, say=lambda _: None)
    assert found.endswith("chromium-1200/chrome-linux/chrome")
    assert ran == [[sys.executable, "-m", "playwright", "install", "chromium"]]


def test_the_distributions_package_is_next_for_root(bare: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where Playwright's own is there, and libraries that it needs are not."""
    a_program(bare / "bin/apt-get")
    a_program(bare / "browsers/chromium-1200/chrome-linux/chrome")
    monkeypatch.setattr(platform, "system", lambda: "Linux")
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    said: list[str] = []

    def run(command: Sequence[str]) -> int:
        if "chromium" in command and "playwright" not in command:
            a_program(bare / "bin/chromium")
        return 0

    def starts(path: str) -> bool:
        return "browsers" not in path

    assert chromium.ensure(None, starts=starts, run=run, say=said.append) == str(bare / "bin/chromium")
    assert said == [
        "No Chromium found; asking Playwright for its own …",
        "Installing the distribution's package …",
    ]


@pytest.mark.parametrize(("user", "hint"), [(1000, "as root: apt-get install chromium"), (0, "install Chromium or")])
def test_where_none_can_be_had_the_next_move_is_named(
    bare: Path, monkeypatch: pytest.MonkeyPatch, user: int, hint: str
) -> None:
    a_program(bare / "bin/apt-get")
    monkeypatch.setattr(platform, "system", lambda: "Linux")
    monkeypatch.setattr(os, "geteuid", lambda: user)
    with pytest.raises(SetupError, match="no Chromium found") as caught:
        chromium.ensure(None, starts=lambda _: True, run=lambda _: 1, say=lambda _: None)
    assert caught.value.hint.startswith(hint)
