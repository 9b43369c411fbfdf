"""What change events say: every documented form, every malformed one, and that no value ever gets out."""

from __future__ import annotations

import traceback
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from listener.change import (
    Change,
    ChangeKind,
    Heartbeat,
    MalformedEvent,
    Ours,
    Reading,
    Source,
    changes_in,
    long_id,
    replay_id_of,
)

WATCHED = frozenset({"Patient__c"})
OURS = Ours(
    user_id="005000000000001AAA",
    client="fusion-sync",
    fields=frozenset({"Fusion_Web_Id__c", "Fusion_Sync_Status__c"}),
)
FIRST, SECOND = "a0P000000000001EAA", "a0P000000000002EAA"
NOON = datetime(2026, 11, 3, 12, 0, tzinfo=UTC)


def event(*, replay_id: Any = 7001, body: dict[str, Any] | None = None, **header: Any) -> dict[str, Any]:
    """A change event as CometD delivers it ("Change Event Message Structure"); a header field of None is left out."""
    full: dict[str, Any] = {
        "entityName": "Patient__c",
        "recordIds": [FIRST],
        "changeType": "UPDATE",
        "changeOrigin": "com/salesforce/api/rest/66.0;client=SfdcInternalAPI/",
        "transactionKey": "0001a2b3-c4d5",
        "sequenceNumber": 1,
        "commitTimestamp": int(NOON.timestamp() * 1000),
        "commitNumber": 10_123_456_789,
        "commitUser": "005000000000009AAA",
        "changedFields": ["First_Name__c", "LastModifiedDate"],
    } | header
    kept = {name: value for name, value in full.items() if value is not None}
    return {
        "channel": "/data/FusionSync__chn",
        "data": {
            "schema": "k3mX",
            "payload": {"ChangeEventHeader": kept, **(body or {})},
            "event": {"replayId": replay_id},
        },
    }


def read(message: dict[str, Any]) -> Reading:
    """The message as this installation reads it."""
    return changes_in(message, ours=OURS, watched=WATCHED)


def test_an_update_says_which_record_and_which_fields() -> None:
    assert read(event()) == Reading(
        at=NOON,
        changes=(
            Change(
                object_name="Patient__c",
                record_id=long_id(FIRST),
                kind=ChangeKind.UPDATE,
                fields=frozenset({"First_Name__c", "LastModifiedDate"}),
                changed_at=NOON,
                dedupe_key=f"cdc:7001:0001a2b3-c4d5:{FIRST}",
                source=Source.STREAM,
            ),
        ),
    )


@pytest.mark.parametrize("kind", list(ChangeKind))
def test_each_kind_of_change_keeps_its_kind(kind: ChangeKind) -> None:
    (change,) = read(event(changeType=str(kind))).changes
    assert change.kind is kind


def test_a_merged_event_fans_out_to_one_change_a_record() -> None:
    reading = read(event(recordIds=[FIRST, SECOND]))
    assert [one.record_id for one in reading.changes] == [FIRST, SECOND]
    assert len({one.dedupe_key for one in reading.changes}) == 2


def test_a_redelivered_event_has_the_same_keys_and_a_reused_replay_id_does_not() -> None:
    again, other = read(event()), read(event(transactionKey="another"))
    assert read(event()).changes[0].dedupe_key == again.changes[0].dedupe_key
    assert again.changes[0].dedupe_key != other.changes[0].dedupe_key


@pytest.mark.parametrize("ids", [["a0P*"], [FIRST, "a0P000*"], ["000000000000000AAA", "*"]])
def test_a_wildcard_asks_for_a_sweep_from_that_moment(ids: list[str]) -> None:
    assert read(event(recordIds=ids)) == Reading(at=NOON, sweep={"Patient__c": NOON})


@pytest.mark.parametrize("ids", [[], [FIRST], None])
def test_an_overflow_asks_for_a_sweep_whatever_ids_it_has(ids: list[str] | None) -> None:
    assert read(event(changeType="GAP_OVERFLOW", recordIds=ids)) == Reading(at=NOON, sweep={"Patient__c": NOON})


@pytest.mark.parametrize("kind", list(ChangeKind))
@pytest.mark.parametrize("fields", [None, [], ["Fusion_Web_Id__c"]])
def test_a_gap_event_keeps_its_kind_and_may_have_changed_everything(kind: ChangeKind, fields: list[str] | None) -> None:
    (change,) = read(event(changeType=f"GAP_{kind}", changedFields=fields)).changes
    assert (change.kind, change.fields) == (kind, frozenset())


def test_a_gap_by_our_own_hand_is_not_dropped_since_it_does_not_say_what_changed() -> None:
    gap = event(changeType="GAP_UPDATE", commitUser=OURS.user_id, changedFields=["Fusion_Web_Id__c"])
    assert read(gap).own == 0
    assert len(read(gap).changes) == 1


@pytest.mark.parametrize("fields", [None, []])
def test_no_changed_fields_stands_for_all_of_them(fields: list[str] | None) -> None:
    (change,) = read(event(changedFields=fields)).changes
    assert change.fields == frozenset()


@pytest.mark.parametrize(
    ("name", "of_the_object"),
    [
        ("Name.FirstName", "FirstName"),
        ("Name.LastName", "LastName"),
        ("MailingAddress.Street", "MailingStreet"),
        ("BillingAddress.PostalCode", "BillingPostalCode"),
        ("Name", "Name"),
        ("Home_Address__c.Street", "Home_Address__Street__s"),
        ("Place__c.Latitude", "Place__Latitude__s"),
        ("First_Name__c", "First_Name__c"),
    ],
)
def test_parts_of_compound_fields_have_the_names_that_the_object_gives_them(name: str, of_the_object: str) -> None:
    (change,) = read(event(changedFields=[name])).changes
    assert change.fields == {of_the_object}


def test_enriched_fields_and_bodies_are_not_read() -> None:
    """Enrichment puts values of unchanged fields into the body; the header alone says what changed."""
    enriched = {"Fusion_Web_Id__c": "40001", "Fusion_Sync_Status__c": "Synced", "Case_Notes__c": "--- +++ @@ diff"}
    assert read(event(body=enriched)) == read(event())


@pytest.mark.parametrize("name", ["nulledFields", "diffFields"])
def test_emptied_fields_and_text_diffs_are_changed_fields(name: str) -> None:
    (change,) = read(event(**{name: ["Case_Notes__c"]})).changes
    assert change.fields == {"First_Name__c", "LastModifiedDate", "Case_Notes__c"}


@pytest.mark.parametrize("name", ["nulledFields", "diffFields"])
def test_where_no_changed_fields_are_told_all_of_them_may_have_whatever_is_named_besides(name: str) -> None:
    (change,) = read(event(changedFields=None, **{name: ["Case_Notes__c"]})).changes
    assert change.fields == frozenset()


def test_a_text_diff_in_the_body_is_not_read() -> None:
    """A long text may come as a diff against a value that we do not have: the record itself is read."""
    diff = {"Case_Notes__c": {"diff": "--- \n+++ 3f1c\n@@ -1,1 +1,1 @@\n-one\n+two"}}
    assert read(event(body=diff, changedFields=["Case_Notes__c"])) == read(event(changedFields=["Case_Notes__c"]))


@pytest.mark.parametrize(
    ("short", "full"),
    [
        ("a0P000000000001", "a0P000000000001" + "EAA"),
        ("a0P5g00000XyZaB", "a0P5g00000XyZaB" + "EAV"),
        ("001AAAAAAAAAAAA", "001AAAAAAAAAAAA" + "Y55"),
    ],
)
def test_a_short_id_grows_the_suffix_that_tells_its_capitals(short: str, full: str) -> None:
    assert long_id(short) == full
    assert long_id(full) == full


def test_ids_of_both_lengths_mean_the_same_record() -> None:
    short, full = read(event(recordIds=[FIRST[:15]])), read(event(recordIds=[long_id(FIRST[:15])]))
    assert short == full


def test_unwatched_objects_are_counted_and_left_alone() -> None:
    assert read(event(entityName="Contact", recordIds=["003000000000001AAA"] * 3)) == Reading(unwatched=3)
    assert read(event(entityName="Contact", changeType="GAP_OVERFLOW", recordIds=[])) == Reading(unwatched=1)


# Our own write-backs


def by_client(**header: Any) -> dict[str, Any]:
    """An update that came in through our connected app."""
    return event(changeOrigin="com/salesforce/api/rest/66.0;client=fusion-sync", **header)


def by_user(**header: Any) -> dict[str, Any]:
    """An update by our integration user."""
    return event(commitUser=OURS.user_id, **header)


@pytest.mark.parametrize("ours", [by_client, by_user])
@pytest.mark.parametrize(
    "fields",
    [
        ["Fusion_Web_Id__c"],
        ["Fusion_Web_Id__c", "Fusion_Sync_Status__c"],
        ["Fusion_Sync_Status__c", "LastModifiedDate", "LastModifiedById"],
    ],
)
def test_our_own_write_backs_drop_out(ours: Callable[..., dict[str, Any]], fields: list[str]) -> None:
    assert read(ours(changedFields=fields, recordIds=[FIRST, SECOND])) == Reading(at=NOON, own=2)


@pytest.mark.parametrize("ours", [by_client, by_user])
@pytest.mark.parametrize(
    "header",
    [
        {"changedFields": ["Fusion_Web_Id__c", "Guardian_Phone__c"]},  # a flow edited a mapped field along with it
        {"changedFields": ["Guardian_Phone__c"]},
        {"changedFields": []},  # may be anything
        {"changedFields": ["LastModifiedDate"]},  # a field that we may not see has changed
        {"changeType": "DELETE", "changedFields": []},
    ],
)
def test_what_is_more_than_our_own_fields_is_a_change(
    ours: Callable[..., dict[str, Any]], header: dict[str, Any]
) -> None:
    reading = read(ours(**header))
    assert (reading.own, len(reading.changes)) == (0, 1)


@pytest.mark.parametrize("ours", [by_client, by_user])
@pytest.mark.parametrize("name", ["nulledFields", "diffFields"])
def test_a_field_that_is_not_ours_and_was_emptied_with_them_is_a_change(
    ours: Callable[..., dict[str, Any]], name: str
) -> None:
    reading = read(ours(changedFields=["Fusion_Web_Id__c"], **{name: ["Guardian_Phone__c"]}))
    assert (reading.own, len(reading.changes)) == (0, 1)


def test_a_flows_event_of_another_record_in_our_transaction_is_a_change() -> None:
    """Our write may set off a flow: it saves as our user, in our transaction, and what it saves is not ours."""
    ours = by_user(changedFields=["Fusion_Web_Id__c"], sequenceNumber=1)
    flow = by_user(changedFields=["Guardian_Phone__c"], sequenceNumber=2, recordIds=[SECOND], replay_id=7002)
    assert (read(ours).own, read(ours).changes) == (1, ())
    assert [one.record_id for one in read(flow).changes] == [SECOND]


def test_our_user_is_known_by_the_short_form_of_the_id_too() -> None:
    assert OURS.user_id is not None
    assert read(event(commitUser=OURS.user_id[:15], changedFields=["Fusion_Web_Id__c"])).own == 1


# The heartbeat

BEAT = Heartbeat(object_name="Heartbeat__c", record_id=long_id("a1H000000000001"), field="Beat__c")


def heard(message: dict[str, Any]) -> Reading:
    """The message as an installation with a heartbeat reads it."""
    return changes_in(message, ours=replace(OURS, heartbeat=BEAT), watched=WATCHED)


def beating(**header: Any) -> dict[str, Any]:
    """An update of the heartbeat's record by us."""
    told = {"entityName": "Heartbeat__c", "recordIds": [BEAT.record_id], "changedFields": ["Beat__c"]}
    return event(**{**told, "commitUser": OURS.user_id, **header})


def test_our_heartbeat_is_heard_and_is_no_change() -> None:
    assert heard(beating()) == Reading(at=NOON, own=1, echoed=True)
    assert heard(beating(recordIds=[BEAT.record_id[:15]])).echoed


@pytest.mark.parametrize(
    "header",
    [
        {"commitUser": "005000000000009AAA"},  # somebody else's edit proves the stream, but not our way through the org
        {"changedFields": ["Beat__c", "Name"]},
        {"changedFields": []},
        {"changeType": "DELETE", "changedFields": []},
        {"changeType": "GAP_UPDATE"},
    ],
)
def test_what_else_happens_to_the_heartbeats_record_is_no_echo_and_nobodys_patient(header: dict[str, Any]) -> None:
    assert heard(beating(**header)) == Reading(at=NOON, unwatched=1)


def test_other_records_of_the_heartbeats_object_are_unwatched() -> None:
    assert heard(beating(recordIds=["a1H000000000002AAA"])) == Reading(at=NOON, unwatched=1)
    assert heard(event()) == read(event())


def test_our_fields_edited_by_somebody_else_are_a_change() -> None:
    reading = read(event(changedFields=["Fusion_Web_Id__c"]))
    assert (reading.own, len(reading.changes)) == (0, 1)


@pytest.mark.parametrize("origin", ["", "com/salesforce/api/rest/66.0", "com/salesforce/api/rest/66.0;client=", 12])
def test_an_origin_without_a_client_is_nobodys(origin: Any) -> None:
    nobody = Ours(user_id=None, client="", fields=OURS.fields)
    reading = changes_in(event(changeOrigin=origin, changedFields=["Fusion_Web_Id__c"]), ours=nobody, watched=WATCHED)
    assert (reading.own, len(reading.changes)) == (0, 1)


# What is no change event


@pytest.mark.parametrize(
    ("message", "says"),
    [
        ({}, "ChangeEventHeader is missing"),
        ({"data": None}, "ChangeEventHeader is missing"),
        ({"data": {"payload": []}}, "ChangeEventHeader is missing"),
        ({"data": {"payload": {"ChangeEventHeader": "x"}}}, "ChangeEventHeader is missing"),
        (event(replay_id=None), "replayId is missing"),
        (event(replay_id=True), "replayId is missing"),
        (event(replay_id=""), "replayId is missing"),
        (event(replay_id=[1]), "replayId is missing"),
        (event(replay_id="7\x001"), "replayId is missing"),
        (event(replay_id="7\ud800"), "replayId is missing"),
        (event(entityName=None), "entityName is missing"),
        (event(entityName=""), "entityName is missing"),
        (event(entityName=5), "entityName is missing"),
        (event(changeType=None), "changeType is missing"),
        (event(changeType="SNAPSHOT"), "changeType is not one that is documented"),  # reserved, so not known yet
        (event(changeType="TRUNCATE"), "changeType is not one that is documented"),
        (event(changeType="GAP_"), "changeType is not one that is documented"),
        (event(changeType="GAP_GAP_UPDATE"), "changeType is not one that is documented"),
        (event(recordIds=[]), "recordIds is empty"),
        (event(recordIds=None), "recordIds is empty"),
        (event(recordIds="a0P000000000001EAA"), "recordIds is not a list of text"),
        (event(recordIds=[1]), "recordIds is not a list of text"),
        (event(recordIds=["a0P0001"]), "a record id is not 15 or 18 letters and digits"),
        (event(recordIds=["a0P00000000000é"]), "a record id is not 15 or 18 letters and digits"),
        (event(recordIds=[FIRST, "a0P-00000000001"]), "a record id is not 15 or 18 letters and digits"),
        (event(commitTimestamp=None), "commitTimestamp is not a number"),
        (event(commitTimestamp="1762171200000"), "commitTimestamp is not a number"),
        (event(commitTimestamp=True), "commitTimestamp is not a number"),
        (event(commitTimestamp=float("nan")), "commitTimestamp is out of range"),
        (event(commitTimestamp=float("inf")), "commitTimestamp is out of range"),
        (event(commitTimestamp=10**400), "commitTimestamp is out of range"),
        (event(changedFields="First_Name__c"), "changedFields is not a list"),
        (event(changedFields={"First_Name__c": 1}), "changedFields is not a list"),
        (event(changedFields=3), "changedFields is not a list"),
        (event(changedFields=["First_Name__c", 3]), "changedFields has something else than names"),
        (event(changedFields=["First\x00Name"]), "changedFields has something else than names"),
        (event(nulledFields="First_Name__c"), "nulledFields is not a list"),
        (event(diffFields=[3]), "diffFields has something else than names"),
        (event(transactionKey={"a": 1}), "transactionKey is not text"),
        (event(transactionKey="\ud800"), "transactionKey is not text"),
    ],
)
def test_what_is_malformed_says_what_is_missing(message: dict[str, Any], says: str) -> None:
    with pytest.raises(MalformedEvent) as raised:
        read(message)
    assert str(raised.value) == says


@pytest.mark.parametrize(
    ("message", "position"),
    [(event(replay_id=7001), "7001"), (event(replay_id="abc"), "abc"), ({}, None), ({"data": {"event": []}}, None)],
)
def test_a_position_is_opaque_text_or_nothing(message: dict[str, Any], position: str | None) -> None:
    assert replay_id_of(message) == position


CANARY = "Zebulon-Canary"
json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=20)
    | st.just(CANARY)
    | st.sampled_from([FIRST, FIRST[:15], "a0P*", "Patient__c", "UPDATE", "GAP_OVERFLOW"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
header_names = st.sampled_from(list(event()["data"]["payload"]["ChangeEventHeader"]))


@given(data=json_values, header=st.dictionaries(header_names, json_values, max_size=4), replay_id=json_values)
def test_any_json_gives_a_reading_or_a_complaint_that_quotes_nothing(
    data: Any, header: dict[str, Any], replay_id: Any
) -> None:
    broken = event(replay_id=replay_id, body={"First_Name__c": CANARY})
    broken["data"]["payload"]["ChangeEventHeader"] |= header
    for message in ({"data": data}, {"data": {"payload": data, "event": {"replayId": 1}}}, broken):
        reading, complaint = Reading(), ""
        try:
            reading = read(message)
        except MalformedEvent as error:
            complaint = "".join(traceback.format_exception(error))
        assert CANARY not in complaint
        assert all(one.changed_at.tzinfo is UTC for one in reading.changes)
        # What is kept must go into a Postgres text column, which takes neither NUL nor half a surrogate pair.
        for one in reading.changes:
            assert f"{one.dedupe_key}{one.record_id}{''.join(one.fields)}".isprintable()
