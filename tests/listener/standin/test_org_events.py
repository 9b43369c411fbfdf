"""What a change event says: header, body, filter, enrichment, merging."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any

import pytest
from org_caller import made_up

from listener.standin.access import Access
from listener.standin.channels import Channel, Member, channels_of
from listener.standin.events import EventBus, UnknownReplayId
from listener.standin.founding import deploy, found, give_roles, show_setup
from listener.standin.ledger import Ledger
from listener.standin.metadata.archive import pack
from listener.standin.metadata.setup import Setup
from listener.standin.package import shipped
from listener.standin.standard import standard_schema
from listener.standin.store import Store
from listener.standin.transaction import Transaction

NOT_MINE = "/data/NotMine__chn"
SYNC = Channel(
    name="/data/FusionSync__chn",
    members={
        "Patient__c": Member(
            filter="(Ready_for_Fusion__c = true)", enriched=("Fusion_Web_Id__c", "Fusion_Sync_Status__c")
        )
    },
)
CONTACTS = Path(__file__).parents[3] / "sfdx" / "contact-app"
EVERYTHING, ONE = "/data/ChangeEvents", "/data/Patient__ChangeEvent"
ANOTHER = "005000000000002AAA"


class Bench:
    """The store of an org and its bus, without any wire; nothing but what a test says changes a record."""

    def __init__(self, package: bytes, object_name: str) -> None:
        self.now = datetime(2026, 11, 24, 12, tzinfo=UTC)
        schema = standard_schema()
        setup = Setup(schema, lambda: self.now)
        self.store = Store(schema, lambda: self.now)
        access = Access(setup, self.store)
        _, self.people = found(self.store)
        deploy(setup, package)
        self.store.take_shape()
        show_setup(setup, self.store)
        give_roles(self.store, self.people)
        self.me = self.people["integration"].id
        self.sobject = schema.objects[object_name]
        self.bus = EventBus(self.store, access, Ledger(None, lambda: self.now), lambda: self.now, Random(1))
        not_mine = Member(filter=f"(ChangeEventHeader.commitUser != '{self.me}')")
        self.channels = channels_of(schema, (SYNC, Channel(name=NOT_MINE, members={object_name: not_mine})))

    def begin(self, by: str = "", origin: str | None = None) -> Transaction:
        return Transaction(self.store, by or self.me, origin, automation=False)

    def create(self, **values: object) -> str:
        change = self.begin()
        record_id = change.create(self.sobject, values)
        change.commit()
        return record_id

    def update(self, *ids: str, by: str = "", origin: str | None = None, **values: object) -> None:
        change = self.begin(by, origin)
        for record_id in ids:
            change.update(self.sobject, record_id, values)
        change.commit()

    def told(
        self, channel: str = ONE, since: int = -2, version: float = 66.0, person: str = "integration"
    ) -> list[Any]:
        events, who = self.bus.after(since), self.people[person]
        return [m for e in events for m in self.bus.messages(e, self.channels[channel], who, version)]

    def last(self, channel: str = ONE, **how: Any) -> dict[str, Any]:
        return dict(self.told(channel, **how)[-1]["payload"])


@pytest.fixture
def bench() -> Bench:
    return Bench(shipped(), "Patient__c")


def test_a_create_carries_what_is_not_empty_and_a_whole_header(bench: Bench) -> None:
    record_id = bench.create(**made_up(SSN__c="900-12-3456", Case_Notes__c="line\n" * 400))
    (message,) = bench.told()
    header = message["payload"].pop("ChangeEventHeader")
    assert set(header) == {
        "entityName", "recordIds", "changeType", "changeOrigin", "transactionKey", "sequenceNumber", "commitTimestamp",
        "commitNumber", "commitUser",
    }  # fmt: skip
    assert (header["entityName"], header["changeType"], header["recordIds"]) == ("Patient__c", "CREATE", [record_id])
    assert (header["commitTimestamp"], header["commitUser"]) == (int(bench.now.timestamp() * 1000), bench.me)
    body = message["payload"]
    assert (body["SSN__c"], body["Case_Notes__c"]) == ("900-12-3456", ("line\n" * 400).strip())
    assert body["CreatedDate"] == "2026-11-24T12:00:00.000Z"
    assert not {"Id", "IsDeleted", "SystemModstamp", "Full_Name__c", "Gender__c"} & set(body)


def test_an_update_carries_only_what_changed(bench: Bench) -> None:
    record_id = bench.create(**made_up(Preferred_Name__c="A", Guardian_City__c="Durham"))
    bench.update(record_id, Preferred_Name__c="B", Guardian_City__c=None, First_Name__c="Ada", origin="com/x;client=y")
    payload = bench.last()
    header = payload.pop("ChangeEventHeader")
    assert header["changedFields"] == ["Guardian_City__c", "Preferred_Name__c", "LastModifiedDate"]
    assert header["changeOrigin"] == "com/x;client=y"
    assert payload == {
        "Preferred_Name__c": "B",
        "Guardian_City__c": None,
        "LastModifiedDate": "2026-11-24T12:00:00.000Z",
    }


def test_another_author_is_part_of_the_change(bench: Bench) -> None:
    record_id = bench.create(**made_up())
    bench.update(record_id, by=ANOTHER, Preferred_Name__c="B")
    assert bench.last()["LastModifiedById"] == ANOTHER


def test_a_save_without_a_change_still_tells_of_the_save(bench: Bench) -> None:
    record_id = bench.create(**made_up(Preferred_Name__c="A"))
    bench.update(record_id, Preferred_Name__c="A")
    assert bench.last()["ChangeEventHeader"]["changedFields"] == ["LastModifiedDate"]


def test_before_version_47_nobody_is_told_the_changed_fields(bench: Bench) -> None:
    bench.update(bench.create(**made_up()), Preferred_Name__c="B")
    assert "changedFields" not in bench.last(version=45.0)["ChangeEventHeader"]


def test_the_same_change_of_several_records_is_one_event(bench: Bench) -> None:
    ids = [bench.create(**made_up(First_Name__c=name)) for name in "ABC"]
    bench.update(*ids, Location__c="Telehealth")
    payload = bench.last()
    assert payload["ChangeEventHeader"]["recordIds"] == ids
    change = bench.begin()
    change.update(bench.sobject, ids[0], {"Preferred_Name__c": "X"})
    change.update(bench.sobject, ids[1], {"Preferred_Name__c": "Y"})
    change.commit()
    first, second = (m["payload"]["ChangeEventHeader"] for m in bench.told()[-2:])
    assert first["transactionKey"] == second["transactionKey"]
    assert (first["sequenceNumber"], second["sequenceNumber"]) == (1, 2)


def test_enrichment_parts_a_merged_event_into_messages_with_one_replay_id(bench: Bench) -> None:
    ids = [
        bench.create(**made_up(First_Name__c=name, Ready_for_Fusion__c=True, Fusion_Web_Id__c=name)) for name in "AB"
    ]
    quiet = bench.create(**made_up())
    bench.update(*ids, quiet, Location__c="Telehealth")
    first, second = bench.told(SYNC.name)[-2:]
    assert first["event"] == second["event"]
    assert [m["payload"]["ChangeEventHeader"]["recordIds"] for m in (first, second)] == [[ids[0]], [ids[1]]]
    assert [m["payload"]["Fusion_Web_Id__c"] for m in (first, second)] == ["A", "B"]


def test_the_filter_keeps_unready_records_away(bench: Bench) -> None:
    record_id = bench.create(**made_up())
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
    record_id = bench.create(**made_up())
    bench.update(record_id, by=ANOTHER, Preferred_Name__c="B")
    assert [m["payload"]["ChangeEventHeader"]["changeType"] for m in bench.told(NOT_MINE)] == ["UPDATE"]


def test_enriched_fields_have_the_latest_value_on_replay_and_empty_ones_are_left_out(bench: Bench) -> None:
    record_id = bench.create(**made_up(Ready_for_Fusion__c=True))
    bench.update(record_id, Preferred_Name__c="B")
    update = bench.told(SYNC.name)[1]
    assert "Fusion_Web_Id__c" not in update["payload"]
    assert update["payload"]["Fusion_Sync_Status__c"] == "Not Ready"
    bench.update(record_id, Fusion_Web_Id__c="F-1", Fusion_Sync_Status__c="Synced")
    create, replayed, write_back = bench.told(SYNC.name)
    assert "Fusion_Web_Id__c" not in create["payload"]  # never on a create
    assert (replayed["payload"]["Fusion_Web_Id__c"], replayed["payload"]["Fusion_Sync_Status__c"]) == ("F-1", "Synced")
    assert write_back["payload"]["ChangeEventHeader"]["changedFields"][:2] == [
        "Fusion_Sync_Status__c",
        "Fusion_Web_Id__c",
    ]


def test_delete_has_only_enriched_fields_and_undelete_the_record(bench: Bench) -> None:
    record_id = bench.create(**made_up(Ready_for_Fusion__c=True, Fusion_Web_Id__c="F-1"))
    change = bench.begin()
    change.delete(bench.sobject, record_id)
    change.commit()
    payload = bench.last(SYNC.name)
    assert payload.pop("ChangeEventHeader")["changeType"] == "DELETE"
    assert payload == {"Fusion_Web_Id__c": "F-1", "Fusion_Sync_Status__c": "Not Ready", "Ready_for_Fusion__c": True}
    change = bench.begin()
    change.undelete(bench.sobject, record_id)
    change.commit()
    payload = bench.last(SYNC.name)
    assert (payload["ChangeEventHeader"]["changeType"], payload["First_Name__c"]) == ("UNDELETE", "Ada")


def test_a_small_change_of_a_long_text_is_sent_as_a_diff(bench: Bench) -> None:
    lines = [f"Visit {n}: practised short words for twenty minutes." for n in range(40)]
    record_id = bench.create(**made_up(Case_Notes__c="\n".join(lines)))
    lines[3] = "Visit 3: was ill."
    bench.update(record_id, Case_Notes__c="\n".join(lines))
    diff = bench.last()["Case_Notes__c"]["diff"]
    head, hash_line, hunk, old, new = diff.split("\n")
    assert (head, hash_line[:4], len(hash_line)) == ("--- ", "+++ ", 4 + 64)
    assert (hunk, old[:9], new) == ("@@ -4,1 +4,1 @@", "-Visit 3:", "+Visit 3: was ill.")
    bench.update(record_id, Case_Notes__c="Something else. " * 100)
    assert bench.last()["Case_Notes__c"] == ("Something else. " * 100).strip()


def test_several_saves_of_one_record_in_a_transaction_are_told_once(bench: Bench) -> None:
    change = bench.begin()
    record_id = change.create(bench.sobject, made_up())
    change.update(bench.sobject, record_id, {"Preferred_Name__c": "Addie"})
    change.commit()
    (message,) = bench.told()
    assert message["payload"]["ChangeEventHeader"]["changeType"] == "CREATE"
    assert message["payload"]["Preferred_Name__c"] == "Addie"


def test_compound_fields_are_nested_in_the_body_and_dotted_in_the_header() -> None:
    bench = Bench(pack(CONTACTS, "force-app"), "Contact")
    record_id = bench.create(LastName="Sample", MailingStreet="1 Example Way")
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
    bench.create(**made_up(SSN__c="900-12-3456"))
    assert bench.last(person="integration")["SSN__c"] == "900-12-3456"
    assert bench.last(person="admin")["SSN__c"] == "XXX-XX-3456"


def test_a_hard_delete_is_not_told(bench: Bench) -> None:
    record_id = bench.create(**made_up())
    bench.store.purge(bench.sobject, record_id)
    assert len(bench.told()) == 1


def test_events_are_kept_for_three_days(bench: Bench) -> None:
    bench.create(**made_up())
    marker = bench.told()[0]["event"]["replayId"]
    bench.now += timedelta(hours=71)
    bench.create(**made_up())
    assert len(bench.told(since=marker)) == 1
    bench.now += timedelta(hours=2)
    with pytest.raises(UnknownReplayId):
        bench.told(since=marker)
    assert len(bench.told()) == 1


def test_gap_events_have_a_header_and_nothing_else(bench: Bench) -> None:
    record_id = bench.create(**made_up())
    bench.bus.publish_gap("GAP_UPDATE", bench.sobject, [record_id], bench.me, [SYNC.name])
    bench.bus.publish_gap("GAP_OVERFLOW", bench.sobject, [], bench.me, [SYNC.name])
    gap, overflow = (m["payload"] for m in bench.told(SYNC.name))
    assert set(gap) == set(overflow) == {"ChangeEventHeader"}
    assert gap["ChangeEventHeader"]["recordIds"] == [record_id]
    assert (overflow["ChangeEventHeader"]["changeType"], overflow["ChangeEventHeader"]["recordIds"]) == (
        "GAP_OVERFLOW",
        [],
    )
