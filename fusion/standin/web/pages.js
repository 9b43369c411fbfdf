// The pages around the chart. Their content is made up and fixed; only Admin > Payers comes from the server.

import { request } from "./api.js";
import { el } from "./dom.js";

const table = (headings, rows) =>
  el(
    "table",
    {},
    el("thead", {}, el("tr", {}, headings.map((heading) => el("th", { scope: "col" }, heading)))),
    el("tbody", {}, rows.map((row) => el("tr", {}, row.map((cell) => el("td", {}, cell))))),
  );

const withMenu = (label, entries, current, content) =>
  el(
    "div",
    { class: "with-menu" },
    el(
      "nav",
      { "aria-label": label },
      entries.map(([name, href]) => el("a", { href, "aria-current": name === current ? "page" : null }, name)),
    ),
    el("div", { class: "content" }, content),
  );

const THERAPISTS = ["R. Alder, SLP", "M. Birch, OT", "T. Cedar, PT"];
const HOURS = ["8:00 AM", "9:00 AM", "10:00 AM", "11:00 AM", "12:00 PM", "1:00 PM", "2:00 PM", "3:00 PM", "4:00 PM"];
const BOOKED = {
  "0-0": ["Speech Therapy", "30 min"],
  "0-2": ["Evaluation", "60 min"],
  "1-1": ["Occupational Therapy", "45 min"],
  "1-5": ["Evaluation", "60 min"],
  "2-3": ["Physical Therapy", "45 min"],
  "2-6": ["Physical Therapy", "45 min"],
  "0-7": ["Telehealth", "30 min"],
};

/** Schedule, the home page, with "+ Patient" at the lower right. */
export function scheduleView() {
  const today = new Date().toLocaleDateString("en-US", { weekday: "long", month: "long", day: "numeric", year: "numeric" });
  const slot = (hour, therapist) => {
    const booked = BOOKED[`${therapist}-${hour}`];
    return el("td", {}, booked ? el("div", { class: `slot t${therapist}` }, el("b", {}, booked[0]), el("span", {}, booked[1])) : null);
  };
  return el(
    "div",
    { class: "page schedule" },
    el("h1", {}, "Schedule"),
    el("p", { class: "hint" }, today),
    el(
      "table",
      { class: "calendar" },
      el("thead", {}, el("tr", {}, ["", ...THERAPISTS].map((name) => el("th", { scope: "col" }, name)))),
      el("tbody", {}, HOURS.map((hour, h) => el("tr", {}, el("th", { scope: "row" }, hour), THERAPISTS.map((_, t) => slot(h, t))))),
    ),
    el(
      "div",
      { class: "corner" },
      el("button", { type: "button", class: "plus", onclick: () => (location.hash = "#/patients/new") }, "+ Patient"),
    ),
  );
}

/** Docs. */
export function docsView() {
  return el(
    "div",
    { class: "page" },
    el("h1", {}, "Docs"),
    table(
      ["Document", "Type", "Status"],
      [
        ["Daily Note", "Speech Therapy", "Draft"],
        ["Plan of Care", "Occupational Therapy", "Awaiting signature"],
        ["Evaluation Report", "Physical Therapy", "Completed"],
      ],
    ),
  );
}

/** Billing. */
export function billingView() {
  const entries = [["Accounts", "#/billing"], ["Claims", "#/billing"], ["Remittances", "#/billing"]];
  return withMenu("Billing", entries, "Accounts", [
    el("h1", {}, "Accounts"),
    table(["Account", "Balance", "Last Payment"], [["All accounts", "0.00", "None"]]),
  ]);
}

/** Admin and its Basic Setup pages. */
export async function adminView(page) {
  const entries = [["Users", "#/admin/users"], ["Payers", "#/admin/payers"], ["Patient Cases", "#/admin/cases"]];
  if (page === "payers") {
    const { payers } = await request("GET", "/api/payers");
    return withMenu("Basic Setup", entries, "Payers", [
      el("h1", {}, "Payers"),
      table(["Name", "Status"], payers.map((name) => [name, "Active"])),
    ]);
  }
  if (page === "cases") {
    return withMenu("Basic Setup", entries, "Patient Cases", [
      el("h1", {}, "Patient Cases"),
      table(["Case", "Status"], ["Evaluation", "Speech Therapy", "Occupational Therapy", "Physical Therapy"].map((c) => [c, "Active"])),
    ]);
  }
  return withMenu("Basic Setup", entries, "Users", [
    el("h1", {}, "Users"),
    table(["Name", "Role"], [...THERAPISTS.map((name) => [name, "Therapist"]), ["Front Desk", "Scheduler"]]),
  ]);
}
