"""A backfill from its preview to the worker's end, on both stand-ins; what was done is read in their ledgers."""

from __future__ import annotations

import csv
import stat
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from fusion.backfill_list import Draft, Verdict
from fusion.pace import Pace
from fusion.reading import OnlyLooking, number_field
from listener import schema
from listener.database import Database
from listener.entry import State
from listener.errors import EntryError, Outage
from listener.org import FieldDescription
from tests.fusion.office import MAPPING, Office, Stopped, office
from tests.fusion.town import looks, settled_in, writes
from tests.outbox_rows import a_change, arrive, rows
from tests.portal_people import a_patient, go_ahead, web_portal


@pytest.fixture
async def at(url: str, tmp_path: Path) -> AsyncIterator[Office]:
    async with office(tmp_path, url) as opened:
        yield opened


async def tables(db: Database) -> dict[str, list[object]]:
    """Every row of every table."""
    return {table.name: list(await rows(db, table)) for table in schema.metadata.sorted_tables}


def lines_of(path: Path) -> dict[str, dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return {line["record_id"]: line for line in csv.DictReader(file)}


async def test_sixty_patients_are_told_apart_and_nothing_is_written(at: Office) -> None:
    town = settled_in(at.box)
    before = await tables(at.db)
    found = await at.preview()

    assert found.counts() == town.counts()
    lines = lines_of(at.folder / "list.csv")
    assert {record: line["verdict"] for record, line in lines.items()} == town.right
    assert {record: line["code"] for record, line in lines.items()} == town.codes
    assert {record: line["chart"] for record, line in lines.items() if line["chart"]} == town.charts
    for record, chart in town.candidates.items():
        assert lines[record]["candidates"].startswith(chart)
    assert all(line["name"].startswith("PT-") for line in lines.values())

    assert await tables(at.db) == before
    assert writes(at.box) == []
    assert len(list(looks(at.box, "login"))) == 1


async def test_the_list_names_nobody_unless_it_is_asked_to(at: Office) -> None:
    town = settled_in(at.box)
    await at.preview()
    text = (at.folder / "list.csv").read_text()
    assert [name for name in town.names if name in text] == []
    named = at.folder / "named.csv"
    at.limit = 3
    await at.preview(named, with_names=True)
    records = {one["Id"]: one for one in at.box.org.control.records()}
    for record, line in lines_of(named).items():
        assert line["patient"] == f"{records[record]['Last_Name__c']}, {records[record]['First_Name__c']}"
        assert str(records[record]["Date_of_Birth__c"]) not in ",".join(line.values())
    assert {stat.S_IMODE(path.stat().st_mode) for path in (named, at.folder / "list.csv")} == {0o600}


async def test_look_ups_come_at_the_pace_and_only_for_what_can_be_looked_up(at: Office) -> None:
    for number in range(4):
        at.record(Last_Name__c=f"Pace{number}", SSN__c=None)
    at.record(Date_of_Birth__c=None)
    await at.preview(per_minute=30)
    assert at.waited == [2.0, 2.0, 2.0]
    asked = Counter(str(line["about"]["query"])[:4] for line in looks(at.box, "search"))
    assert asked["Pace"] == 4
    assert asked["Samp"] == 0


async def test_a_pace_makes_up_for_nothing() -> None:
    clock, waited = [0.0], list[float]()

    async def sleep(seconds: float) -> None:
        waited.append(seconds)
        clock[0] += seconds

    pace = Pace(20, clock=lambda: clock[0], sleep=sleep)
    await pace.turn()
    clock[0] += 60  # the portal was slow
    await pace.turn()
    await pace.turn()
    assert waited == [3.0]


async def test_a_preview_that_was_cut_off_goes_on_where_it_was(at: Office) -> None:
    parts = [{"Last_Name__c": f"Part{n}", "Guardian_Phone__c": None, "SSN__c": None} for n in range(6)]
    records = [at.record(**one) for one in parts]
    at.stop_after = 4
    with pytest.raises(Stopped):
        await at.preview()
    assert not (at.folder / "list.csv").exists()
    at.stop_after = 1000
    part = at.folder / "list.csv.part"
    part.write_text(part.read_text() + "a0P00")  # cut off while it was written
    at.edit(records[0], Guardian_City__c="Apex")
    seen = len(list(looks(at.box, "search")))
    found = await at.preview()
    assert (found.kept, len(found.lines)) == (3, 6)
    again = [str(line["about"]["query"]) for line in list(looks(at.box, "search"))[seen:]]
    assert [one for one in again if one.startswith("Part")] == ["Part4", "Part5", "Part0"]
    assert not part.exists()


async def test_a_line_of_yesterday_is_looked_up_again(at: Office) -> None:
    at.record()
    at.record(First_Name__c="Ada")
    at.stop_after = 1
    with pytest.raises(Stopped):
        await at.preview()
    at.stop_after, at.now = 1000, lambda: datetime.now(UTC) + timedelta(days=1)
    assert (await at.preview()).kept == 0


async def test_who_is_linked_or_in_the_outbox_is_not_looked_up(at: Office) -> None:
    waiting, gone, free = at.record(), at.record(First_Name__c="Ada"), at.record(First_Name__c="Bea")
    at.box.org.control.delete(gone)
    await arrive(at.db, a_change(record_id=waiting))
    found = await at.preview()
    assert [one.record_id for one in found.lines] == [free]
    assert (found.linked, found.in_hand) == (0, 1)
    await at.work()
    found = await at.preview(at.folder / "second.csv")
    assert (found.linked, found.in_hand, len(found.lines)) == (1, 0, 1)


async def test_only_those_that_were_asked_for(at: Office) -> None:
    at.record()
    north = at.record(First_Name__c="Ada", Location__c="North Clinic")
    at.where = "Location__c = 'North Clinic'"
    assert [one.record_id for one in (await at.preview()).lines] == [north]


async def test_a_chart_that_salesforce_names_is_looked_at_alone(at: Office) -> None:
    first = at.record()
    await arrive(at.db, a_change(record_id=first))
    await at.work()
    [link] = await rows(at.db, schema.link)
    async with at.db.writing() as tx:  # as after a restore of another day's database
        for table in reversed(schema.metadata.sorted_tables):
            await tx.execute(table.delete())
    searches = len(list(looks(at.box, "search")))
    [line] = (await at.preview()).lines
    assert (line.verdict, line.chart, line.changes) == (Verdict.MATCHED, link["portal_id"], 0)
    assert len(list(looks(at.box, "search"))) == searches


async def test_two_records_of_one_chart_are_a_question(at: Office) -> None:
    town = settled_in(at.box)
    record, chart = next(iter(town.charts.items()))
    twice = next(one for one in at.box.org.control.records() if one["Id"] == record)
    names = {source for rule in MAPPING.rules.values() for source in rule.sources}
    other = at.box.org.control.create({name: twice[name] for name in names} | {"Ready_for_Fusion__c": True})
    await at.preview()
    lines = lines_of(at.folder / "list.csv")
    for one in (record, other):
        assert (lines[one]["verdict"], lines[one]["code"], lines[one]["candidates"]) == (
            "ambiguous",
            "same_chart_twice",
            chart,
        )


async def test_a_portal_that_is_out_ends_the_preview_and_shuts_nothing(at: Office) -> None:
    at.record()
    at.box.portal.control.fault(kinds=["search"], status=503)
    before = await tables(at.db)
    with pytest.raises(Outage):
        await at.preview()
    assert await tables(at.db) == before


async def test_what_cannot_be_read_is_no_verdict_and_five_in_a_row_are_an_outage(at: Office) -> None:
    names = ("Mia", "Ada", "Bea", "Cleo", "Dora", "Eve", "Fay", "Gil")
    for name in names:
        at.record(First_Name__c=name, SSN__c=None)
    at.unreadable = 2
    found = await at.preview()
    verdicts = [one.verdict for one in found.lines]
    assert verdicts[:2] == [Verdict.UNREAD] * 2
    assert Verdict.UNREAD not in verdicts[2:]
    at.unreadable = 5
    with pytest.raises(Outage, match="five times in a row"):
        await at.preview(at.folder / "second.csv")
    done = await at.approve()
    assert (done.enqueued, done.not_asked_for) == (6, 2)


async def test_a_list_is_never_written_over(at: Office) -> None:
    path = at.folder / "list.csv"
    path.write_text("reviewed")
    with pytest.raises(EntryError):
        Draft(path, with_names=False)
    assert path.read_text() == "reviewed"


async def test_what_was_approved_becomes_true_by_the_worker(at: Office) -> None:
    town = settled_in(at.box)
    await at.preview()
    probable = list(town.candidates)[-3:]
    undecided = [one for one in town.of("ambiguous") if one not in probable]
    new, chosen, skipped = probable[0], probable[1], probable[2]
    at.decide({chosen: town.candidates[chosen], new: "new", skipped: "skip", undecided[-1]: "new"})
    done = await at.approve()
    going = len(town.of("matched")) + len(town.of("create")) + 3
    assert (done.enqueued, done.with_chart, done.as_new, done.skipped) == (going, 1, 2, 1)
    assert (done.undecided, done.not_asked_for, done.refused) == (len(undecided) - 1, 6, [])
    entries = await rows(at.db)
    assert {one["priority"] for one in entries} == {30}
    [told] = await rows(at.db, schema.action)
    assert (told["actor"], told["verb"], told["reason"]) == ("dana", "backfill", f"{going} records: Reviewed with Kim.")
    assert writes(at.box) == []

    again = await at.approve()
    assert (again.enqueued, again.already) == (0, going)
    assert await rows(at.db) == entries

    while (await at.work()).settled:
        pass
    assert {one["state"] for one in await rows(at.db)} == {State.DONE}
    links = {one["record_id"]: (one["portal_id"], one["how"]) for one in await rows(at.db, schema.link)}
    assert {record: chart for record, (chart, how) in links.items() if how == "matched"} == town.charts
    assert links[chosen] == (town.candidates[chosen], "by_hand")
    made = {line["patient_id"] for line in looks(at.box, "create")}
    assert {links[one][0] for one in [*town.of("create"), new, undecided[-1]]} == made
    assert len(made) == len(town.of("create")) + 2
    assert (await at.approve()).enqueued == 0


async def test_a_line_whose_record_changed_is_refused_by_name(at: Office) -> None:
    stays, changed, gone, unready = (at.record(First_Name__c=name) for name in ("Mia", "Ada", "Bea", "Cleo"))
    await at.preview()
    lines = lines_of(at.folder / "list.csv")
    at.box.org.control.update(unready, {"Ready_for_Fusion__c": False})
    at.box.org.control.delete(gone)
    at.edit(changed, Guardian_City__c="Apex")
    done = await at.approve()
    assert done.enqueued == 1
    assert [one["record_id"] for one in await rows(at.db)] == [stays]
    assert dict(done.refused) == {
        lines[changed]["name"]: "it changed since the preview: preview again",
        lines[gone]["name"]: "it is gone from Salesforce",
        lines[unready]["name"]: "it is not marked as ready any more",
    }


async def test_only_some_verdicts(at: Office) -> None:
    town = settled_in(at.box)
    await at.preview()
    done = await at.approve(only=frozenset({Verdict.IMPOSSIBLE}))
    assert done.enqueued == len(town.of("impossible"))
    await at.work()
    refusals = {one["record_id"]: one["code"] for one in await rows(at.db)}
    assert refusals == {record: town.codes[record] for record in town.of("impossible")}


async def test_a_chart_that_is_somebodys_or_is_given_twice_is_refused(at: Office) -> None:
    one, two, three = (at.record(First_Name__c=name) for name in ("Mia", "Ada", "Bea"))
    await arrive(at.db, a_change(record_id=one))
    await at.preview()
    await at.work()
    [link] = await rows(at.db, schema.link)
    at.decide({two: link["portal_id"], three: link["portal_id"]})
    done = await at.approve()
    assert (done.enqueued, [why for _, why in done.refused]) == (
        0,
        [f"chart {link['portal_id']} is record {one}'s already"] * 2,
    )
    at.decide({two: "40001", three: "40001"})
    assert [why for _, why in (await at.approve()).refused] == ["chart 40001 is given to two records"] * 2
    assert len(await rows(at.db)) == 1


async def test_the_list_of_another_org_is_refused_whole(at: Office) -> None:
    at.record()
    await at.preview()
    path = at.folder / "list.csv"
    path.write_text(path.read_text().replace(at.place.digest, "0" * 12))
    with pytest.raises(EntryError, match="another org or portal"):
        await at.approve()
    assert await rows(at.db) == []


@pytest.mark.parametrize(
    ("spoilt", "said"),
    [
        (lambda text: text.replace(",create,,", ",create,10 000,"), "line 2"),
        (lambda text: text.replace(",create,", ",created,"), "line 2"),
        (lambda text: text + text.splitlines()[1] + "\n", "twice"),
        (lambda text: text.replace("modified_at", "changed"), "no list"),
        (lambda text: "", "no list"),
    ],
)
async def test_a_list_that_cannot_be_understood_says_where(at: Office, spoilt, said: str) -> None:  # type: ignore[no-untyped-def]
    at.record()
    await at.preview()
    path = at.folder / "list.csv"
    path.write_text(spoilt(path.read_text()))
    with pytest.raises(EntryError, match=said):
        await at.approve()
    assert await rows(at.db) == []


def test_only_a_number_that_the_org_gives_stands_for_a_record() -> None:
    number = FieldDescription(name="Name", label="Patient Number", type="string", length=80, updateable=False)
    assert number_field({"Name": replace(number, auto_number=True)}) == "Name"
    assert number_field({"Name": number}) is None  # a Contact's, which is the person's
    assert number_field({}) is None


async def test_who_only_looks_cannot_write(at: Office) -> None:
    looking = OnlyLooking(web_portal(at.box.portal, at.folder))
    with pytest.raises(PermissionError):
        await looking.create(a_patient(), about_to_save=go_ahead)
    with pytest.raises(PermissionError):
        await looking.update("10234417", [], expect=a_patient().identity, about_to_save=go_ahead)


@pytest.mark.parametrize("name", ["=1+1", "+Anna", "-Anna", "@Anna"])
async def test_a_name_is_no_formula_for_a_spreadsheet(at: Office, name: str) -> None:
    at.record(Last_Name__c=name)
    await at.preview(with_names=True)
    [line] = lines_of(at.folder / "list.csv").values()
    assert line["patient"] == f"'{name}, Mia"
