// The patient's chart: one long page of sections, each edited in place, and the form of a new patient.

import { Refused, request } from "./api.js";
import { askDuplicate } from "./dialogs.js";
import { el } from "./dom.js";
import { formFor } from "./form.js";

const path = (...parts) => `/api/patients/${parts.map(encodeURIComponent).join("/")}`;

function pairs(fields, values) {
  return el(
    "dl",
    {},
    fields.map((field) =>
      el(
        "div",
        { class: field.widget === "textarea" ? "wide" : null },
        el("dt", {}, field.label),
        el("dd", { "data-field": field.name }, values[field.name] ?? ""),
      ),
    ),
  );
}

/** The view of an existing chart. `known` is the chart itself if it was created just now; that is shown as its status. */
export async function chartView(id, sections, known = null) {
  let chart = known;
  try {
    chart ??= (await request("GET", path(id))).chart;
  } catch (error) {
    const gone = error instanceof Refused && error.status === 404;
    return el("p", { role: "alert" }, gone ? "Patient not found." : "Something went wrong. Please try again.");
  }
  const header = el("header", { "aria-label": "Chart", class: "chart-header" });
  const shown = new Map();
  const context = {
    get chart() {
      return chart;
    },
    /** Takes in the chart an answer brought; sections that are not being edited show it. */
    take(answer) {
      chart = answer.chart;
      refresh();
    },
  };

  function refresh() {
    const p = chart.Patient;
    const name = [p["First Name"], p["Middle Name"], p["Last Name"]].filter((part) => part).join(" ");
    header.replaceChildren(
      el("h1", {}, name),
      pairs([{ name: "Patient ID", label: "Patient ID" }, { name: "Birthdate", label: "Birthdate" }], {
        "Patient ID": chart.id,
        Birthdate: p.Birthdate,
      }),
      ...(chart.active ? [] : [el("span", { class: "badge" }, "Inactive")]),
    );
    for (const view of shown.values()) view.refresh();
  }

  for (const section of sections) {
    shown.set(section.name, section.many ? rowsView(section, context) : patientView(section, context));
  }
  shown.set("Files", filesView());
  refresh();
  if (known) shown.get("Patient").announce();
  const tabs = el(
    "nav",
    { "aria-label": "Chart" },
    [...shown].map(([name, view]) =>
      el(
        "a",
        {
          href: `#/patients/${chart.id}`,
          onclick: (event) => {
            event.preventDefault();
            view.node.scrollIntoView({ block: "start" });
          },
        },
        name,
      ),
    ),
  );
  return el("div", { class: "chart" }, header, tabs, el("div", { class: "sections" }, [...shown.values()].map((v) => v.node)));
}

function frame(name) {
  const body = el("div", { class: "body" });
  const status = el("div", { class: "status" });
  const node = el("section", { "aria-label": name }, el("h2", {}, name), body, status);
  return {
    node,
    body,
    announce(noun, revision) {
      status.replaceChildren(el("p", { role: "status", "data-revision": revision }, `${noun} saved.`));
    },
    hush: () => status.replaceChildren(),
  };
}

function patientView(section, context) {
  const { node, body, announce, hush } = frame(section.name);
  let editing = false;

  function display() {
    editing = false;
    node.dataset.revision = context.chart.revision;
    body.replaceChildren(el("div", { class: "display" }, pairs(section.fields, context.chart.Patient)));
  }

  function edit() {
    editing = true;
    hush();
    body.replaceChildren(
      formFor({
        section,
        label: `Edit ${section.row}`,
        values: context.chart.Patient,
        cancel: display,
        async save(values) {
          const answer = await request("PUT", path(context.chart.id, "Patient"), { values, revision: context.chart.revision });
          editing = false;
          context.take(answer);
          announce(section.row, answer.chart.revision);
        },
      }),
    );
  }

  node.addEventListener("click", () => {
    if (!editing) edit();
  });
  return {
    node,
    announce: () => announce(section.row, context.chart.revision),
    refresh() {
      if (!editing) display();
    },
  };
}

function rowsView(section, context) {
  const { node, body, announce, hush } = frame(section.name);
  const rows = el("div", { class: "rows" });
  const fresh = el("div", { class: "fresh" });
  const plus = el("button", { type: "button", class: "plus", onclick: add }, `+ ${section.row}`);
  const editing = new Set();
  body.append(rows, fresh, el("div", { class: "lower-right" }, plus));

  function article(row, number) {
    const card = el("article", { "aria-label": `${section.row} ${number}`, "data-row": row.row_id }, pairs(section.fields, row));
    card.addEventListener("click", () => {
      if (!editing.has(row.row_id)) edit(card, row);
    });
    return card;
  }

  function edit(card, row) {
    hush();
    editing.add(row.row_id);
    const form = formFor({
      section,
      label: `Edit ${card.getAttribute("aria-label")}`,
      values: row,
      cancel() {
        editing.delete(row.row_id);
        refresh();
      },
      async save(values) {
        const answer = await request("PUT", path(context.chart.id, section.name, row.row_id), { values, revision: context.chart.revision });
        editing.delete(row.row_id);
        context.take(answer);
        announce(section.row, answer.chart.revision);
      },
    });
    card.replaceChildren(form);
  }

  function add() {
    hush();
    plus.hidden = true;
    const close = () => {
      fresh.replaceChildren();
      plus.hidden = false;
    };
    fresh.replaceChildren(
      formFor({
        section,
        label: `New ${section.row}`,
        values: {},
        cancel: close,
        async save(values) {
          const answer = await request("POST", path(context.chart.id, section.name), { values, revision: context.chart.revision });
          close();
          context.take(answer);
          announce(section.row, answer.chart.revision);
        },
      }),
    );
  }

  function refresh() {
    node.dataset.revision = context.chart.revision;
    const open = new Map([...rows.children].map((card) => [card.dataset.row, card]));
    const all = context.chart[section.name];
    const cards = all.map((row, i) => (editing.has(row.row_id) ? open.get(row.row_id) : article(row, i + 1)));
    rows.replaceChildren(...(cards.length ? cards : [el("p", { class: "none" }, `No ${section.name.toLowerCase()}`)]));
  }

  return { node, refresh };
}

function filesView() {
  const { node, body } = frame("Files");
  body.append(el("p", { class: "none" }, "No files"));
  return { node, refresh: () => {} };
}

/** The view of a new patient; `created(chart)` is told when there is one. */
export function newPatientView(sections, created) {
  const section = sections.find((candidate) => !candidate.many);
  const form = formFor({
    section,
    label: "New Patient",
    values: {},
    cancel: () => {
      location.hash = "#/";
    },
    async save(values) {
      const answer = await create(values, false);
      if (answer) created(answer.chart);
    },
  });
  return el(
    "div",
    { class: "chart new" },
    el("header", { class: "chart-header" }, el("h1", {}, "New Patient")),
    el("div", { class: "sections" }, el("section", { "aria-label": section.name }, el("h2", {}, section.name), form)),
  );
}

async function create(values, anyway) {
  try {
    return await request("POST", "/api/patients", { values, anyway });
  } catch (error) {
    if (!(error instanceof Refused && error.status === 409)) throw error;
    return (await askDuplicate(error.body.candidates)) ? create(values, true) : null;
  }
}
