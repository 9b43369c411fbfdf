"""The mapping file: what our own says, and that a mistake in a clinic's is told with its line."""

from __future__ import annotations

from pathlib import Path

import pytest

from fusion.mapping import DEFAULT, load_mapping
from fusion.mapping_file import Transform
from fusion.patient import Field
from fusion.toml_lines import line_of
from listener.errors import SetupError

OURS = DEFAULT.read_text("utf-8")


def complaint(tmp_path: Path, text: str) -> str:
    path = tmp_path / "mapping.toml"
    path.write_text(text, "utf-8")
    with pytest.raises(SetupError) as caught:
        load_mapping(path)
    assert caught.value.hint
    return str(caught.value).removeprefix(f"{tmp_path}/")


def changed(old: str, new: str) -> tuple[str, int]:
    """Our own mapping with that one line replaced, and the line's number."""
    lines = OURS.splitlines()
    at = lines.index(old)
    lines[at : at + 1] = new.splitlines()
    return "\n".join(lines), at + 1


def test_our_own_mapping_holds_every_field_of_the_chart() -> None:
    mapping = load_mapping(None)

    assert set(mapping.rules) == set(Field)
    assert mapping.object_name == "Patient__c"
    assert mapping.ready_field == "Ready_for_Fusion__c"
    assert mapping.own.portal_id == "Fusion_Web_Id__c"
    assert {rule.transform for rule in mapping.rules.values()} == set(Transform) - {Transform.UPPER}


def test_every_field_is_read_once_and_only_what_people_change_is_watched() -> None:
    mapping = load_mapping(None)

    assert len(set(mapping.reads)) == len(mapping.reads)
    assert set(mapping.reads) == {*mapping.mapped, *mapping.own.names(), "Ready_for_Fusion__c"}
    assert {"Guardian_First_Name__c", "Guardian_Last_Name__c", "Case_Notes__c"} <= mapping.mapped
    assert mapping.watched - mapping.mapped == {"Ready_for_Fusion__c", "Fusion_Resync_Requested__c", "Fusion_Web_Id__c"}
    assert "Fusion_Sync_Status__c" not in mapping.watched


def test_what_names_the_child_and_the_ssn_are_never_cleared() -> None:
    policy = load_mapping(None).policy

    assert [
        field for field in (Field.FIRST_NAME, Field.LAST_NAME, Field.BIRTH_DATE) if not policy[field].required
    ] == []
    kept = {Field.FIRST_NAME, Field.LAST_NAME, Field.BIRTH_DATE, Field.SSN, Field.NOTE}
    assert [field for field in kept if policy[field].may_clear] == []
    assert policy[Field.MIDDLE_NAME].may_clear


def test_labels_tell_the_fields_apart() -> None:
    labels = [policy.label for policy in load_mapping(None).policy.values()]
    assert len(set(labels)) == len(labels)


def test_an_unknown_transform_is_told_with_its_line_and_what_is_known(tmp_path: Path) -> None:
    text, line = changed('transform = "phone"', 'transform = "phnoe"')

    assert complaint(tmp_path, text) == (
        f'mapping.toml line {line}: unknown transform "phnoe"; known are text, multiline, date, phone, ssn, email, '
        "state, zip, upper, join, option"
    )


@pytest.mark.parametrize(
    ("old", "new", "offset", "said"),
    [
        ("[patient.nickname]", "[patient.nikname]", 0, 'unknown field "nikname"; known are first_name, '),
        ('label = "Guardian city"', 'label = "Guardian city"\nmay_claer = true', 1, 'unknown key "may_claer"'),
        ('label = "Guardian city"', "", -3, '"label" is missing'),
        ('label = "Guardian city"', 'label = " "', 0, "it must not be empty"),
        ('from = "Guardian_City__c"', 'from = "First_Name__c"', 0, "First_Name__c is used twice; [patient.first_name]"),
        ('from = "Guardian_City__c"', 'from = "first_name__C"', 0, "cannot be the API name"),
        ('from = "Guardian_City__c"', 'from = "FIRST_NAME__c"', 0, "FIRST_NAME__c is used twice"),
        ('from = "Guardian_City__c"', 'from = "Fusion_Sync_Error__c"', 0, "[salesforce.own] has it already"),
        ('from = "Guardian_City__c"', 'from = "Ready_for_Fusion__c"', 0, "[salesforce] has it already"),
        ('from = "Guardian_City__c"', 'from = "City FROM User"', 0, '"City FROM User" cannot be the API name'),
        ('from = "Guardian_City__c"', 'from = "Guardian__r.City"', 0, "cannot be the API name"),
        ('from = "Guardian_City__c"', 'from = "1City__c"', 0, "cannot be the API name"),
        ('from = "Guardian_City__c"', "from = 7", 0, '"from"'),
        ('from = "Guardian_City__c"', "from = []", 0, "it needs `from` or `value`"),
        ('from = "Guardian_City__c"', "", -1, "it needs `from` or `value`"),
        ('from = "Guardian_City__c"', 'from = ["A__c", "B__c"]', 0, 'several sources need the transform "join"'),
        ('from = "Guardian_City__c"', 'from = "A__c"\nvalue = "Cary"', 0, "a constant `value` takes no `from`"),
        ('value = "Evaluation"', 'value = ""', 0, "it must not be empty"),
        ('value = "Evaluation"', 'value = "Evaluation"\ntransform = "text"', 1, "takes no `transform`"),
        ('from = "Last_Name__c"', 'value = "Doe"', 0, "last_name is never the same for all patients"),
        ('Nonbinary = "Non-binary"', "Nonbinary = 3", 0, '"Nonbinary" must be text in quotes'),
        ('Nonbinary = "Non-binary"', 'female = "Female"', -3, "two options differ only in case"),
        ('transform = "zip"', 'transform = "option"', 0, "`options` go together"),
        ('transform = "date"', 'transform = "text"', 0, 'birth_date needs the transform "date"'),
        ('transform = "ssn"', "", -2, 'ssn needs the transform "ssn"'),
        ('label = "SSN"', 'label = "SSN"\nmay_clear = true', 1, "ssn is never cleared"),
        ('label = "Last name"', 'label = "Last name"\nmay_clear = true', 1, "never cleared"),
        ('alone_is_nothing = ["Self Pay"]', 'alone_is_nothing = ["Cash"]', 0, '"Cash" is not among the options'),
        ('alone_is_nothing = ["Self Pay"]', 'required = "yes"', 0, '"required" must be true or false'),
        ('object = "Patient__c"', 'object = "Patient__c; DROP"', 0, "cannot be the API name"),
        ('status = "Fusion_Sync_Status__c"', "", -2, '"status" is missing'),
        (
            'status = "Fusion_Sync_Status__c"',
            'status = "Fusion_Sync_Error__c"',
            2,
            "Fusion_Sync_Error__c is used twice",
        ),
        ('label = "Gender"', 'label = "Gender', 0, "not TOML"),
        ("[patient.gender]", "[patient.ssn]", 0, "not TOML"),
    ],
)
def test_a_mistake_is_told_with_its_line(tmp_path: Path, old: str, new: str, offset: int, said: str) -> None:
    text, line = changed(old, new)

    message = complaint(tmp_path, text)

    assert said in message
    assert message.startswith(f"mapping.toml line {line + offset}: ")


@pytest.mark.parametrize("field", ["first_name", "last_name", "birth_date"])
def test_a_mapping_without_what_names_the_child_is_refused(tmp_path: Path, field: str) -> None:
    text = "\n\n".join(part for part in OURS.split("\n\n") if f"[patient.{field}]" not in part)

    assert f"[patient.{field}] is missing" in complaint(tmp_path, text)


@pytest.mark.parametrize(
    ("field", "section"),
    [("guardian_name", "Contacts"), ("case_type", "Cases"), ("payer", "Payers"), ("member_id", "Payers")],
)
def test_rows_that_could_not_be_found_again_are_refused(tmp_path: Path, field: str, section: str) -> None:
    text = "\n\n".join(part for part in OURS.split("\n\n") if f"[patient.{field}]" not in part)

    message = complaint(tmp_path, text)

    assert f"[patient.{field}] is missing: without it our row in {section} is not found again" in message


def test_a_section_may_be_left_out_as_a_whole(tmp_path: Path) -> None:
    path = tmp_path / "mapping.toml"
    path.write_text(OURS.partition("# ---- Contacts")[0], "utf-8")

    mapping = load_mapping(path)

    assert Field.PHONE not in mapping.rules
    assert "Guardian_Phone__c" not in mapping.reads


def test_a_namespaced_field_and_a_standard_object_are_names_too(tmp_path: Path) -> None:
    path = tmp_path / "mapping.toml"
    text = OURS.replace('"Patient__c"', '"Contact"').replace('"Guardian_City__c"', '"clinic__Guardian_City__c"')
    path.write_text(text.replace('"First_Name__c"', '"FirstName"'), "utf-8")

    mapping = load_mapping(path)

    assert mapping.object_name == "Contact"
    assert {"clinic__Guardian_City__c", "FirstName"} <= mapping.mapped


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(SetupError, match=r"gone\.toml cannot be read"):
        load_mapping(tmp_path / "gone.toml")


def test_a_file_that_is_no_text_is_named(tmp_path: Path) -> None:
    (tmp_path / "image.toml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(SetupError, match=r"image\.toml cannot be read"):
        load_mapping(tmp_path / "image.toml")


def test_an_empty_file_says_what_is_missing(tmp_path: Path) -> None:
    assert complaint(tmp_path, "") == 'mapping.toml: "patient" is missing'


def test_a_line_is_found_behind_comments_quoted_keys_and_values_of_several_lines() -> None:
    text = 'a = """\n[b]\nc = 1\n"""\n# b.c\n\n[b]\n"x y" = [\n  1,\n]\n[b.d]\ne = { f = 1 }\n'

    assert line_of(("b",), text) == 7
    assert line_of(("b", "x y"), text) == 8
    assert line_of(("b", "d", "e", "f"), text) == 12
    assert line_of(("b", "nothing"), text) == 7
    assert line_of(("nothing",), text) is None
