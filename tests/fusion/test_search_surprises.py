"""What keeps a search from showing everybody: seen, and read past or refused. "Nobody found" makes a new chart."""

from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
import pytest_asyncio
from portal_people import PACK, a_patient
from portal_place import Place, place_at

from fusion.codes import Code
from fusion.pages.pack import Pack
from fusion.portal import Refused
from listener.errors import EntryError

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="module")]
SCROLLED = {
    "more": None,
    "total": "data-total",
    "scroll": '[role=listbox][aria-label="Search Results"]',
    "inactive": {"css": ".choice [role=checkbox]"},
}


def searching(**changed: Any) -> Pack:
    """The built-in pack with these keys of its search."""
    return Pack.model_validate(PACK.model_dump(by_alias=True) | {"search": PACK.search.model_dump() | changed})


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def opened(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Place]:
    async with place_at(tmp_path_factory.mktemp("evidence") / "pages", pack=searching(**SCROLLED)) as place:
        place.control.look(long_lists=True, widgets={"Include inactive": "checks"})
        yield place


@pytest.fixture
def place(opened: Place) -> Iterator[Place]:
    opened.control.clear_faults()
    opened.clinic.begin()
    yield opened
    opened.control.saved_filter("")


async def test_a_list_that_has_only_what_is_in_view_is_scrolled_to_its_end(place: Place) -> None:
    ids = {
        place.clinic.put(a_patient(first_name=f"Child{number:02}", last_name="Scrolled").values, active=number != 7)
        for number in range(34)
    }
    patient = a_patient(last_name="Scrolled", birth_date="2000-01-01", phone="")
    assert {hit.portal_id for hit in await place.portal.find(patient)} == ids
    tab = await place.portal.warm.tab()
    # Far from all were ever in the page at once.
    assert await tab.place.locator("[role=listbox] [role=option]").count() < 10


async def test_a_list_that_ends_early_is_no_answer(place: Place) -> None:
    for number in range(14):
        place.clinic.put(a_patient(first_name=f"Child{number:02}", last_name="Endless").values)
    place.control.fault(kind="search", skip=1, status=500)
    with pytest.raises(EntryError):
        await place.portal.find(a_patient(last_name="Endless", birth_date="2000-01-01", phone=""))


async def test_a_filter_that_somebody_left_is_taken_away_before_nobody_is_found(place: Place) -> None:
    patient = a_patient(last_name="Filtered", location="North")
    portal_id = place.clinic.put(patient.values)
    place.control.saved_filter("Main")
    found = [hit.portal_id for hit in await place.portal.find(patient) if hit.identity == patient.identity]
    assert (found, place.clinic.count("filter_cleared")) == ([portal_id], 1)


async def test_a_filter_that_stays_is_refused(place: Place) -> None:
    patient = a_patient(last_name="Unseen", location="North")
    place.clinic.put(patient.values)
    place.control.saved_filter("Main")
    place.control.fault(kind="filter", status=500, times=9)
    with pytest.raises(Refused) as refused:
        await place.portal.find(patient)
    assert (refused.value.code, refused.value.detail) == (Code.UNEXPECTED_PAGE, "a filter of the search that stays")
