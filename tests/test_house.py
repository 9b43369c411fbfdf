"""Rules here that no linter knows: names at the top, sizes, logs, made-up people, and a README that is true."""

import ast
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from fusion import settings
from fusion.cli import COMMANDS
from listener import log

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
TOP = {"listener", "fusion", "migrations", "tests", "sfdx", "pyproject.toml", "README.md"}
BESIDE = {"Makefile", "LICENSE", "constraints.txt"}
SOURCES = sorted(one for folder in ("listener", "fusion", "migrations") for one in (ROOT / folder).rglob("*.py"))


def kept() -> list[Path]:
    """Every file that is or would be committed."""
    if shutil.which("git") is None or not (ROOT / ".git").exists():
        pytest.skip("not a git checkout, so what belongs to it is not known")
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        text=True,
        capture_output=True,
        check=True,
    )
    return [path for name in listed.stdout.splitlines() if (path := ROOT / name).is_file()]


def lines_of(paths: list[Path]) -> Iterator[tuple[str, str]]:
    """Every line of text with where it is."""
    for path in paths:
        try:
            text = path.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue
        for number, line in enumerate(text.splitlines(), start=1):
            yield f"{path.relative_to(ROOT)}:{number}", line


def test_the_top_level_holds_only_what_belongs_there() -> None:
    found = {path.relative_to(ROOT).parts[0] for path in kept()}
    assert {name for name in found if not name.startswith(".")} <= TOP | BESIDE


def test_no_source_file_has_two_subjects() -> None:
    long = {str(one.relative_to(ROOT)): n for one in SOURCES if (n := len(one.read_text().splitlines())) > 350}
    assert long == {}


def test_every_source_file_says_what_it_is_for() -> None:
    silent = [
        str(one.relative_to(ROOT))
        for one in SOURCES
        if one.read_text().strip() and not ast.get_docstring(ast.parse(one.read_text()))
    ]
    assert silent == []


def test_no_file_names_a_package_registry() -> None:
    hosts = [
        ".".join(parts) for parts in (("pypi", "org"), ("pythonhosted", "org"), ("npmjs", "org"), ("npmjs", "com"))
    ]
    options = ["--index" + "-url", "--extra-index" + "-url", "--find" + "-links"]
    found = [where for where, line in lines_of(kept()) if any(word in line for word in hosts + options)]
    assert found == []


def test_constraints_pin_by_version_alone() -> None:
    pins = (ROOT / "constraints.txt").read_text().splitlines()
    assert [pin for pin in pins if not re.fullmatch(r"[A-Za-z0-9._-]+==[A-Za-z0-9.!+]+", pin)] == []


def test_every_social_security_number_here_is_made_up() -> None:
    """Numbers that begin with 9 are never given out (20 CFR 422.103; 9xx is the range of taxpayer numbers)."""
    given_out = re.compile(r"(?<![\w-])[0-8]\d{2}-\d{2}-\d{4}(?![\w-])")
    impossible = re.compile(r"(000|666)-\d{2}-\d{4}|\d{3}-00-\d{4}|\d{3}-\d{2}-0000|123-45-6789|078-05-1120")
    found = [
        where
        for where, line in lines_of(kept())
        for number in given_out.findall(line)
        if not impossible.fullmatch(number)
    ]
    assert found == []


def test_every_telephone_number_here_is_made_up() -> None:
    """555-0100 to 555-0199 are kept free for fiction (North American Numbering Plan)."""
    written = re.compile(r"(?:\(\d{3}\) ?|\+1[ .-]?\d{3}[ .-]?)(\d{3}[ .-]?\d{4})(?!\w)")
    found = [
        f"{where} {number}"
        for where, line in lines_of(kept())
        for number in written.findall(line)
        if not re.fullmatch(r"55501\d\d|9999999", re.sub(r"\D", "", number))  # nines: a form's mask
    ]
    assert found == []


def test_log_lines_are_fixed_words_and_listed_fields() -> None:
    """What is not on the list is masked at run time; here it is found before."""
    wrong: list[str] = []
    for path in SOURCES:
        if "standin" in path.parts:
            continue
        for call in ast.walk(ast.parse(path.read_text())):
            if not (isinstance(call, ast.Call) and isinstance(call.func, ast.Attribute)):
                continue
            if not (isinstance(call.func.value, ast.Name) and call.func.value.id == "log"):
                continue
            where = f"{path.relative_to(ROOT)}:{call.lineno}"
            words = call.args[1:] if call.func.attr == "log" else call.args
            if call.func.attr in ("set_up", "bind"):
                continue
            if len(words) != 1 or not isinstance(words[0], ast.Constant):
                wrong.append(f"{where} says something else than one fixed sentence")
            fields = {str(one.arg) for one in call.keywords} - {"exc_info"}
            wrong += [f"{where} has the field {one}" for one in sorted(fields - log.WORDS - log.SENTENCES)]
    assert wrong == []


@pytest.mark.parametrize("name", sorted(one.name for one in settings.listed(env_file=None)))
def test_the_readme_has_every_setting(name: str) -> None:
    assert f"`{name}`" in README


@pytest.mark.parametrize("name", [name for commands in COMMANDS.values() for name in commands])
def test_the_readme_has_every_command(name: str) -> None:
    commands = "\n".join(line for line in README.splitlines() if "`fusion-sync " in line)
    assert re.search(rf"`(fusion-sync )?{name}\b", commands)


def test_the_readme_tells_the_defaults_that_are_in_force() -> None:
    for one in settings.listed(env_file=None):
        row = next((line for line in README.splitlines() if line.startswith(f"| `{one.name}` |")), "")
        if one.origin == "default" and one.value is not None:
            assert f"| `{one.value}` |" in row, one.name
        if one.origin == "not set":
            assert "**required**" in row, one.name
