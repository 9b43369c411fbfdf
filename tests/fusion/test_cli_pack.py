"""`fusion-sync pack check`: each mistake with its line, what it is and what mends it."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from fusion.cli.pack import app
from fusion.pages.pack_file import BUILT_IN

TEXT = (BUILT_IN / "fusion_web" / "pack.toml").read_text(encoding="utf-8")


def check(folder: Path, text: str) -> tuple[int, list[tuple[int, str, str]]]:
    """Exit code, and (line, key, mend) of each mistake in that text."""
    (folder / "pack.toml").write_text(text, encoding="utf-8")
    done = CliRunner().invoke(app, ["check", str(folder), "--json"])
    told = json.loads(done.stdout)
    assert told["ok"] == (done.exit_code == 0)
    return done.exit_code, [(one["line"], one["key"], one["mend"]) for one in told["mistakes"]]


def line_with(text: str, words: str) -> int:
    return next(number for number, line in enumerate(text.splitlines(), start=1) if words in line)


@pytest.mark.parametrize("name", sorted(one.parent.name for one in BUILT_IN.glob("*/pack.toml")))
def test_every_pack_of_the_package_is_whole(name: str) -> None:
    done = CliRunner().invoke(app, ["check", name])
    assert (done.exit_code, "is whole" in done.stdout) == (0, True)


def test_all_mistakes_are_told_at_once_each_with_what_mends_it(tmp_path: Path) -> None:
    text = (
        TEXT.replace('click = { role = "button", name = "Log In" }', 'click = { role = "buton", name = "Log In" }')
        .replace("settled = '[role", "setled = '[role")
        .replace('kind = "date"', 'kind = "dat"')
        .replace('state = "captcha"', 'state = "captchas"')
    )
    code, mistakes = check(tmp_path, text)
    assert code == 1
    assert mistakes == [
        (line_with(text, '"buton"'), "login.steps.2.click.0", "did you mean button?"),
        (line_with(text, '"captchas"'), "stops.1.state", "did you mean captcha?"),
        (
            line_with(text, "[search]"),
            "search.settled",
            "add settled; `fusion_web` in the package is an example of a whole pack",
        ),
        (line_with(text, "setled ="), "search.setled", "did you mean settled?"),
        (line_with(text, '"dat"'), "sections.Patient.fields.birth_date.kind", "did you mean date?"),
    ]


def test_a_file_that_is_no_toml_is_told_with_the_line(tmp_path: Path) -> None:
    text = TEXT.replace("shortest = 2", 'shortest = "2')
    code, [(line, key, _)] = check(tmp_path, text)
    assert (code, line, key) == (1, line_with(text, 'shortest = "2'), "")


def test_people_see_a_table(tmp_path: Path) -> None:
    (tmp_path / "pack.toml").write_text(TEXT.replace("days = 90", "days = 'ninety'"), encoding="utf-8")
    done = CliRunner().invoke(app, ["check", str(tmp_path)])
    assert done.exit_code == 1
    assert all(words in done.stdout for words in ("password.days", "how to mend it", "correct the value"))
