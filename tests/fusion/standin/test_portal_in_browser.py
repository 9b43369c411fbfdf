"""The page in a real Chromium, as a driver meets it; judged by what is seen and by the ledger."""

import os

import pytest
import pytest_asyncio
from playwright.async_api import Page, async_playwright, expect
from portal_people import BROWSER

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="module")]

EMAIL, PASSWORD, ADA = "robot@example.com", "Right-horse-7", "10230001"
expect.set_options(timeout=4000)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def chromium():
    # Chromium's sandbox refuses to run as root.
    flags = ["--no-sandbox"] if os.geteuid() == 0 else []
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=BROWSER, args=flags)
        yield browser
        await browser.close()


@pytest_asyncio.fixture(loop_scope="module")
async def portal(make_portal):
    async with make_portal() as portal:
        yield portal


@pytest_asyncio.fixture(loop_scope="module")
async def stranger(chromium, portal):
    """A page of a new browser, not logged in. An error in the page's own script fails the test."""
    context = await chromium.new_context()
    page = await context.new_page()
    page.set_default_timeout(4000)
    broken: list[str] = []
    page.on("pageerror", lambda error: broken.append(str(error)))
    yield page
    await context.close()
    assert broken == []


@pytest_asyncio.fixture(loop_scope="module")
async def page(stranger, portal):
    """A page that is logged in, on the schedule."""
    await stranger.goto(portal.url)
    await log_in(stranger)
    await expect(stranger.get_by_role("heading", name="Schedule")).to_be_visible()
    return stranger


async def log_in(page: Page, password: str = PASSWORD) -> None:
    await page.get_by_label("Email").fill(EMAIL)
    await page.get_by_label("Password").fill(password)
    await page.get_by_role("button", name="Log In").click()


async def open_chart(page: Page, portal) -> None:
    await page.goto(f"{portal.url}/#/patients/{ADA}")
    await expect(page.get_by_role("heading", level=1, name="Ada June Sample")).to_be_visible()


def region(page: Page, name: str):
    return page.get_by_role("region", name=name, exact=True)


def deeds(portal, *kinds):
    return [line for line in portal.ledger.lines() if line.kind in kinds]


async def test_a_wrong_password_is_told_and_a_deep_link_is_where_one_lands_after_the_right_one(stranger, portal):
    await stranger.goto(f"{portal.url}/#/patients/{ADA}")
    await log_in(stranger, "wrong")
    await expect(stranger.get_by_role("alert")).to_have_text("The email or password is incorrect.")
    await log_in(stranger)
    await expect(stranger.get_by_role("heading", level=1, name="Ada June Sample")).to_be_visible()
    await expect(stranger).to_have_url(f"{portal.url}/#/patients/{ADA}")


async def test_search_shows_hits_in_columns_and_opens_the_chart(page, portal):
    await page.get_by_role("searchbox", name="Search Patients").fill("nobody")
    await expect(page.get_by_text("No patients found")).to_be_visible()
    await page.get_by_role("searchbox", name="Search Patients").fill("sample")
    results = page.get_by_role("listbox", name="Search Results")
    await expect(results).to_have_attribute("aria-busy", "false")
    hit = results.get_by_role("option")
    assert await hit.locator("span").all_inner_texts() == ["Sample, Ada June", "03/04/2019", "(919) 555-0123", ADA]
    await hit.click()
    await expect(page).to_have_url(f"{portal.url}/#/patients/{ADA}")
    chart = page.locator("header[aria-label=Chart]")
    await expect(chart.locator("[data-field='Patient ID']")).to_have_text(ADA)
    await expect(chart.locator("[data-field=Birthdate]")).to_have_text("03/04/2019")
    assert [line.about["query"] for line in deeds(portal, "search")] == ["nobody", "sample"]


async def test_more_results_follow_the_first_ten(page, portal):
    for number in range(13):
        patient = {"First Name": f"Kid{number:02}", "Last Name": "Many", "Birthdate": "01/02/2018"}
        portal.control.put_patient({"Patient": patient})
    await page.get_by_role("searchbox", name="Search Patients").fill("many")
    options = page.get_by_role("listbox", name="Search Results").get_by_role("option")
    await expect(options).to_have_count(10)
    await page.get_by_role("button", name="More results").click()
    await expect(options).to_have_count(13)
    await expect(page.get_by_role("button", name="More results")).to_have_count(0)


async def test_an_unknown_patient_is_told(page, portal):
    await page.goto(f"{portal.url}/#/patients/99999999")
    await expect(page.get_by_role("alert")).to_have_text("Patient not found.")


async def test_save_sleeps_until_a_field_was_changed_and_left(page, portal):
    await open_chart(page, portal)
    patient = region(page, "Patient")
    await patient.click()
    save = patient.get_by_role("button", name="Save Patient")
    await expect(save).to_be_disabled()
    await patient.get_by_label("Nickname").fill("Addie")
    await expect(save).to_be_disabled()
    await page.keyboard.press("Tab")
    await expect(save).to_be_enabled()
    await patient.get_by_label("Nickname").fill("")
    await page.keyboard.press("Tab")
    await expect(save).to_be_disabled()
    await patient.get_by_role("button", name="Cancel").click()
    await expect(patient.locator("dd[data-field=Nickname]")).to_have_text("")
    assert deeds(portal, "save") == []


async def test_one_field_is_saved_with_its_evidence(page, portal):
    await open_chart(page, portal)
    patient = region(page, "Patient")
    await patient.click()
    await patient.get_by_label("Nickname").fill("Addie")
    await patient.get_by_label("Gender").select_option("Non-binary")
    await patient.get_by_role("button", name="Save Patient").click()
    status = patient.get_by_role("status")
    await expect(status).to_have_text("Patient saved.")
    await expect(status).to_have_attribute("data-revision", "2")
    await expect(patient).to_have_attribute("data-revision", "2")
    await expect(patient.locator("dd[data-field=Nickname]")).to_have_text("Addie")
    [line] = deeds(portal, "save")
    assert line.after == {"Nickname": "Addie", "Gender": "Non-binary"}


async def test_masks_shape_what_is_typed_and_an_unfinished_date_blocks_the_save(page, portal):
    await page.get_by_role("button", name="+ Patient").click()
    await expect(page.get_by_role("heading", name="New Patient")).to_be_visible()
    await page.get_by_label("First Name").fill("Ivy")
    await page.get_by_label("Last Name").fill("Masked")
    await page.get_by_label("SSN").press_sequentially("900x12/3456789")
    await expect(page.get_by_label("SSN")).to_have_value("900-12-3456")
    birthdate = page.get_by_label("Birthdate")
    await birthdate.press_sequentially("0506")
    await expect(birthdate).to_have_value("05/06")
    await page.get_by_label("First Name").focus()
    await page.get_by_role("button", name="Save Patient").click()
    await expect(page.get_by_role("alert")).to_have_text("Birthdate must be MM/DD/YYYY.")
    assert deeds(portal, "create", "refused") == []
    await birthdate.fill("05062020")
    await expect(birthdate).to_have_value("05/06/2020")
    await page.get_by_role("button", name="Save Patient").click()
    await expect(region(page, "Patient").get_by_role("status")).to_have_text("Patient saved.")
    [line] = deeds(portal, "create")
    await expect(page).to_have_url(f"{portal.url}/#/patients/{line.patient_id}")
    assert (line.after["Birthdate"], line.after["SSN"]) == ("05/06/2020", "900-12-3456")


async def test_a_contact_is_added_and_then_edited_in_place(page, portal):
    await open_chart(page, portal)
    contacts = region(page, "Contacts")
    await contacts.get_by_role("button", name="+ Contact").click()
    await contacts.get_by_label("Name", exact=True).fill("Sam Sample")
    await contacts.get_by_label("Phone").fill("9195550144")
    await contacts.get_by_role("button", name="Save Contact").click()
    await expect(contacts.get_by_role("status")).to_have_text("Contact saved.")
    row = contacts.get_by_role("article", name="Contact 2")
    await expect(row.locator("dd[data-field=Phone]")).to_have_text("(919) 555-0144")
    await row.click()
    await row.get_by_label("City").fill("Durham")
    await row.get_by_label("State").select_option("NC")
    await row.get_by_role("button", name="Save Contact").click()
    await expect(row.locator("dd[data-field=City]")).to_have_text("Durham")
    added, saved = deeds(portal, "add", "save")
    assert (added.row_id, saved.after) == (saved.row_id, {"City": "Durham", "State": "NC"})
    assert await row.get_attribute("data-row") == added.row_id


async def test_a_payer_counts_only_when_it_was_chosen_from_the_list(page, portal):
    await open_chart(page, portal)
    row = region(page, "Payers").get_by_role("article", name="Payer 1")
    await row.click()
    payer = row.get_by_role("combobox", name="Payer", exact=True)
    await payer.fill("Blue Ridge Health")
    await page.keyboard.press("Tab")
    await row.get_by_role("button", name="Save Payer").click()
    await expect(row.get_by_role("alert")).to_have_text("Choose a payer from the list.")
    assert deeds(portal, "save") == []
    await payer.fill("blue")
    await row.get_by_role("option", name="Blue Ridge Health").click()
    await row.get_by_role("button", name="Save Payer").click()
    await expect(region(page, "Payers").get_by_role("status")).to_have_text("Payer saved.")
    assert [line.after for line in deeds(portal, "save")] == [{"Payer": "Blue Ridge Health"}]


async def test_a_possible_duplicate_asks_first_and_both_answers_hold(page, portal):
    await page.goto(f"{portal.url}/#/patients/new")
    await page.get_by_label("First Name").fill("ada")
    await page.get_by_label("Last Name").fill("Sample")
    await page.get_by_label("Birthdate").fill("03042019")
    await page.get_by_label("First Name").focus()
    dialog = page.get_by_role("alertdialog", name="Possible Duplicate")
    for answer in ("Cancel", "Create Anyway"):
        await page.get_by_role("button", name="Save Patient").click()
        cells = dialog.get_by_role("listitem").locator("span")
        await expect(cells).to_have_text(["Sample, Ada June", "03/04/2019", ADA])
        assert deeds(portal, "create") == []
        await dialog.get_by_role("button", name=answer).click()
        await expect(dialog).to_have_count(0)
    await expect(page.get_by_role("heading", level=1, name="ada Sample")).to_be_visible()
    [line] = deeds(portal, "create")
    assert line.about["anyway"] is True


async def test_a_lock_in_the_middle_of_an_edit_covers_the_page_and_loses_nothing(page, portal):
    await open_chart(page, portal)
    patient = region(page, "Patient")
    await patient.click()
    await patient.get_by_label("Nickname").fill("Addie")
    await page.keyboard.press("Tab")
    portal.control.lock()
    await patient.get_by_role("button", name="Save Patient").click()
    lock = page.get_by_role("dialog", name="Session Locked")
    await expect(lock.get_by_text("Enter your password to continue.")).to_be_visible()
    with pytest.raises(Exception, match="intercepts pointer events"):
        await patient.get_by_role("button", name="Cancel").click(timeout=600)
    assert deeds(portal, "save") == []
    await lock.get_by_label("Password").fill("wrong")
    await lock.get_by_role("button", name="Unlock").click()
    await expect(lock.get_by_role("alert")).to_have_text("The password is incorrect.")
    await lock.get_by_label("Password").fill(PASSWORD)
    await lock.get_by_role("button", name="Unlock").click()
    await expect(patient.get_by_role("status")).to_have_text("Patient saved.")
    assert [line.after for line in deeds(portal, "save")] == [{"Nickname": "Addie"}]


async def test_a_session_that_ended_comes_back_to_the_page_it_was_on(page, portal):
    await open_chart(page, portal)
    portal.control.end_sessions()
    patient = region(page, "Patient")
    await patient.click()
    await patient.get_by_label("Nickname").fill("Addie")
    await page.keyboard.press("Tab")
    await patient.get_by_role("button", name="Save Patient").click()
    await expect(page.get_by_role("heading", name="Log In")).to_be_visible()
    await expect(page).to_have_url(f"{portal.url}/#/login")
    await log_in(page)
    await expect(page.get_by_role("heading", level=1, name="Ada June Sample")).to_be_visible()
    assert deeds(portal, "save") == []


@pytest.mark.parametrize("loss", [{"status": 500}, {"cut": True}])
async def test_a_reply_lost_after_the_commit_shows_a_failure_of_what_was_done_once(page, portal, loss):
    await page.goto(f"{portal.url}/#/patients/new")
    portal.control.fault(kind="create", after_commit=True, **loss)
    await page.get_by_label("First Name").fill("Ivy")
    await page.get_by_label("Last Name").fill("Once")
    await page.get_by_label("Birthdate").fill("05062020")
    await page.get_by_label("First Name").focus()
    await page.get_by_role("button", name="Save Patient").click()
    await expect(page.get_by_role("alert")).to_have_text("Something went wrong. Please try again.")
    await expect(page).to_have_url(f"{portal.url}/#/patients/new")
    await expect(page.get_by_label("First Name")).to_have_value("Ivy")
    assert len(deeds(portal, "create")) == 1


async def test_a_connection_cut_before_any_reply_makes_the_browser_itself_send_twice(page, portal):
    await open_chart(page, portal)
    notes = region(page, "Notes")
    portal.control.fault(kind="add", after_commit=True, cut=True, bare=True)
    await notes.get_by_role("button", name="+ Note").click()
    await notes.get_by_label("Note", exact=True).fill("Typed once.")
    await page.keyboard.press("Tab")
    await notes.get_by_role("button", name="Save Note").click()
    await expect(notes.get_by_role("status")).to_have_text("Note saved.")
    assert [line.after["Note"] for line in deeds(portal, "add")] == ["Typed once.", "Typed once."]


async def test_a_notice_nobody_expects_lies_over_the_page(page, portal):
    portal.control.fault(kind="read", notice={"title": "What's New", "text": "A tour of the new chart."})
    await open_chart(page, portal)
    await expect(page.get_by_role("dialog", name="What's New")).to_be_visible()


async def test_the_pages_around_the_chart_are_there(page):
    for tab, heading in [("Docs", "Docs"), ("Billing", "Accounts"), ("Admin", "Users"), ("Schedule", "Schedule")]:
        await page.get_by_role("navigation", name="Main").get_by_role("link", name=tab).click()
        await expect(page.get_by_role("heading", level=1, name=heading)).to_be_visible()
    await page.get_by_role("link", name="Admin").click()
    await page.get_by_role("link", name="Payers").click()
    await expect(page.get_by_role("cell", name="TriState Employers")).to_be_visible()
