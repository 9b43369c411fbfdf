"""Telling Salesforce about many at once: what is asked and written, and who pays where there is no answer."""

import re
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import pytest

from fusion import writeback
from fusion.codes import Code
from fusion.telling import Telling
from fusion.writeback import TOLD, Answer, Told
from listener.change import RecordId
from listener.entry import OutboxEntry, Outcome, ParkedReason, State, SyncResult
from listener.errors import Outage, SetupError
from listener.gates import Lane
from listener.org import Record, RecordError
from tests.factories import make_entry
from tests.fake_org import FakeOrg
from tests.fusion.desk import CANARIES, INTAKE, NOON, OWN, RECORD_ID
from tests.fusion.test_writeback import SYNCED, pushed


def telling(org: FakeOrg, **more: Any) -> Telling:
    return Telling(org=org, own=OWN, now=NOON, **more)


async def told(org: FakeOrg, *entries: OutboxEntry, **more: Any) -> dict[int, Told]:
    go = telling(org, **more)
    await go.tell(entries)
    return go.told


def many(org: FakeOrg, number: int) -> tuple[list[RecordId], list[OutboxEntry]]:
    """So many records, and an entry of each that has a new chart."""
    ids = [org.create(INTAKE) for _ in range(number)]
    made = [SyncResult(outcome=Outcome.CREATED, portal_id=f"{10000000 + n}") for n in range(number)]
    return ids, [make_entry(id=n, record_id=one, state=State.PENDING).pushed(made[n]) for n, one in enumerate(ids)]


class Counting(FakeOrg):
    """Counts calls; a write with one of `poison` in it gets no answer, though `after` all was written if that is set;
    all writes fail while `deaf`."""

    def __init__(self) -> None:
        super().__init__()
        self.reads = 0
        self.sizes: list[int] = []
        self.poison: set[RecordId] = set()
        self.deaf = False
        self.after = False

    async def read(
        self, object_name: str, record_ids: Sequence[RecordId], fields: Sequence[str]
    ) -> dict[RecordId, Record]:
        self.reads += 1
        return await super().read(object_name, record_ids, fields)

    async def update(self, object_name: str, values: Mapping[RecordId, Record]) -> dict[RecordId, RecordError | None]:
        self.sizes.append(len(values))
        silent = self.deaf or bool(self.poison & values.keys())
        if not silent or self.after:
            done = await super().update(object_name, values)
        if silent:
            raise Outage("Salesforce does not answer (HTTP 500)", suspect=True)
        return done


async def test_the_record_says_what_the_entry_says() -> None:
    org = FakeOrg()
    org.create(INTAKE)
    assert await told(org, pushed(Outcome.CREATED)) == {41: TOLD}
    assert {name: org.records[RECORD_ID].get(name) for name in SYNCED} == SYNCED
    assert len(org.writes) == 1


async def test_an_unchanged_patient_makes_no_call() -> None:
    org = FakeOrg()
    org.create({**INTAKE, **SYNCED})
    assert await told(org, pushed(Outcome.UNCHANGED)) == {41: TOLD}
    assert org.writes == []


async def test_what_was_skipped_is_not_told_nor_read() -> None:
    org = FakeOrg()
    org.outages.append(Outage("never asked"))
    assert await told(org, pushed(Outcome.SKIPPED)) == {41: TOLD}
    assert len(org.outages) == 1


@pytest.mark.parametrize("purged", [False, True])
async def test_a_deleted_record_counts_as_told(purged: bool) -> None:
    org = FakeOrg()
    org.create(INTAKE)
    org.records.clear() if purged else org.delete(RECORD_ID)
    assert await told(org, pushed()) == {41: TOLD}
    assert org.writes == []


@pytest.mark.parametrize("code", ["ENTITY_IS_DELETED", "NOT_FOUND"])
async def test_a_record_that_went_while_we_told_counts_as_told(code: str) -> None:
    org = FakeOrg()
    org.refusals[org.create(INTAKE)] = RecordError(code=code)
    assert await told(org, pushed()) == {41: TOLD}


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
    ids, entries = many(org, 3)
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


async def test_two_hundred_cost_two_calls() -> None:
    org = Counting()
    _, entries = many(org, 200)
    assert set((await told(org, *entries)).values()) == {TOLD}
    assert (org.reads, org.sizes) == (1, [200])


async def test_what_was_read_for_the_visit_is_not_read_again() -> None:
    org = Counting()
    org.create({**INTAKE, **SYNCED})
    await told(org, pushed(), seen={RECORD_ID: {**SYNCED, "IsDeleted": False}})
    assert (org.reads, org.sizes) == (0, [1])


async def test_a_new_id_is_never_written_without_looking_again() -> None:
    org = Counting()
    org.create({**INTAKE, OWN.portal_id: "10000099"})
    seen = {RECORD_ID: {OWN.portal_id: None, "IsDeleted": False}}
    assert (await told(org, pushed(Outcome.CREATED), seen=seen))[41] == writeback.another_id()
    assert org.records[RECORD_ID][OWN.portal_id] == "10000099"


# ---- who pays


@pytest.mark.parametrize("number", [1, 2, 7, 200])
async def test_who_breaks_the_call_is_found_and_nobody_else_waits(number: int) -> None:
    org = Counting()
    ids, entries = many(org, number)
    org.poison = {ids[number // 2]}
    answers = await told(org, *entries)
    assert {number for number, answer in answers.items() if answer != TOLD} == {number // 2}
    assert (answers[number // 2].answer, answers[number // 2].code) == (Answer.AGAIN, "not_told")
    assert len(org.writes) == number - 1
    assert len(org.sizes) <= 17


async def test_two_who_break_it_are_both_found() -> None:
    org = Counting()
    ids, entries = many(org, 200)
    org.poison = {ids[3], ids[150]}
    answers = await told(org, *entries)
    assert {number for number, answer in answers.items() if answer != TOLD} == {3, 150}


async def test_a_write_whose_answer_was_lost_is_read_back_and_not_made_twice() -> None:
    org = Counting()
    _, entries = many(org, 5)
    org.deaf = org.after = True
    assert set((await told(org, *entries)).values()) == {TOLD}
    assert (len(org.writes), org.sizes) == (5, [5])


async def test_where_nothing_is_written_at_all_it_is_an_outage_and_few_pay() -> None:
    org = Counting()
    _, entries = many(org, 200)
    org.deaf = True
    go = telling(org)
    with pytest.raises(Outage) as caught:
        await go.tell(entries)
    assert caught.value.lane is Lane.SALESFORCE
    assert len(org.sizes) <= 25
    assert len(go.told) <= 12
    assert Lane.SALESFORCE not in go.heard


@pytest.mark.parametrize("outage", [Outage("503"), Outage("the limit is used up", retry_after=900.0)])
async def test_an_outage_that_is_nobodys_fault_is_not_looked_into(outage: Outage) -> None:
    class Away(Counting):
        async def update(self, object_name: str, values: Any) -> Any:
            self.sizes.append(len(values))
            raise outage

    org = Away()
    _, entries = many(org, 9)
    with pytest.raises(Outage):
        await told(org, *entries)
    assert (org.reads, org.sizes) == (1, [9])


async def test_what_was_told_before_an_outage_is_known_to_be_told() -> None:
    class GoesAway(Counting):
        async def update(self, object_name: str, values: Mapping[RecordId, Record]) -> Any:
            if len(self.sizes) == 2:
                raise Outage("503")
            return await super().update(object_name, values)

    org = GoesAway()
    ids, entries = many(org, 4)
    org.poison = {ids[3]}
    go = telling(org)
    with pytest.raises(Outage):
        await go.tell(entries)
    assert go.told == {0: TOLD, 1: TOLD}


async def test_fields_that_nobody_may_write_are_the_installations_fault() -> None:
    org = FakeOrg()
    ids, entries = many(org, 3)
    error = RecordError(code="INVALID_FIELD_FOR_INSERT_UPDATE", fields=(OWN.status,))
    org.refusals = dict.fromkeys(ids, error)
    with pytest.raises(SetupError, match=re.escape(OWN.status)) as caught:
        await told(org, *entries)
    assert "permission set" in caught.value.hint


async def test_a_record_that_will_not_take_the_id_takes_the_word_that_ops_must_act() -> None:
    class Unique(FakeOrg):
        async def update(self, object_name: str, values: Mapping[RecordId, Record]) -> Any:
            taken = {one for one, fields in values.items() if fields.get(OWN.portal_id)}
            done = await super().update(object_name, {k: v for k, v in values.items() if k not in taken})
            return done | dict.fromkeys(taken, RecordError(code="DUPLICATE_VALUE"))

    org = Unique()
    org.create(INTAKE)
    answer = (await told(org, pushed(Outcome.CREATED)))[41]
    assert (answer.answer, answer.code, answer.reason) == (
        Answer.WILL_NOT,
        Code.LINKED_ELSEWHERE,
        ParkedReason.AMBIGUOUS,
    )
    record = org.records[RECORD_ID]
    assert (record[OWN.status], record[OWN.error_code]) == ("Needs Attention", "linked_elsewhere")
    assert record[OWN.error] == Code.LINKED_ELSEWHERE.sentence("The chart")


async def test_what_is_no_longer_ours_is_neither_written_nor_told() -> None:
    org = Counting()
    ids, entries = many(org, 3)

    async def but_one(entry_ids: Collection[int]) -> Collection[int]:
        return [one for one in entry_ids if one != 1]

    assert set(await told(org, *entries, about_to_write=but_one)) == {0, 2}
    assert [one for one, _ in org.writes] == [ids[0], ids[2]]
