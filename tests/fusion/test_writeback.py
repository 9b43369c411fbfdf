"""What Salesforce is told, and what becomes of its answers."""

from datetime import UTC, datetime
from typing import Any

import pytest

from fusion.codes import Code
from fusion.writeback import Answer, Told, fields_for, tell
from listener.change import RecordId
from listener.entry import OutboxEntry, Outcome, ParkedReason, State, SyncResult
from listener.errors import Outage
from listener.gates import Lane
from listener.org import RecordError
from tests.factories import make_entry
from tests.fake_org import FakeOrg
from tests.fusion.desk import CANARIES, INTAKE, NOON, OWN, RECORD_ID, an_entry

CHART = "10000001"
MOMENT = "2026-11-24T12:00:00+00:00"
SYNCED = {OWN.portal_id: CHART, OWN.status: "Synced", OWN.error_code: None, OWN.error: None}


def pushed(outcome: Outcome = Outcome.UPDATED, **other: Any) -> OutboxEntry:
    portal_id = None if outcome in (Outcome.REFUSED, Outcome.SKIPPED, Outcome.FAILED) else CHART
    return an_entry().pushed(SyncResult(**{"outcome": outcome, "portal_id": portal_id, **other}))


def refused(code: Code, detail: str = "") -> OutboxEntry:
    return pushed(Outcome.REFUSED, code=code, message=code.sentence(detail), reason=code.reason)


async def told(org: FakeOrg, *entries: OutboxEntry) -> dict[int, Told]:
    return dict(await tell(entries, org=org, own=OWN, now=NOON))


# ---- which fields


def test_a_new_chart_is_told_with_its_id_and_the_time() -> None:
    assert fields_for(pushed(Outcome.CREATED), {}, OWN, now=NOON) == {
        OWN.portal_id: CHART,
        OWN.status: "Synced",
        OWN.last_attempt_at: MOMENT,
        OWN.synced_at: MOMENT,
    }


def test_nothing_is_written_for_an_unchanged_patient() -> None:
    assert fields_for(pushed(Outcome.UNCHANGED), SYNCED, OWN, now=NOON) == {}


@pytest.mark.parametrize("outcome", [Outcome.UPDATED, Outcome.LINKED, Outcome.CREATED])
def test_a_visit_that_saved_something_tells_when(outcome: Outcome) -> None:
    assert fields_for(pushed(outcome), SYNCED, OWN, now=NOON) == {OWN.last_attempt_at: MOMENT, OWN.synced_at: MOMENT}


def test_only_what_differs_is_written() -> None:
    held = {**SYNCED, OWN.status: "Needs Attention", OWN.error_code: "missing_field", OWN.error: "Old."}
    assert fields_for(pushed(Outcome.UNCHANGED), held, OWN, now=NOON) == {
        OWN.status: "Synced",
        OWN.error_code: None,
        OWN.error: None,
        OWN.last_attempt_at: MOMENT,
        OWN.synced_at: MOMENT,
    }


def test_a_resync_that_was_asked_for_is_ticked_off() -> None:
    asked = {**SYNCED, OWN.resync_requested: True}
    written = fields_for(pushed(Outcome.UNCHANGED), asked, OWN, now=NOON)
    assert written[OWN.resync_requested] is False


@pytest.mark.parametrize("code", Code)
def test_a_refusal_is_told_with_code_and_sentence_and_no_time_of_success(code: Code) -> None:
    written = fields_for(refused(code, "Date of birth"), {}, OWN, now=NOON)
    assert written == {
        OWN.status: "Needs Attention",
        OWN.error_code: str(code),
        OWN.error: code.sentence("Date of birth"),
        OWN.last_attempt_at: MOMENT,
    }
    assert len(written[OWN.error]) <= 255


def test_a_refusal_that_is_known_already_makes_no_write() -> None:
    entry = refused(Code.MISSING_FIELD, "Date of birth")
    held = {OWN.status: "Needs Attention", OWN.error_code: entry.code, OWN.error: entry.message}
    assert fields_for(entry, held, OWN, now=NOON) == {}


def test_a_refusal_takes_no_id_away() -> None:
    assert OWN.portal_id not in fields_for(refused(Code.MISSING_FIELD), {OWN.portal_id: CHART}, OWN, now=NOON)


def test_another_id_is_never_overwritten() -> None:
    assert fields_for(pushed(Outcome.CREATED), {**SYNCED, OWN.portal_id: "10000099"}, OWN, now=NOON) == {
        OWN.status: "Needs Attention",
        OWN.error_code: "different_portal_id",
        OWN.error: Code.DIFFERENT_PORTAL_ID.sentence(),
        OWN.last_attempt_at: MOMENT,
    }


def test_the_time_is_told_with_its_zone() -> None:
    written = fields_for(pushed(), SYNCED, OWN, now=datetime(2026, 11, 24, 12, 0, 0, 987654, tzinfo=UTC))
    assert written[OWN.synced_at] == MOMENT


# ---- telling


async def test_the_record_says_what_the_entry_says() -> None:
    org = FakeOrg()
    org.create(INTAKE)
    assert await told(org, pushed(Outcome.CREATED)) == {41: Told(answer=Answer.TOLD)}
    assert {name: org.records[RECORD_ID].get(name) for name in SYNCED} == SYNCED
    assert len(org.writes) == 1


async def test_an_unchanged_patient_makes_no_call() -> None:
    org = FakeOrg()
    org.create({**INTAKE, **SYNCED})
    assert await told(org, pushed(Outcome.UNCHANGED)) == {41: Told(answer=Answer.TOLD)}
    assert org.writes == []


async def test_what_was_skipped_is_not_told_nor_read() -> None:
    org = FakeOrg()
    org.outages.append(Outage("never asked"))
    assert await told(org, pushed(Outcome.SKIPPED)) == {41: Told(answer=Answer.TOLD)}
    assert len(org.outages) == 1


@pytest.mark.parametrize("purged", [False, True])
async def test_a_deleted_record_counts_as_told(purged: bool) -> None:
    org = FakeOrg()
    org.create(INTAKE)
    org.records.clear() if purged else org.delete(RECORD_ID)
    assert await told(org, pushed()) == {41: Told(answer=Answer.TOLD)}
    assert org.writes == []


@pytest.mark.parametrize("code", ["ENTITY_IS_DELETED", "NOT_FOUND"])
async def test_a_record_that_went_while_we_told_counts_as_told(code: str) -> None:
    org = FakeOrg()
    org.refusals[org.create(INTAKE)] = RecordError(code=code)
    assert await told(org, pushed()) == {41: Told(answer=Answer.TOLD)}


async def test_a_locked_record_is_told_again_later() -> None:
    org = FakeOrg()
    org.refusals[org.create(INTAKE)] = RecordError(code="UNABLE_TO_LOCK_ROW")
    assert (await told(org, pushed()))[41].answer is Answer.AGAIN


async def test_a_validation_rule_is_a_persons_to_mend() -> None:
    org = FakeOrg()
    org.refusals[org.create(INTAKE)] = RecordError(
        code="FIELD_CUSTOM_VALIDATION_EXCEPTION", fields=("Guardian_Phone__c",)
    )
    answer = (await told(org, pushed()))[41]
    assert (answer.answer, answer.reason) == (Answer.WILL_NOT, ParkedReason.NOT_TOLD)
    assert answer.code == "FIELD_CUSTOM_VALIDATION_EXCEPTION"
    assert "Guardian_Phone__c" in answer.message
    assert not any(canary in answer.message for canary in CANARIES)


async def test_a_long_list_of_fields_does_not_make_the_sentence_too_long() -> None:
    org = FakeOrg()
    org.refusals[org.create(INTAKE)] = RecordError(code="X" * 60, fields=tuple(f"Field_{n}__c" for n in range(50)))
    assert len((await told(org, pushed()))[41].message) <= 255


async def test_another_id_parks_on_both_sides() -> None:
    org = FakeOrg()
    org.create({**INTAKE, **SYNCED, OWN.portal_id: "10000099"})
    answer = (await told(org, pushed(Outcome.CREATED)))[41]
    assert (answer.answer, answer.code, answer.reason) == (
        Answer.WILL_NOT,
        Code.DIFFERENT_PORTAL_ID,
        ParkedReason.IDENTITY,
    )
    record = org.records[RECORD_ID]
    assert (record[OWN.portal_id], record[OWN.status]) == ("10000099", "Needs Attention")


async def test_another_id_is_told_again_later_where_the_record_is_locked() -> None:
    org = FakeOrg()
    org.create({**INTAKE, OWN.portal_id: "10000099"})
    org.refusals[RECORD_ID] = RecordError(code="UNABLE_TO_LOCK_ROW")
    assert (await told(org, pushed(Outcome.CREATED)))[41].answer is Answer.AGAIN


@pytest.mark.parametrize("at", [0, 1])
async def test_an_outage_of_salesforce_is_on_its_lane(at: int) -> None:
    org = FakeOrg()
    org.create(INTAKE)

    class Away(FakeOrg):
        calls = 0

        def _answer(self, *args: Any) -> None:
            self.calls += 1
            if self.calls > at:
                raise Outage("the org is away")

    away = Away()
    away.records = org.records
    with pytest.raises(Outage) as raised:
        await told(away, pushed())
    assert raised.value.lane is Lane.SALESFORCE


async def test_many_are_told_at_once_each_with_its_own_answer() -> None:
    org = FakeOrg()
    ids = [org.create(INTAKE) for _ in range(3)]
    entries = [
        make_entry(id=number, record_id=RecordId(one), state=State.PENDING).pushed(
            SyncResult(outcome=Outcome.CREATED, portal_id=f"1000000{number}")
        )
        for number, one in enumerate(ids)
    ]
    org.refusals[ids[1]] = RecordError(code="UNABLE_TO_LOCK_ROW")
    answers = await told(org, *entries)
    assert [answers[number].answer for number in range(3)] == [Answer.TOLD, Answer.AGAIN, Answer.TOLD]
    assert [(one, values[OWN.portal_id]) for one, values in org.writes] == [(ids[0], "10000000"), (ids[2], "10000002")]


async def test_an_answer_that_leaves_a_record_out_is_not_taken_for_success() -> None:
    class Mute(FakeOrg):
        async def update(self, *_args: Any, **_kwargs: Any) -> dict[RecordId, RecordError | None]:
            return {}

    org = Mute()
    org.create(INTAKE)
    with pytest.raises(KeyError):
        await told(org, pushed())
