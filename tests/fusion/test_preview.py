"""What a preview says is what a visit then does, field by field; and it writes nothing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from fusion.codes import Code
from fusion.patient import Field
from fusion.preview import Preview, Would, preview
from fusion.push import push
from listener.entry import CONFIRMED_NEW, Outcome
from listener.errors import EntryError, Outage
from listener.links import Link
from tests.fusion.desk import INTAKE, MAPPING, RECORD_ID, At, an_entry, put_chart, raising

LABELS = {name: rule.policy.label for name, rule in MAPPING.rules.items()}


async def previewed(at: At, *, beside: bool = False, **of_entry: Any) -> Preview:
    """What a visit would come to; at the same desk as the visit."""
    entry = an_entry(**of_entry) if of_entry else None
    found = await at.org.read("Patient__c", [RECORD_ID], MAPPING.reads)
    seen = await preview(RECORD_ID, found.get(RECORD_ID), at.desk(), entry=entry, beside=beside)
    assert (at.portal.inner.ledger, at.links.kept[1:], at.org.writes, at.clicks) == ([], [], [], 0)
    return seen


async def nothing(at: At) -> None:
    """No chart."""


async def complete(at: At) -> None:
    put_chart(at.portal.inner, INTAKE)


async def another_phone(at: At) -> None:
    put_chart(at.portal.inner, {**INTAKE, "Guardian_Phone__c": "(919) 555-0199", "Preferred_Name__c": "Mimi"})


async def no_rows(at: At) -> None:
    chart = put_chart(at.portal.inner, INTAKE, rows=False)
    await at.links.keep(Link(record_id=RECORD_ID, portal_id=chart, how="by_hand", identity=None))


async def twin(at: At) -> None:
    put_chart(at.portal.inner, {**INTAKE, "First_Name__c": "Zoe", "SSN__c": None})


@pytest.mark.parametrize(
    ("before", "would", "then"),
    [
        (nothing, Would.CREATE, Outcome.CREATED),
        (twin, Would.CREATE, Outcome.CREATED),
        (complete, Would.LINK, Outcome.LINKED),
        (another_phone, Would.LINK, Outcome.LINKED),
        (no_rows, Would.UPDATE, Outcome.UPDATED),
    ],
)
async def test_what_is_previewed_is_what_is_then_done(before: Callable[[At], Any], would: Would, then: Outcome) -> None:
    at = At()
    at.org.create(INTAKE)
    await before(at)
    seen = await previewed(at)
    result = await push(an_entry(), at.desk())
    assert (seen.would, result.outcome) == (would, then)
    assert seen.portal_id in (result.portal_id, None)
    done = [
        (section.value, LABELS[name], value[-4:])
        for _, _, section, values in at.portal.inner.ledger
        for name, value in values.items()
    ]
    assert sorted((step.section, step.label, step.new[-4:]) for step in seen.steps) == sorted(done)


async def test_the_old_value_is_the_charts_and_an_ssn_is_not_shown() -> None:
    at = At()
    at.org.create(INTAKE)
    put_chart(at.portal.inner, {**INTAKE, "Guardian_Phone__c": "(919) 555-0199", "SSN__c": None})
    steps = {step.label: step for step in (await previewed(at)).steps}
    assert (steps[LABELS[Field.PHONE]].old, steps[LABELS[Field.PHONE]].row) == ("+19195550199", "")
    assert (steps[LABELS[Field.SSN]].old, steps[LABELS[Field.SSN]].new) == ("", "•••-••-3456")
    assert "3456" not in repr(steps)


async def test_what_is_unclear_names_the_charts() -> None:
    at = At()
    at.org.create({**INTAKE, "First_Name__c": "William"})
    chart = put_chart(at.portal.inner, {**INTAKE, "First_Name__c": "Billy", "SSN__c": None})
    seen = await previewed(at)
    assert (seen.would, seen.code, [one for one, _ in seen.candidates]) == (
        Would.REFUSE,
        Code.AMBIGUOUS_MATCH,
        [chart],
    )
    assert (await push(an_entry(), at.desk())).code == Code.AMBIGUOUS_MATCH


async def test_the_record_is_shown_beside_each_chart_in_question_where_that_is_asked_for() -> None:
    at = At()
    at.org.create({**INTAKE, "First_Name__c": "William"})
    charts = [put_chart(at.portal.inner, {**INTAKE, "First_Name__c": name, "SSN__c": None}) for name in ("Bill", "Zoe")]
    assert (await previewed(at)).cards == ()
    seen = await previewed(at, beside=True)
    assert [one.portal_id for one in seen.cards] == charts[:1]
    assert seen.message.startswith(f"Chart {charts[0]} in the portal may be this patient, or not.")


async def test_a_linked_chart_with_another_name_is_shown_beside_the_record() -> None:
    at = At()
    at.org.create(INTAKE)
    chart = put_chart(at.portal.inner, {**INTAKE, "First_Name__c": "Zoe"})
    await at.links.keep(Link(record_id=RECORD_ID, portal_id=chart, how="by_hand", identity=None))
    seen = await previewed(at, beside=True)
    assert (seen.code, [one.portal_id for one in seen.cards]) == (Code.IDENTITY_MISMATCH, [chart])
    at.portal.inner.charts.clear()
    seen = await previewed(at, beside=True)
    assert (seen.code, seen.cards) == (Code.CHART_NOT_FOUND, ())


async def test_a_missing_value_is_told_without_a_look_at_the_portal() -> None:
    at = At()
    at.org.create({**INTAKE, "Date_of_Birth__c": None})
    seen = await previewed(at)
    assert (seen.would, seen.code, at.portal.calls) == (Would.REFUSE, Code.MISSING_FIELD, [])


async def test_a_doubt_and_a_persons_answer_count_as_in_the_visit() -> None:
    at = At()
    at.org.create(INTAKE)
    put_chart(at.portal.inner, {**INTAKE, "SSN__c": None}, rows=False)
    # Our own save may have made it: then the three that agree are enough.
    assert (await previewed(at, intent_fence=1)).would is Would.LINK
    assert (await previewed(at, code=CONFIRMED_NEW)).would is Would.CREATE
    assert (await previewed(at)).code is Code.AMBIGUOUS_MATCH


async def test_what_is_gone_or_not_ready_asks_for_nothing() -> None:
    at = At()
    assert (await previewed(at)).would is Would.NOTHING
    at.org.create({**INTAKE, "Ready_for_Fusion__c": False})
    assert (await previewed(at)).message == "The record is not marked as ready."


async def test_a_page_that_cannot_be_read_is_told_and_an_outage_is_raised() -> None:
    at = At()
    at.org.create(INTAKE)
    at.portal.at["find"] = raising(EntryError("the page did not do as it was told", hint="it is tried again"))
    assert (await previewed(at)).would is Would.UNREAD
    at.portal.at["find"] = raising(Outage("the portal is out"))
    with pytest.raises(Outage) as raised:
        await previewed(at)
    assert raised.value.lane == "portal"
