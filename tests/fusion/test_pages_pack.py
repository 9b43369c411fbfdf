"""Packs: the built-in one is whole, and a mistake in one is told with its line."""

import re
import typing
from pathlib import Path

import pytest
from playwright.async_api import Page

from fusion.pages.entry import Kind
from fusion.pages.pack_file import BUILT_IN, load_pack, parse_pack
from fusion.pages.roles import ROLES
from fusion.patient import Field, Section
from listener.errors import SetupError

TEXT = (BUILT_IN / "fusion_web" / "pack.toml").read_text(encoding="utf-8")


def line_with(text: str, words: str) -> int:
    return next(number for number, line in enumerate(text.splitlines(), start=1) if words in line)


def test_the_built_in_pack_has_every_field_and_section() -> None:
    pack = load_pack("fusion_web")
    assert all(pack.entry(field) is not None for field in Field)
    assert set(pack.sections) == set(Section)
    assert {entry.kind for form in pack.sections.values() for entry in form.fields.values()} == set(Kind)


def test_a_pack_may_lie_in_any_folder(tmp_path: Path) -> None:
    (tmp_path / "pack.toml").write_text(TEXT, encoding="utf-8")
    assert load_pack(str(tmp_path)) == load_pack("fusion_web")


def test_an_unknown_pack_is_refused_with_those_there_are() -> None:
    with pytest.raises(SetupError, match="no portal pack fusion_wob") as wrong:
        load_pack("fusion_wob")
    assert "fusion_web" in wrong.value.hint


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ('kind = "date"', 'kind = "dale"', "sections.Patient.fields.birth_date.kind"),
        ("shortest = 2", 'shortest = "two"', "search.shortest"),
        ('ssn = "###-##-####"', 'ssn = "###-##"', "ssn needs nine #"),
        ('date = "%m/%d/%Y"', 'date = "MM/DD/YYYY"', "date has no %Y, %m, %d"),
        ('chart = "/#/patients/{id}"', 'chart = "/#/patients"', "chart needs {id}"),
        ('{ role = "button", name = "Unlock" }', '{ rule = "button" }', "lock.submit"),
        ('cancel = { role = "button", name = "Cancel" }   #', 'cancle = { css = "b" } #', "cancle"),
        ('{ label = "Email" }', '{ label = "Email", css = "input" }', "one of role, label, row, css or text"),
        ('gender = { label = "Gender"', 'sex = { label = "Gender"', "sections.Patient.fields.sex"),
        ("synonyms = { Nonbinary =", "synonyms = { NB = 'X', Nonbinary =", "synonyms lead to no option: X"),
        ('menu = { role = "listbox", name = "Payer List" }, ', "", "a typeahead needs menu and option"),
        ('add = { role = "button", name = "+ Case" }', "", "rows and add go together"),
        (
            '"Birthdate", kind = "date"',
            '"Birthdate", kind = "date", gesture = "checks"',
            "checks is no gesture for date",
        ),
        ('"Birthdate", kind = "date"', '"Birthdate", kind = "date", gesture = "calendar"', "calendar as gesture and"),
        ('"State", kind = "select"', '"State", kind = "select", gesture = "choose"', "a choose needs menu and option"),
        ('"State", kind = "select"', '"State", kind = "select", gesture = "checks"', "checks need option and chosen"),
        (
            '"State", kind = "select"',
            '"State", kind = "select", gesture = "chose"',
            "sections.Contacts.fields.state.gesture",
        ),
        (
            '"State", kind = "select"',
            '"State", kind = "select", words = { NC = "N", SC = "N" }',
            "two words lead to one option",
        ),
        ("shortest = 2", "shortest = 2\nscroll = 'ul'", "scroll needs total"),
        ('filter = { css = ".search .kept button" }       #', "#", "unfilter is of filter"),
        ('revision = "data-revision"  ', "# ", "counts is of revision"),
        ('words = "captcha|robot|human"', 'words = "captcha|("', "not a regular expression"),
        ("(?P<last>[^,]+)", "(?P<last>[^,]+", "search.name: not a regular expression"),
    ],
)
def test_a_mistake_is_told_with_its_place(old: str, new: str, told: str) -> None:
    assert TEXT.count(old) == 1
    with pytest.raises(SetupError, match=re.escape(told)) as wrong:
        parse_pack(TEXT.replace(old, new))
    assert re.match(r"pack\.toml line \d+: ", str(wrong.value))


@pytest.mark.parametrize(
    ("old", "new"), [('kind = "date"', 'kind = "dale"'), ("shortest = 2", "shortest = ''"), ("[lock]  ", "[lock  ")]
)
def test_the_line_is_the_right_one(old: str, new: str) -> None:
    text = TEXT.replace(old, new)
    with pytest.raises(SetupError, match=rf"line {line_with(text, new)}:"):
        parse_pack(text)


def test_a_field_in_the_wrong_section_is_refused() -> None:
    moved = TEXT.replace(
        'nickname = { label = "Nickname", kind = "text" }', 'email = { label = "Mail", kind = "text" }'
    )
    with pytest.raises(SetupError, match="email not of section Patient"):
        parse_pack(moved)


def test_a_portal_may_lack_a_field_but_not_those_that_tell_patients_apart() -> None:
    without = TEXT.replace('nickname = { label = "Nickname", kind = "text" }\n', "")
    assert parse_pack(without).entry(Field.NICKNAME) is None
    with pytest.raises(SetupError, match="cannot be told apart without birth_date"):
        parse_pack(TEXT.replace('birth_date = { label = "Birthdate", kind = "date" }\n', ""))


@pytest.mark.parametrize("name", ["fusion_web", "harbor"])
def test_only_the_pack_names_what_is_on_the_page(name: str) -> None:
    """Another portal must be another pack: no module may know a label, a button or an address of this one."""
    pack, written = load_pack(name), (BUILT_IN / name / "pack.toml").read_text(encoding="utf-8")
    words = set(re.findall(r'(?:name|text|row) = "([^"]{4,})"', written)) | {name}
    words |= {route for route in pack.routes.model_dump().values() if route and len(route) > 1}
    words |= {entry.label for form in pack.sections.values() for entry in form.fields.values() if " " in entry.label}
    for module in [*BUILT_IN.glob("*.py"), *BUILT_IN.glob("*.js"), BUILT_IN.parent / "browser.py"]:
        text = module.read_text(encoding="utf-8")
        code = re.sub(r'""".*?"""|(?m:^\s*(?:#|//).*$)', "", text, flags=re.DOTALL)
        assert [word for word in words if f'"{word}"' in code or f"'{word}'" in code] == [], module.name


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("loads = true", "loads = false", "without chart.revision saves can only be told where page.loads"),
        ('link = "a"', 'link = "a"\nid = "b"', "either id or link"),
        ("(?P<id>\\d+)", "(\\d+)", "address must have the group (?P<id>…)"),
        ('row_key = "id"', 'row_key = "id"\nanswer = "{id}"', "chart.answer is not for charts in page.frame"),
        ('with = "username"', 'with = "user"', "login.steps.0.with"),
    ],
)
def test_what_only_other_portals_have_is_checked_too(old: str, new: str, told: str) -> None:
    text = (BUILT_IN / "harbor" / "pack.toml").read_text(encoding="utf-8")
    assert old in text
    with pytest.raises(SetupError, match=re.escape(told)):
        parse_pack(text.replace(old, new))


def test_the_roles_are_those_that_can_be_looked_for() -> None:
    assert set(typing.get_args(typing.get_type_hints(Page.get_by_role)["role"])) == ROLES
