"""A chart that may be a child's, or not: from the row that is parked to the answer, as a person goes that way."""

from __future__ import annotations

import sqlite3

import pytest

from fusion.standin.intakes import chart_of, intakes
from tests.fusion.shell import Shell, shell
from tests.fusion.town import looks

__all__ = ["shell"]  # a fixture
pytestmark = [pytest.mark.browser, pytest.mark.timeout(120)]  # three browsers, one after the other


async def test_what_is_unclear_is_compared_on_a_screen_and_answered(shell: Shell) -> None:
    william = next(intakes(5)).but(First_Name__c="William", Preferred_Name__c=None)
    billy = william.but(First_Name__c="Billy", SSN__c=None, Guardian_Phone__c="(919) 555-0188")
    chart = shell.box.portal.control.put_patient(chart_of(billy.record, "a0P000000000000AAA")).id
    record = shell.box.org.control.create(william.record)
    async with shell.working() as log:
        number, message = await shell.until("SELECT id, message FROM outbox WHERE state = 'PARKED'")
    assert message.startswith(f"Chart {chart} in the portal may be this patient, or not.")

    before = shell.tables()
    page = await shell.run("preview", record)
    lines = [[cell.strip() for cell in line.strip("│").split("│")] for line in page.splitlines() if line[:1] == "│"]
    last = str(billy.record["Last_Name__c"])
    assert ["First name", "William", "Billy", "short form or nickname"] in lines
    assert ["Last name", last, last, "same"] in lines
    assert ["Guardian phone", "+19195550147", "+19195550188", "differs"] in lines
    assert f"Chart {chart}: possibly this patient's" in page
    assert "first make name and birth date the same" in page
    assert f"Entry {number} waits for a person.\n  → `fusion-sync resolve {number} --chart N --reason …`" in page
    assert shell.tables() == before

    shell.box.org.control.update(record, {"First_Name__c": "Billy"})
    said = await shell.run("resolve", number, "--chart", chart, "--reason", "Kim knows the family.")
    async with shell.working() as more:
        await shell.until("SELECT id FROM outbox WHERE state = 'DONE'")
    with sqlite3.connect(shell.folder / "outbox.db") as connection:
        assert connection.execute("SELECT record_id, portal_id, how FROM link").fetchall() == [
            (record, chart, "by_hand")
        ]
    assert (said, list(looks(shell.box, "create"))) == (f"Entry {number} is due now.\n", [])
    kept = "\n".join([*shell.tables(), *log, *more])
    values = ("William", "Billy", last, "5550188", str(billy.record["Guardian_Email__c"]))
    assert [value for value in values if value in kept] == []
