"""What a change event says: header, body, filter, enrichment, merging."""

from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any

import pytest
from org_caller import made_up

from listener.standin.channels import Channel, Member, channels_of
from listener.standin.events import EventBus, UnknownReplayId
from listener.standin.ledger import Ledger
from listener.standin.objects import PATIENT, USER, system_fields
from listener.standin.people import Person
from listener.standin.schema import Field, Schema, Sobject, by_name
from listener.standin.store import Store

CONTACT = Sobject(
    name="Contact",
    label="Contact",
    plural="Contacts",
    key_prefix="003",
    tracked=True,
    fields=by_name(
        (
            *system_fields(),
            Field(name="LastName", label="Last Name", length=80, required=True, compound=("Name", "LastName")),
            Field(name="MailingStreet", label="Street", length=255, compound=("MailingAddress", "Street")),
        )
    ),
)
SYNC = Channel(
    name="/data/FusionSync__chn",
    members={
        "Patient__c": Member(
            filter="(Ready_for_Fusion__c = true)", enriched=("Fusion_Web_Id__c", "Fusion_Sync_Status__c")
        )
    },
)
NOT_MINE = Channel(
    name="/data/NotMine__chn",
    members={"Patient__c": Member(filter="(ChangeEventHeader.commitUser != '005000000000001AAA')")},
)
EVERYTHING, ONE = "/data/ChangeEvents", "/data/Patient__ChangeEvent"
ME = "005000000000001AAA"
READER = Person(id=ME, username="worker@clinic.example.com", name="Worker", view_encrypted=True, view_all=True)


class Bench:
    """A store and its bus, without any wire."""

    def __init__(self) -> None:
        self.now = datetime(2026, 11, 24, 12, tzinfo=UTC)
        self.store = Store(Schema((PATIENT, CONTACT, USER)), lambda: self.now)
        self.bus = EventBus(self.store, Ledger(None, lambda: self.now), lambda: self.now, Random(1))
        self.channels = channels_of(self.store.schema, (SYNC, NOT_MINE))

    def create(self, sobject: Sobject = PATIENT, **values: object) -> str:
        change = self.store.begin(ME, None)
        record_id = change.create(sobject, values if sobject is CONTACT else made_up(**values))
        change.commit()
        return record_id

    def update(self, *ids: str, by: str = ME, origin: str | None = None, **values: object) -> None:
        change = self.store.begin(by, origin)
        for record_id in ids:
            change.update(self.store.schema.of_id(record_id) or PATIENT, record_id, values)
        change.commit()

    def told(self, channel: str = ONE, since: int = -2, version: float = 66.0, person: Person = READER) -> list[Any]:
        events = self.bus.after(since)
        return [m for e in events for m in self.bus.messages(e, self.channels[channel], person, version)]

    def last(self, channel: str = ONE, **how: Any) -> dict[str, Any]:
        return dict(self.told(channel, **how)[-1]["payload"])


@pytest.fixture
def bench() -> Bench:
    return Bench()


def test_a_create_carries_what_is_not_empty_and_a_whole_header(bench: Bench) -> None:
    record_id = bench.create(SSN__c="900-12-3456", Case_Notes__c="line\n" * 400)
    (message,) = bench.told()
    header = message["payload"].pop("ChangeEventHeader")
    assert set(header) == {
        "entityName", "recordIds", "changeType", "changeOrigin", "transactionKey", "sequenceNumber", "commitTimestamp",
        "commitNumber", "commitUser",
    }  # fmt: skip
    assert (header["entityName"], header["changeType"], header["recordIds"]) == ("Patient__c", "CREATE", [record_id])
    assert (header["commitTimestamp"], header["commitUser"]) == (int(bench.now.timestamp() * 1000), ME)
    body = message["payload"]
    assert (body["SSN__c"], body["Case_Notes__c"]) == ("900-12-3456", ("line\n" * 400).strip())
    assert body["CreatedDate"] == "2026-11-24T12:00:00.000Z"
    assert not {"Id", "IsDeleted", "SystemModstamp", "Full_Name__c", "Gender__c"} & set(body)


def test_an_update_carries_only_what_changed(bench: Bench) -> None:
    record_id = bench.create(Preferred_Name__c="A", Guardian_City__c="Durham")
    bench.update(record_id, Preferred_Name__c="B", Guardian_City__c=None, First_Name__c="Ada", origin="com/x;client=y")
    payload = bench.last()
    header = payload.pop("ChangeEventHeader")
    assert header["changedFields"] == ["Preferred_Name__c", "Guardian_City__c", "LastModifiedDate"]
    assert header["changeOrigin"] == "com/x;client=y"
    assert payload == {
        "Preferred_Name__c": "B",
        "Guardian_City__c": None,
        "LastModifiedDate": "2026-11-24T12:00:00.000Z",
    }


def test_another_author_is_part_of_the_change(bench: Bench) -> None:
    record_id = bench.create()
    bench.update(record_id, by="005000000000002AAA", Preferred_Name__c="B")
    assert bench.last()["LastModifiedById"] == "005000000000002AAA"


def test_a_save_without_a_change_still_tells_of_the_save(bench: Bench) -> None:
    record_id = bench.create(Preferred_Name__c="A")
    bench.update(record_id, Preferred_Name__c="A")
    assert bench.last()["ChangeEventHeader"]["changedFields"] == ["LastModifiedDate"]


def test_before_version_47_nobody_is_told_the_changed_fields(bench: Bench) -> None:
    bench.update(bench.create(), Preferred_Name__c="B")
    assert "changedFields" not in bench.last(version=45.0)["ChangeEventHeader"]


def test_the_same_change_of_several_records_is_one_event(bench: Bench) -> None:
    ids = [bench.create(First_Name__c=name) for name in "ABC"]
    bench.update(*ids, Location__c="Telehealth")
    payload = bench.last()
    assert payload["ChangeEventHeader"]["recordIds"] == ids
    change = bench.store.begin(ME, None)
    change.update(PATIENT, ids[0], {"Preferred_Name__c": "X"})
    change.update(PATIENT, ids[1], {"Preferred_Name__c": "Y"})
    change.commit()
    first, second = (m["payload"]["ChangeEventHeader"] for m in bench.told()[-2:])
    assert first["transactionKey"] == second["transactionKey"]
    assert (first["sequenceNumber"], second["sequenceNumber"]) == (1, 2)


def test_enrichment_parts_a_merged_event_into_messages_with_one_replay_id(bench: Bench) -> None:
    ids = [bench.create(First_Name__c=name, Ready_for_Fusion__c=True, Fusion_Web_Id__c=name) for name in "AB"]
    quiet = bench.create()
    bench.update(*ids, quiet, Location__c="Telehealth")
    first, second = bench.told(SYNC.name)[-2:]
    assert first["event"] == second["event"]
    assert [m["payload"]["ChangeEventHeader"]["recordIds"] for m in (first, second)] == [[ids[0]], [ids[1]]]
    assert [m["payload"]["Fusion_Web_Id__c"] for m in (first, second)] == ["A", "B"]


def test_the_filter_keeps_unready_records_away(bench: Bench) -> None:
    record_id = bench.create()
    bench.update(record_id, Preferred_Name__c="B")
    assert bench.told(SYNC.name) == []
    bench.update(record_id, Ready_for_Fusion__c=True)
    assert bench.last(SYNC.name)["ChangeEventHeader"]["changedFields"] == ["Ready_for_Fusion__c", "LastModifiedDate"]
    bench.update(record_id, Preferred_Name__c="C")
    assert bench.last(SYNC.name)["Ready_for_Fusion__c"] is True  # a field of the filter is enriched by itself
    marker = bench.told(SYNC.name)[-1]["event"]["replayId"]
    bench.update(record_id, Ready_for_Fusion__c=False)
    assert bench.told(SYNC.name, since=marker) == []
    # On replay the filter sees the latest value too, unless the event itself changed the field.
    assert [m["payload"]["ChangeEventHeader"]["changedFields"][0] for m in bench.told(SYNC.name)] == [
        "Ready_for_Fusion__c"
    ]


def test_a_filter_may_read_the_header(bench: Bench) -> None:
    record_id = bench.create()
    bench.update(record_id, by="005000000000002AAA", Preferred_Name__c="B")
    assert [m["payload"]["ChangeEventHeader"]["changeType"] for m in bench.told(NOT_MINE.name)] == ["UPDATE"]


def test_enriched_fields_have_the_latest_value_on_replay_and_empty_ones_are_left_out(bench: Bench) -> None:
    record_id = bench.create(Ready_for_Fusion__c=True)
    bench.update(record_id, Preferred_Name__c="B")
    update = bench.told(SYNC.name)[1]
    assert "Fusion_Web_Id__c" not in update["payload"]
    assert update["payload"]["Fusion_Sync_Status__c"] == "Not Ready"
    bench.update(record_id, Fusion_Web_Id__c="F-1", Fusion_Sync_Status__c="Synced")
    create, replayed, write_back = bench.told(SYNC.name)
    assert "Fusion_Web_Id__c" not in create["payload"]  # never on a create
    assert (replayed["payload"]["Fusion_Web_Id__c"], replayed["payload"]["Fusion_Sync_Status__c"]) == ("F-1", "Synced")
    assert write_back["payload"]["ChangeEventHeader"]["changedFields"][:2] == [
        "Fusion_Web_Id__c",
        "Fusion_Sync_Status__c",
    ]


def test_delete_has_only_enriched_fields_and_undelete_the_record(bench: Bench) -> None:
    record_id = bench.create(Ready_for_Fusion__c=True, Fusion_Web_Id__c="F-1")
    change = bench.store.begin(ME, None)
    change.delete(PATIENT, record_id)
    change.commit()
    payload = bench.last(SYNC.name)
    assert payload.pop("ChangeEventHeader")["changeType"] == "DELETE"
    assert payload == {"Fusion_Web_Id__c": "F-1", "Fusion_Sync_Status__c": "Not Ready", "Ready_for_Fusion__c": True}
    change = bench.store.begin(ME, None)
    change.undelete(PATIENT, record_id)
    change.commit()
    payload = bench.last(SYNC.name)
    assert (payload["ChangeEventHeader"]["changeType"], payload["First_Name__c"]) == ("UNDELETE", "Ada")


def test_a_small_change_of_a_long_text_is_sent_as_a_diff(bench: Bench) -> None:
    lines = [f"Visit {n}: practised short words for twenty minutes." for n in range(40)]
    record_id = bench.create(Case_Notes__c="\n".join(lines))
    lines[3] = "Visit 3: was ill."
    bench.update(record_id, Case_Notes__c="\n".join(lines))
    diff = bench.last()["Case_Notes__c"]["diff"]
    head, hash_line, hunk, old, new = diff.split("\n")
    assert (head, hash_line[:4], len(hash_line)) == ("--- ", "+++ ", 4 + 64)
    assert (hunk, old[:9], new) == ("@@ -4,1 +4,1 @@", "-Visit 3:", "+Visit 3: was ill.")
    bench.update(record_id, Case_Notes__c="Something else. " * 100)
    assert bench.last()["Case_Notes__c"] == ("Something else. " * 100).strip()


def test_several_saves_of_one_record_in_a_transaction_are_told_once(bench: Bench) -> None:
    change = bench.store.begin(ME, None)
    record_id = change.create(PATIENT, made_up())
    change.update(PATIENT, record_id, {"Preferred_Name__c": "Addie"})
    change.commit()
    (message,) = bench.told()
    assert message["payload"]["ChangeEventHeader"]["changeType"] == "CREATE"
    assert message["payload"]["Preferred_Name__c"] == "Addie"


def test_compound_fields_are_nested_in_the_body_and_dotted_in_the_header(bench: Bench) -> None:
    record_id = bench.create(CONTACT, LastName="Sample", MailingStreet="1 Example Way")
    bench.update(record_id, LastName="Example", MailingStreet="2 Example Way")
    payload = bench.last("/data/ContactChangeEvent")
    assert payload["ChangeEventHeader"]["changedFields"] == [
        "Name.LastName",
        "MailingAddress.Street",
        "LastModifiedDate",
    ]
    assert (payload["Name"], payload["MailingAddress"]) == ({"LastName": "Example"}, {"Street": "2 Example Way"})
    assert len(bench.told(EVERYTHING)) == 2


def test_the_ssn_is_masked_for_a_subscriber_who_may_not_see_it(bench: Bench) -> None:
    bench.create(SSN__c="900-12-3456")
    person = Person(id=ME, username="x", name="X", view_encrypted=False, view_all=True)
    assert bench.last(person=person)["SSN__c"] == "XXX-XX-3456"


def test_a_hard_delete_is_not_told(bench: Bench) -> None:
    record_id = bench.create()
    bench.store.purge(PATIENT, record_id)
    assert len(bench.told()) == 1


def test_events_are_kept_for_three_days(bench: Bench) -> None:
    bench.create()
    marker = bench.told()[0]["event"]["replayId"]
    bench.now += timedelta(hours=71)
    bench.create()
    assert len(bench.told(since=marker)) == 1
    bench.now += timedelta(hours=2)
    with pytest.raises(UnknownReplayId):
        bench.told(since=marker)
    assert len(bench.told()) == 1


def test_gap_events_have_a_header_and_nothing_else(bench: Bench) -> None:
    record_id = bench.create()
    bench.bus.publish_gap("GAP_UPDATE", PATIENT, [record_id], ME, [SYNC.name])
    bench.bus.publish_gap("GAP_OVERFLOW", PATIENT, [], ME, [SYNC.name])
    gap, overflow = (m["payload"] for m in bench.told(SYNC.name))
    assert set(gap) == set(overflow) == {"ChangeEventHeader"}
    assert gap["ChangeEventHeader"]["recordIds"] == [record_id]
    assert (overflow["ChangeEventHeader"]["changeType"], overflow["ChangeEventHeader"]["recordIds"]) == (
        "GAP_OVERFLOW",
        [],
    )
