"""One entry to one result: whose chart it is, what is typed, and what is asked of a person instead."""

from dataclasses import replace
from typing import Any

import pytest

from fusion import identity
from fusion.codes import Code
from fusion.patient import Field, Section
from fusion.portal import Overtaken, Refused
from fusion.push import push
from listener.entry import CONFIRMED_NEW, Outcome, ParkedReason, SyncResult
from listener.errors import EntryError, LeaseLost, Outage
from listener.gates import Lane
from listener.links import Link
from tests.fusion.desk import CANARIES, INTAKE, OTHER, OWN, RECORD_ID, At, an_entry, patient_of, put_chart, raising


def arranged(**changes: Any) -> At:
    """Mia's record as it is now, with those fields otherwise; the portal is empty."""
    at = At()
    assert at.org.create({**INTAKE, **changes}) == RECORD_ID
    return at


async def linked(at: At, portal_id: str, record: dict[str, Any] | None = None, *, how: str = "created") -> None:
    seen = patient_of(record or dict(INTAKE)).identity
    await at.links.keep(
        Link(record_id=RECORD_ID, portal_id=portal_id, how=how, identity=await identity.digest_of(seen))
    )


def doubtful() -> Any:
    """The entry as the next worker gets it after one that had clicked, or was about to."""
    return an_entry(fence=2, attempts=2, intent_fence=1)


def refused(result: SyncResult) -> tuple[str | None, ParkedReason | None]:
    assert result.outcome is Outcome.REFUSED
    assert result.message
    assert len(result.message) <= 255
    assert not any(canary in result.message for canary in CANARIES)
    return result.code, result.reason


# ---- a new patient


async def test_a_new_patient_gets_a_chart_with_every_row() -> None:
    at = arranged()
    result = await push(an_entry(), at.desk())
    assert result == SyncResult(outcome=Outcome.CREATED, portal_id="10000001")
    assert [(deed, section) for deed, section, _ in at.portal.deeds] == [
        ("create", Section.PATIENT),
        ("add", Section.CONTACTS),
        ("add", Section.CASES),
        ("add", Section.PAYERS),
        ("add", Section.NOTES),
    ]
    assert at.clicks == 5
    chart = at.portal.inner.charts["10000001"]
    wanted = patient_of(INTAKE)
    shown = dict(chart.values) | {
        name: text for rows in chart.rows.values() for row in rows for name, text in row.values.items()
    }
    assert {name: shown[name] for name in wanted.values} == dict(wanted.values)


async def test_the_link_is_kept_before_a_row_is_written() -> None:
    at = arranged()
    at.portal.at["update"] = raising(EntryError("cut off"))
    with pytest.raises(EntryError):
        await push(an_entry(), at.desk())
    link = await at.links.of_record(RECORD_ID)
    assert link is not None
    assert (link.portal_id, link.how) == ("10000001", "created")

    del at.portal.at["update"]
    result = await push(doubtful(), at.desk())
    assert (result.outcome, at.portal.creates) == (Outcome.UPDATED, 1)


async def test_a_new_chart_that_cannot_be_opened_yet_is_linked_and_never_made_again() -> None:
    at = arranged()

    async def vanish() -> None:
        at.portal.inner.charts.clear()

    at.portal.at["created"] = vanish
    with pytest.raises(EntryError):
        await push(an_entry(), at.desk())
    del at.portal.at["created"]
    assert refused(await push(doubtful(), at.desk())) == (Code.CHART_NOT_FOUND, ParkedReason.IDENTITY)
    assert at.portal.creates == 1


async def test_a_new_chart_that_shows_somebody_else_gets_no_rows() -> None:
    at = arranged()

    async def swap() -> None:
        at.portal.inner.charts.clear()
        put_chart(at.portal.inner, {**INTAKE, "First_Name__c": "Lena"}, rows=False)

    at.portal.at["created"] = swap
    assert refused(await push(an_entry(), at.desk())) == (Code.IDENTITY_MISMATCH, ParkedReason.IDENTITY)
    assert [deed for deed, *_ in at.portal.deeds] == ["create"]


async def test_a_twin_gets_a_chart_of_her_own() -> None:
    at = arranged()
    sister = put_chart(at.portal.inner, {**INTAKE, "First_Name__c": "Lena", "SSN__c": "900-12-3457"})
    before = at.portal.inner.charts[sister]
    result = await push(an_entry(), at.desk())
    assert result.outcome is Outcome.CREATED
    assert result.portal_id != sister
    assert at.portal.inner.charts[sister] == before


async def test_a_person_who_said_new_is_not_asked_again() -> None:
    at = arranged(SSN__c=None)
    put_chart(at.portal.inner, {**INTAKE, "Last_Name__c": "Sampel", "SSN__c": None})
    assert refused(await push(an_entry(), at.desk()))[0] == Code.AMBIGUOUS_MATCH
    result = await push(an_entry(code=CONFIRMED_NEW), at.desk())
    assert result.outcome is Outcome.CREATED


async def test_the_chart_that_a_duplicate_warning_is_about_is_matched_like_any_other() -> None:
    """Staff made it a moment ago, and the search did not know of it yet."""
    at = arranged()
    chart = put_chart(at.portal.inner, INTAKE)
    at.portal.blind = 1
    assert await push(an_entry(), at.desk()) == SyncResult(outcome=Outcome.LINKED, portal_id=chart)
    assert (at.portal.calls.count("find"), at.portal.creates) == (2, 0)


async def test_a_duplicate_warning_about_a_chart_that_is_not_certain_parks_and_names_it() -> None:
    at = arranged(SSN__c=None)
    chart = put_chart(at.portal.inner, {**INTAKE, "SSN__c": None}, rows=False)
    at.portal.blind = 1
    result = await push(an_entry(), at.desk())
    assert refused(result) == (Code.AMBIGUOUS_MATCH, ParkedReason.AMBIGUOUS)
    assert str(result.message).startswith(f"Chart {chart} in the portal")
    assert at.portal.deeds == []


async def away() -> None:
    raise Outage("the portal is away")


async def slow() -> None:
    raise EntryError("the search did not load")


@pytest.mark.parametrize("second_look", [None, away, slow])
async def test_a_duplicate_warning_about_a_chart_that_cannot_be_found_parks(second_look: Any) -> None:
    at = arranged()
    put_chart(at.portal.inner, INTAKE)
    at.portal.blind = 2

    async def then() -> None:
        if second_look is not None:
            at.portal.at["find"] = second_look

    at.portal.at["create"] = then
    assert refused(await push(an_entry(), at.desk())) == (Code.DUPLICATE_WARNING, ParkedReason.AMBIGUOUS)
    assert at.portal.deeds == []


async def test_a_warning_against_what_a_person_called_new_is_for_a_person() -> None:
    at = arranged()
    put_chart(at.portal.inner, INTAKE)
    assert refused(await push(an_entry(code=CONFIRMED_NEW), at.desk()))[0] == Code.DUPLICATE_WARNING
    assert (at.portal.calls.count("find"), at.portal.deeds) == (0, [])


async def test_a_chart_of_our_own_that_the_search_shows_only_now_is_taken() -> None:
    """A save that was cut off; the search shows it to nobody until the portal has warned of it."""
    at = arranged(SSN__c=None)
    chart = put_chart(at.portal.inner, {**INTAKE, "SSN__c": None}, rows=False)
    at.portal.blind = 2
    result = await push(doubtful(), at.desk())
    assert (result.outcome, result.portal_id, at.portal.creates) == (Outcome.CREATED, chart, 0)


# ---- a linked patient


async def test_a_linked_chart_is_typed_only_what_differs() -> None:
    at = arranged(Guardian_Phone__c="(919) 555-0199")
    await linked(at, portal_id := put_chart(at.portal.inner, INTAKE))
    result = await push(an_entry(), at.desk())
    assert result == SyncResult(outcome=Outcome.UPDATED, portal_id=portal_id)
    assert at.portal.deeds == [("save", Section.CONTACTS, (Field.PHONE,))]


async def test_a_linked_chart_that_shows_it_all_is_only_read() -> None:
    at = arranged()
    await linked(at, portal_id := put_chart(at.portal.inner, INTAKE))
    assert await push(an_entry(), at.desk()) == SyncResult(outcome=Outcome.UNCHANGED, portal_id=portal_id)
    assert (at.portal.calls, at.clicks) == (["read"], 0)


async def test_the_id_that_salesforce_holds_is_taken_for_a_link_if_the_chart_agrees() -> None:
    at = arranged(**{OWN.portal_id: "10000001"})
    portal_id = put_chart(at.portal.inner, INTAKE)
    assert await push(an_entry(), at.desk()) == SyncResult(outcome=Outcome.UNCHANGED, portal_id=portal_id)
    link = await at.links.of_record(RECORD_ID)
    assert link is not None
    assert (link.portal_id, link.how) == (portal_id, "matched")


async def test_the_id_that_salesforce_holds_is_refused_if_the_chart_is_another_childs() -> None:
    at = arranged(**{OWN.portal_id: "10000001"})
    put_chart(at.portal.inner, {**INTAKE, "First_Name__c": "Lena"})
    assert refused(await push(an_entry(), at.desk())) == (Code.IDENTITY_MISMATCH, ParkedReason.IDENTITY)
    assert (at.portal.deeds, at.links.kept) == ([], [])


async def test_the_id_that_salesforce_holds_is_refused_if_the_chart_is_another_records() -> None:
    at = arranged(**{OWN.portal_id: "10000001"})
    portal_id = put_chart(at.portal.inner, INTAKE)
    at.links.kept.append(Link(record_id=OTHER, portal_id=portal_id, how="created", identity=None))
    assert refused(await push(an_entry(), at.desk())) == (Code.LINKED_ELSEWHERE, ParkedReason.AMBIGUOUS)
    assert at.portal.deeds == []


async def test_another_id_than_the_linked_one_parks() -> None:
    at = arranged(**{OWN.portal_id: "10000099"})
    await linked(at, put_chart(at.portal.inner, INTAKE))
    assert refused(await push(an_entry(), at.desk())) == (Code.DIFFERENT_PORTAL_ID, ParkedReason.IDENTITY)
    assert at.portal.calls == []


async def test_a_linked_chart_that_is_gone_is_not_made_again() -> None:
    at = arranged()
    await linked(at, "10000001")
    assert refused(await push(an_entry(), at.desk())) == (Code.CHART_NOT_FOUND, ParkedReason.IDENTITY)
    assert at.portal.deeds == []


async def test_a_linked_chart_that_shows_a_stranger_is_not_written() -> None:
    at = arranged(Guardian_Phone__c="(919) 555-0199")
    await linked(at, put_chart(at.portal.inner, {**INTAKE, "First_Name__c": "Lena"}))
    assert refused(await push(an_entry(), at.desk())) == (Code.IDENTITY_MISMATCH, ParkedReason.IDENTITY)
    assert at.portal.deeds == []


@pytest.mark.parametrize(
    ("name", "corrected", "typed"),
    [
        ("First_Name__c", "Maria", Field.FIRST_NAME),
        ("Last_Name__c", "Simple", Field.LAST_NAME),
        ("Date_of_Birth__c", "2019-04-03", Field.BIRTH_DATE),
    ],
)
async def test_a_corrected_name_or_birth_date_is_known_by_the_digest_which_is_renewed(
    name: str, corrected: str, typed: Field
) -> None:
    at = arranged(**{name: corrected})
    await linked(at, portal_id := put_chart(at.portal.inner, INTAKE))
    assert await push(an_entry(), at.desk()) == SyncResult(outcome=Outcome.UPDATED, portal_id=portal_id)
    assert at.portal.deeds == [("save", Section.PATIENT, (typed,))]

    at.org.edit(RECORD_ID, {name: INTAKE[name]})
    assert (await push(an_entry(), at.desk())).outcome is Outcome.UPDATED
    at.org.edit(RECORD_ID, {name: corrected})
    assert (await push(an_entry(), at.desk())).outcome is Outcome.UPDATED


async def test_a_correction_that_staff_made_too_renews_the_digest() -> None:
    at = arranged(First_Name__c="Maria")
    await linked(at, put_chart(at.portal.inner, {**INTAKE, "First_Name__c": "Maria"}))
    assert (await push(an_entry(), at.desk())).outcome is Outcome.UNCHANGED
    at.org.edit(RECORD_ID, {"First_Name__c": "Marie"})
    assert (await push(an_entry(), at.desk())).outcome is Outcome.UPDATED


async def test_a_chart_that_was_linked_by_hand_is_known_by_a_digest_from_the_first_visit_on() -> None:
    at = arranged()
    portal_id = put_chart(at.portal.inner, INTAKE)
    await at.links.keep(Link(record_id=RECORD_ID, portal_id=portal_id, how="by_hand", identity=None))
    assert (await push(an_entry(), at.desk())).outcome is Outcome.UNCHANGED
    link = await at.links.of_record(RECORD_ID)
    assert link is not None
    assert link.how == "by_hand"
    assert await identity.is_of(patient_of(INTAKE).identity, link.identity or "")


async def test_a_chart_that_was_linked_by_hand_must_agree_all_the_same() -> None:
    at = arranged()
    portal_id = put_chart(at.portal.inner, {**INTAKE, "First_Name__c": "Lena"})
    await at.links.keep(Link(record_id=RECORD_ID, portal_id=portal_id, how="by_hand", identity=None))
    assert refused(await push(an_entry(), at.desk()))[0] == Code.IDENTITY_MISMATCH
    assert at.portal.deeds == []


async def test_what_reads_back_otherwise_is_not_called_saved() -> None:
    at = arranged(Guardian_Phone__c="(919) 555-0199")
    await linked(at, put_chart(at.portal.inner, INTAKE))
    chart = at.portal.inner.charts["10000001"]

    class Forgetful(type(at.portal)):  # type: ignore[misc]
        async def update(self, *args: Any, **kwargs: Any) -> Any:
            await super().update(*args, **kwargs)
            return chart

    at.portal = Forgetful(inner=at.portal.inner)
    with pytest.raises(EntryError, match="10000001 does not show what was saved: phone") as raised:
        await push(an_entry(), at.desk())
    assert not any(canary in str(raised.value) for canary in (*CANARIES, "0199"))


# ---- a patient whom the portal has already


async def test_a_certain_match_is_linked_and_brought_up_to_date() -> None:
    at = arranged(Guardian_Email__c="new@example.com")
    portal_id = put_chart(at.portal.inner, INTAKE)
    assert await push(an_entry(), at.desk()) == SyncResult(outcome=Outcome.LINKED, portal_id=portal_id)
    assert at.portal.deeds == [("save", Section.CONTACTS, (Field.EMAIL,))]
    link = await at.links.of_record(RECORD_ID)
    assert link is not None
    assert link.how == "matched"


async def test_a_certain_match_that_is_another_records_parks() -> None:
    at = arranged()
    portal_id = put_chart(at.portal.inner, INTAKE)
    at.links.kept.append(Link(record_id=OTHER, portal_id=portal_id, how="created", identity=None))
    assert refused(await push(an_entry(), at.desk())) == (Code.LINKED_ELSEWHERE, ParkedReason.AMBIGUOUS)
    assert at.portal.deeds == []


@pytest.mark.parametrize(
    "shown",
    [
        {"rows": False, "SSN__c": None},  # probable: name and birth date alone
        {"Last_Name__c": "Sampel"},  # possible
        {"Date_of_Birth__c": "2019-04-03"},
        {"SSN__c": "900-12-9999"},  # a contradiction
    ],
)
async def test_less_than_certain_is_asked_of_a_person_and_nothing_is_written(shown: dict[str, Any]) -> None:
    at = arranged()
    put_chart(at.portal.inner, {**INTAKE, **shown}, rows=shown.get("rows", True))
    assert refused(await push(an_entry(), at.desk())) == (Code.AMBIGUOUS_MATCH, ParkedReason.AMBIGUOUS)
    assert (at.portal.deeds, at.links.kept) == ([], [])


async def test_the_same_child_twice_in_the_portal_is_asked_of_a_person() -> None:
    at = arranged()
    for _ in range(2):
        put_chart(at.portal.inner, INTAKE)
    assert refused(await push(an_entry(), at.desk())) == (Code.AMBIGUOUS_MATCH, ParkedReason.AMBIGUOUS)


async def test_more_charts_than_can_be_compared_are_asked_of_a_person() -> None:
    at = arranged()
    for _ in range(9):
        put_chart(at.portal.inner, INTAKE)
    assert refused(await push(an_entry(), at.desk()))[0] == Code.AMBIGUOUS_MATCH
    assert "read" not in at.portal.calls


# ---- nothing to do, and bad data


@pytest.mark.parametrize("state", ["purged", "deleted", "not ready"])
@pytest.mark.parametrize("has_chart", [False, True])
@pytest.mark.parametrize("in_doubt", [False, True])
async def test_a_record_without_anything_to_do(state: str, has_chart: bool, in_doubt: bool) -> None:
    at = arranged()
    if has_chart:
        await linked(at, put_chart(at.portal.inner, INTAKE))
    match state:
        case "purged":
            at.org.records.clear()
        case "deleted":
            at.org.delete(RECORD_ID)
        case _:
            at.org.edit(RECORD_ID, {"Ready_for_Fusion__c": False})
    result = await push(doubtful() if in_doubt else an_entry(), at.desk())
    assert at.portal.calls == []
    if has_chart and state != "not ready":
        assert refused(result) == (Code.DELETED_IN_SALESFORCE, ParkedReason.DELETED)
    elif in_doubt and not has_chart:
        assert refused(result) == (Code.IN_DOUBT, ParkedReason.IN_DOUBT)
    else:
        assert (result.outcome, result.portal_id) == (Outcome.SKIPPED, None)


@pytest.mark.parametrize(
    ("changes", "code", "label"),
    [
        ({"Date_of_Birth__c": None}, Code.MISSING_FIELD, "Date of birth"),
        ({"SSN__c": "XXX-XX-3456"}, Code.MASKED_SSN, "SSN"),
        ({"Gender__c": "Other"}, Code.UNKNOWN_OPTION, "Gender"),
        ({"Guardian_Phone__c": "12"}, Code.REJECTED_VALUE, "Guardian phone"),
    ],
)
async def test_bad_data_is_refused_by_its_label(changes: dict[str, Any], code: Code, label: str) -> None:
    at = arranged(**changes)
    result = await push(an_entry(), at.desk())
    assert refused(result) == (code, ParkedReason.BAD_DATA)
    assert label in (result.message or "")
    assert at.portal.calls == []


async def test_bad_data_does_not_push_a_doubt_aside() -> None:
    at = arranged(Date_of_Birth__c=None)
    assert refused(await push(doubtful(), at.desk())) == (Code.MISSING_FIELD, ParkedReason.IN_DOUBT)


# ---- in doubt


async def test_a_save_that_was_cut_off_is_found_and_not_made_twice() -> None:
    at = arranged()
    at.portal.inner.lose_reply = True
    with pytest.raises(EntryError):
        await push(an_entry(), at.desk())
    assert (at.portal.creates, at.links.kept) == (1, [])
    result = await push(doubtful(), at.desk())
    assert result == SyncResult(outcome=Outcome.CREATED, portal_id="10000001")
    assert at.portal.creates == 1
    link = await at.links.of_record(RECORD_ID)
    assert link is not None
    assert link.how == "created"


async def test_a_save_that_the_search_shows_late_is_found_at_the_second_look() -> None:
    at = arranged()
    put_chart(at.portal.inner, INTAKE, rows=False)
    at.portal.blind = 1
    assert (await push(doubtful(), at.desk())).outcome is Outcome.CREATED
    assert at.portal.creates == 0
    assert at.portal.calls.count("find") == 2


async def test_a_save_that_is_surely_absent_is_done_after_a_second_look() -> None:
    at = arranged()
    result = await push(doubtful(), at.desk())
    assert (result.outcome, at.portal.creates, at.portal.calls.count("find")) == (Outcome.CREATED, 1, 2)


async def test_one_look_is_enough_where_there_is_no_doubt() -> None:
    at = arranged()
    await push(an_entry(), at.desk())
    assert at.portal.calls.count("find") == 1


async def test_an_unclear_trace_of_a_save_is_asked_of_a_person() -> None:
    at = arranged()
    put_chart(at.portal.inner, {**INTAKE, "First_Name__c": "Mya"}, rows=False)
    assert refused(await push(doubtful(), at.desk())) == (Code.IN_DOUBT, ParkedReason.IN_DOUBT)
    assert at.portal.deeds == []


async def test_two_traces_of_a_save_are_asked_of_a_person() -> None:
    at = arranged()
    for _ in range(2):
        put_chart(at.portal.inner, INTAKE, rows=False)
    assert refused(await push(doubtful(), at.desk())) == (Code.IN_DOUBT, ParkedReason.IN_DOUBT)


async def test_a_trace_that_is_another_records_chart_is_not_adopted() -> None:
    at = arranged()
    portal_id = put_chart(at.portal.inner, INTAKE, rows=False)
    at.links.kept.append(Link(record_id=OTHER, portal_id=portal_id, how="created", identity=None))
    assert refused(await push(doubtful(), at.desk()))[0] == Code.LINKED_ELSEWHERE
    assert await at.links.of_record(RECORD_ID) is None


async def test_a_person_who_said_new_does_not_end_a_later_doubt() -> None:
    at = arranged()
    put_chart(at.portal.inner, INTAKE, rows=False)
    result = await push(an_entry(code=CONFIRMED_NEW, fence=2, intent_fence=1), at.desk())
    assert (result.outcome, at.portal.creates) == (Outcome.CREATED, 0)


@pytest.mark.parametrize("code", [Code.UNEXPECTED_PAGE, Code.PORTAL_CHANGED, Code.NOT_SAVED])
async def test_a_page_that_cannot_be_read_after_the_click_leaves_a_doubt(code: Code) -> None:
    at = arranged()
    at.portal.at["click"] = raising(Refused(code, "a dialog"))
    assert refused(await push(an_entry(), at.desk())) == (code, ParkedReason.IN_DOUBT)


async def test_a_page_that_cannot_be_read_before_the_click_leaves_none() -> None:
    at = arranged()
    at.portal.at["create"] = raising(Refused(Code.PORTAL_CHANGED, 'expected "Birthdate"'))
    assert refused(await push(an_entry(), at.desk())) == (Code.PORTAL_CHANGED, ParkedReason.EXHAUSTED)


@pytest.mark.parametrize("entry", [an_entry(), doubtful()])
async def test_a_value_that_the_portal_will_not_have_leaves_no_doubt(entry: Any) -> None:
    at = arranged()
    at.portal.at["click"] = raising(Refused(Code.REJECTED_VALUE, "Zip"))
    assert refused(await push(entry, at.desk())) == (Code.REJECTED_VALUE, ParkedReason.BAD_DATA)


async def test_a_page_that_cannot_be_read_while_updating_a_linked_chart_leaves_no_doubt() -> None:
    at = arranged(Guardian_Phone__c="(919) 555-0199")
    await linked(at, put_chart(at.portal.inner, INTAKE))
    at.portal.at["click"] = raising(Refused(Code.UNEXPECTED_PAGE, "a dialog"))
    assert refused(await push(an_entry(), at.desk())) == (Code.UNEXPECTED_PAGE, ParkedReason.EXHAUSTED)


# ---- not ours, not there


@pytest.mark.parametrize("has_chart", [False, True])
async def test_a_lost_lease_stops_the_click_and_comes_out_unchanged(has_chart: bool) -> None:
    at = arranged(Guardian_Phone__c="(919) 555-0199")
    if has_chart:
        await linked(at, put_chart(at.portal.inner, INTAKE))
    at.refuse_click = LeaseLost("taken over")
    with pytest.raises(LeaseLost, match="taken over"):
        await push(an_entry(), at.desk())
    assert at.portal.deeds == []


@pytest.mark.parametrize("moment", ["find", "read", "create", "click", "update"])
async def test_an_outage_of_the_portal_is_on_its_lane(moment: str) -> None:
    at = arranged()
    at.portal.at[moment] = raising(Outage("the portal is away"))
    desk = at.desk()
    with pytest.raises(Outage) as raised:
        await push(an_entry(), desk)
    assert raised.value.lane is Lane.PORTAL
    assert desk.heard == {Lane.SALESFORCE}


async def test_an_outage_of_salesforce_is_on_its_lane() -> None:
    at = arranged()
    at.org.outages.append(Outage("the org is away"))
    desk = at.desk()
    with pytest.raises(Outage) as raised:
        await push(an_entry(), desk)
    assert raised.value.lane is Lane.SALESFORCE
    assert desk.heard == set()


async def test_who_answered_with_a_no_was_heard() -> None:
    at = arranged()
    at.portal.at["create"] = raising(Refused(Code.UNEXPECTED_PAGE, "a dialog"))
    desk = at.desk()
    await push(an_entry(), desk)
    assert desk.heard == {Lane.SALESFORCE, Lane.PORTAL}


async def test_bad_data_says_nothing_of_the_portal() -> None:
    at = arranged(Date_of_Birth__c=None)
    desk = at.desk()
    await push(an_entry(), desk)
    assert desk.heard == {Lane.SALESFORCE}


# ---- staff at the same chart


async def test_a_visit_that_is_overtaken_again_and_again_is_made_later() -> None:
    at = arranged(Preferred_Name__c="Vee")
    portal_id = put_chart(at.portal.inner, dict(INTAKE))
    await linked(at, portal_id)

    async def staff_saves() -> None:
        chart = at.portal.inner.charts[portal_id]
        middle = f"{chart.values[Field.MIDDLE_NAME]}a"
        at.portal.inner.charts[portal_id] = replace(chart, values={**chart.values, Field.MIDDLE_NAME: middle})

    at.portal.at["update"] = staff_saves
    with pytest.raises(Overtaken):
        await push(an_entry(), at.desk())
    assert (at.portal.deeds, at.clicks) == ([], 0)
    del at.portal.at["update"]
    assert (await push(an_entry(), at.desk())).outcome is Outcome.UPDATED


async def test_a_chart_that_staff_gave_another_name_meanwhile_is_not_written_to() -> None:
    at = arranged(Preferred_Name__c="Vee")
    portal_id = put_chart(at.portal.inner, dict(INTAKE))
    await linked(at, portal_id)

    async def staff_saves() -> None:
        chart = at.portal.inner.charts[portal_id]
        at.portal.inner.charts[portal_id] = replace(chart, values={**chart.values, Field.FIRST_NAME: "Zoe"})
        del at.portal.at["update"]
        raise Overtaken("changed")

    at.portal.at["update"] = staff_saves
    assert refused(await push(an_entry(), at.desk())) == (Code.IDENTITY_MISMATCH, ParkedReason.IDENTITY)
    assert at.portal.deeds == []
