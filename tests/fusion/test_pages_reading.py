"""What page objects make of what a page showed, without a page: charts, search results, outlines."""

import copy
import json
from typing import Any

import pytest
from portal_people import AVA, PACK, a_patient, section_of

from fusion.codes import Code
from fusion.pages.chart import is_newer, page_from
from fusion.pages.locate import row_css
from fusion.pages.outline import scrubbed
from fusion.pages.search import hit_from, queries
from fusion.pages.values import shown
from fusion.patient import Field, Hit, Identity, Section
from fusion.portal import Refused

RESULT = {"id": "10234417", "name": "Example, Ava Grace", "birth_date": "03/04/2019", "phone": "(919) 555-0123"}


def raw_chart() -> dict[str, Any]:
    """Ava's chart as `chart.js` gives it: one row in each section."""
    sections: dict[str, Any] = {}
    for section, form in PACK.sections.items():
        pairs = [[entry.label, shown(entry, AVA[field], PACK.forms)] for field, entry in form.fields.items()]
        if section is Section.PATIENT:
            sections[section] = {"revision": "7", "pairs": [*pairs, ["Referred By", "Dr. Example"]], "rows": []}
        else:
            sections[section] = {"revision": "7", "pairs": [], "rows": [{"key": f"r-{section}", "pairs": pairs}]}
    return {"header": [["Patient ID", "10234417"], ["Birthdate", "03/04/2019"]], "sections": sections}


def test_a_chart_is_read_into_canonical_values() -> None:
    page = page_from(json.dumps(raw_chart()), PACK)
    assert page.shown.portal_id == "10234417"
    assert page.shown.values == section_of(AVA, Section.PATIENT)
    for section, rows in page.shown.rows.items():
        assert [(row.key, row.values) for row in rows] == [(f"r-{section}", section_of(AVA, section))]
    assert set(page.revisions.values()) == {"7"}


def test_a_value_that_cannot_be_read_stays_as_it_is_shown() -> None:
    raw = raw_chart()
    raw["sections"]["Patient"]["pairs"] = [
        [label, "sometime" if label == "Birthdate" else value] for label, value in raw["sections"]["Patient"]["pairs"]
    ]
    page = page_from(json.dumps(raw), PACK)
    assert page.shown.values[Field.BIRTH_DATE] == "sometime"
    assert page.shown.identity.birth_date is None


@pytest.mark.parametrize("label", ["Birthdate", "SSN"])
def test_a_label_that_is_missing_or_there_twice_is_named(label: str) -> None:
    missing, twice = raw_chart(), raw_chart()
    pairs = missing["sections"]["Patient"]["pairs"]
    missing["sections"]["Patient"]["pairs"] = [pair for pair in pairs if pair[0] != label]
    twice["sections"]["Patient"]["pairs"].append([label, ""])
    for raw, told in ((missing, f'expected "{label}"'), (twice, f'expected one "{label}"')):
        with pytest.raises(Refused) as refused:
            page_from(json.dumps(raw), PACK)
        assert (refused.value.code, refused.value.detail) == (Code.PORTAL_CHANGED, told)


def test_a_label_that_a_row_lacks_is_named_and_a_chart_without_an_id_is_none() -> None:
    row, nameless = raw_chart(), raw_chart()
    row["sections"]["Contacts"]["rows"][0]["pairs"].pop()
    nameless["header"] = []
    for raw, told in ((row, 'expected "Email"'), (nameless, 'expected "Patient ID"')):
        with pytest.raises(Refused) as refused:
            page_from(json.dumps(raw), PACK)
        assert refused.value.detail == told


def test_reading_changes_nothing_of_what_was_read() -> None:
    raw = raw_chart()
    before = copy.deepcopy(raw)
    page_from(json.dumps(raw), PACK)
    assert raw == before


@pytest.mark.parametrize(
    ("revision", "before", "newer"),
    [("10", "9", True), ("9", "10", False), ("9", "9", False), ("b", "a", True), ("a", "a", False), ("1", "", True)],
)
def test_revisions_are_compared_as_numbers_where_they_are(revision: str, before: str, newer: bool) -> None:
    assert is_newer(revision, before) is newer


def test_a_search_result_is_a_hit() -> None:
    born = a_patient().identity.birth_date
    assert hit_from(RESULT, a_patient(), PACK) == Hit(
        portal_id="10234417",
        identity=Identity(first_name="Ava", last_name="Example", birth_date=born),
        phone="+19195550123",
    )


def test_what_a_result_does_not_show_is_empty_and_one_without_a_name_is_refused() -> None:
    hit = hit_from({**RESULT, "birth_date": "", "phone": ""}, a_patient(), PACK)
    assert (hit.identity.birth_date, hit.phone) == (None, "")
    for broken in ({"id": ""}, {"name": "Example"}):
        with pytest.raises(Refused) as refused:
            hit_from({**RESULT, **broken}, a_patient(), PACK)
        assert refused.value.code is Code.PORTAL_CHANGED
        assert "Example" not in refused.value.detail


def test_each_thing_that_is_known_is_searched_once_as_it_is_written_there() -> None:
    assert list(queries(a_patient(), PACK)) == ["Example", "03/04/2019", "(919) 555-0123"]
    assert list(queries(a_patient(last_name="O", phone=""), PACK)) == ["03/04/2019"]


def test_a_row_is_found_whatever_its_key() -> None:
    assert row_css("article", "data-row", "41-a_b") == 'article[data-row="41-a_b"]'
    assert row_css("article", "data-row", 'x"] *') == r'article[data-row="x\22 \5d \20 \2a "]'


def test_an_outline_has_no_value_of_the_visit() -> None:
    things = [
        {"tag": "dt", "label": "Phone of Ava"},
        {"tag": "dt", "label": "Available"},
        {"tag": "div", "role": "ava"},
    ]
    assert scrubbed(things, ["Ava", ""]) == [
        {"tag": "dt", "label": "(other)"},
        {"tag": "dt", "label": "Available"},
        {"tag": "div", "role": "ava"},
    ]
