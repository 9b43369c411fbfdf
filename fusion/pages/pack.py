"""A portal as data: where things are, what they are called, how values are written. Checked, and never changed.

What a pack must hold is what these classes say; `pack_file` reads it and tells a mistake with its line.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from datetime import date, timedelta
from typing import Literal, Self

from pydantic import Field, model_validator

from fusion import patient
from fusion.pages.entrance import Lock, Login, Password, Stop
from fusion.pages.entry import Entry
from fusion.pages.spot import Data, Pattern, Spots
from fusion.patient import Section

_IDENTIFYING = (patient.Field.FIRST_NAME, patient.Field.LAST_NAME, patient.Field.BIRTH_DATE)


class Form(Data):
    """One section of the chart and its form. With `rows` (CSS) it holds rows, and `add` opens an empty form.

    `heads` (CSS): the headings of a table whose lines are the rows, so that a value's label is that of its column.
    `elsewhere`: the form comes up in place of the chart, or over it, and not within its section or row.
    `sure`: what a question after Save is answered with; that is then the click which saves.
    """

    area: str
    rows: str | None = None
    heads: str | None = None
    add: Spots | None = None
    open: Spots
    form: Spots
    elsewhere: bool = False
    save: Spots
    sure: Spots | None = None
    cancel: Spots
    alert: Spots
    saved: Spots
    fields: Mapping[patient.Field, Entry]

    @model_validator(mode="after")
    def _rows_can_be_added(self) -> Self:
        if (self.rows is None) != (self.add is None):
            raise ValueError("rows and add go together")
        if self.heads is not None and self.rows is None:
            raise ValueError("heads are of rows")
        return self


class Routes(Data):
    """Addresses after the portal's own. `chart_again`: a second one of the same chart, by which it is asked for anew.

    `away`: a light page without a chart, where one goes in between where there is no second address; else `home`.
    """

    home: str
    away: str | None = None
    chart: str
    chart_again: str | None = None
    new: str

    @model_validator(mode="after")
    def _chart_by_id(self) -> Self:
        if "{id}" not in self.chart or "{id}" not in (self.chart_again or self.chart):
            raise ValueError("chart needs {id}")
        return self


class Forms(Data):
    """How values are written: `date` as for strftime, `phone` and `ssn` with # for a digit."""

    country: str = Field(pattern=r"^[A-Z]{2}$")
    date: str
    phone: str
    ssn: str

    @model_validator(mode="after")
    def _to_and_fro(self) -> Self:
        if date(2001, 2, 3).strftime(self.date) == self.date:
            raise ValueError("date has no %Y, %m, %d")
        if self.ssn.count("#") != 9:
            raise ValueError("ssn needs nine #")
        return self


class DialogClass(Data):
    """What an unknown dialog is about, by a regular expression over its words."""

    words: Pattern
    is_: str = Field(alias="is")


class Question(Data):
    """A question of the browser itself that comes after Save, by words in it. `answer`: the button that saves."""

    words: Pattern
    answer: Literal["ok", "cancel"] = "ok"


class Page(Data):
    """What all pages share. `dialog` is CSS. `unneeded`: addresses, with * for anything, that are not loaded.

    `frame` (CSS): the frame in which the portal works; search, charts and forms are looked for in it, the log-in and
    `inside` around it, and what may come over either in both. `loads`: every search and every save loads a document
    anew, so that only what came after it is believed. `mouse`: buttons that save listen to nothing but a mouse.
    """

    inside: Spots
    dialog: str
    trouble: Spots
    frame: str | None = None
    loads: bool = False
    mouse: bool = False
    questions: tuple[Question, ...] = ()
    dialogs: tuple[DialogClass, ...] = ()
    unneeded: tuple[str, ...] = ()


class ResultRow(Data):
    """Search results, all CSS: `each` row, and within it what it shows.

    `id`: what shows a chart's id; or else `link`, whose address has it.
    """

    each: str
    id: str | None = None
    link: str | None = None
    name: str
    birth_date: str
    phone: str

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        if (self.id is None) == (self.link is None):
            raise ValueError("either id or link")
        return self


class Search(Data):
    """The search. `settled` (CSS) is there exactly when the answer is; `echo` is its attribute with the query.

    `submit`: what is clicked after typing, where the answer does not come by itself. `total`: an attribute of `settled`
    that says how many there are; `scroll` (CSS): the list that is scrolled for the others, as it has only what is in
    view. `filter`: what is on the page, in view or not, exactly if a filter that somebody has left keeps results back;
    `unfilter`: what takes it away.
    """

    box: Spots
    by: tuple[patient.Field, ...]
    submit: Spots | None = None
    shortest: int = 1
    inactive: Spots | None = None
    settled: str
    echo: str | None = None
    more: Spots | None = None
    pages: int = 50
    total: str | None = None
    scroll: str | None = None
    filter: Spots | None = None
    unfilter: Spots | None = None
    name: Pattern
    row: ResultRow

    @model_validator(mode="after")
    def _lists_to_their_end(self) -> Self:
        if self.scroll is not None and (self.total is None or self.more is not None):
            raise ValueError("scroll needs total, and no more")
        if self.unfilter is not None and self.filter is None:
            raise ValueError("unfilter is of filter")
        return self

    @model_validator(mode="after")
    def _name_in_parts(self) -> Self:
        if not {"last", "given"} <= re.compile(self.name).groupindex.keys():
            raise ValueError("name must have the groups (?P<last>…) and (?P<given>…)")
        return self


class Chart(Data):
    """How a chart is read. All but `ready` and `missing` is CSS, or names of labels and attributes.

    `answer`: a regular expression for the address of the request that brings a chart; its {id} is the chart's. With it
    a chart is opened within the page; without it each opening is a page load. `id`: the label under which the header
    shows the chart's id; or else `address`: a regular expression that finds it in the page's address, as group `id`.
    `revision`: an attribute that grows with each save; without it a save is only told by a document that is loaded.
    `counts`: it grows by one with each save of anybody's, so that a greater step tells of somebody else's.
    """

    ready: Spots
    missing: Spots
    answer: Pattern | None = None
    header: str
    id: str | None = None
    address: Pattern | None = None
    pair: str
    label: str
    value: str
    row_key: str
    revision: str | None = None
    counts: bool = False

    @model_validator(mode="after")
    def _id_somewhere(self) -> Self:
        if self.counts and self.revision is None:
            raise ValueError("counts is of revision")
        if (self.id is None) == (self.address is None):
            raise ValueError("either id or address")
        if self.address is not None and "id" not in re.compile(self.address).groupindex:
            raise ValueError("address must have the group (?P<id>…)")
        return self


class New(Data):
    """The form of a new patient, and the warning that there may be one already, with `cancel` in it."""

    form: Spots
    duplicate: Spots
    cancel: Spots


class Messages(Data):
    """How to read an alert in a form: regular expressions, case does not count.

    `stale`: somebody else saved since, so the portal does not take our save.
    """

    trouble: Pattern
    gone: Pattern
    stale: Pattern | None = None


class Pack(Data):
    """One portal."""

    name: str
    describes: str
    routes: Routes
    forms: Forms
    page: Page
    login: Login
    lock: Lock
    stops: tuple[Stop, ...] = ()
    password: Password | None = None
    search: Search
    chart: Chart
    new: New
    messages: Messages
    sections: Mapping[Section, Form]

    @model_validator(mode="after")
    def _parts_that_need_each_other(self) -> Self:
        if self.chart.revision is None and not self.page.loads:
            raise ValueError("without chart.revision saves can only be told where page.loads")
        if self.chart.answer is not None and self.page.frame is not None:
            raise ValueError("chart.answer is not for charts in page.frame")
        if self.password is not None and self.page.frame is not None:
            raise ValueError("password is not changed by us where the portal works in page.frame: leave it out")
        if self.search.row.link is not None and self.chart.address is None:
            raise ValueError("search.row.link needs chart.address")
        return self

    @model_validator(mode="after")
    def _every_field_in_its_section(self) -> Self:
        for section, form in self.sections.items():
            if wrong := [field for field in form.fields if field.section is not section]:
                raise ValueError(f"{', '.join(wrong)} not of section {section}")
        if missing := set(Section) - set(self.sections):
            raise ValueError(f"no section {', '.join(sorted(missing))}")
        if missing_fields := set(_IDENTIFYING) - set(self.sections[Section.PATIENT].fields):
            raise ValueError(f"a chart cannot be told apart without {', '.join(sorted(missing_fields))}")
        return self

    @property
    def password_days(self) -> int | None:
        """How long a password is good; None if for ever, or if nothing is known of it."""
        return self.password.days if self.password else None

    @property
    def code_life(self) -> timedelta:
        """How long a log-in code is good, from the moment at which it was asked for."""
        return timedelta(minutes=self.login.code.minutes if self.login.code else 0)

    @property
    def edition(self) -> str:
        """Its name and a digest of all that it says; what merely comments on it does not count."""
        return f"{self.name} {hashlib.sha256(self.model_dump_json().encode()).hexdigest()[:12]}"

    def entry(self, field: patient.Field) -> Entry | None:
        """How that field is entered; None if this portal has no such field."""
        return self.sections[field.section].fields.get(field)
