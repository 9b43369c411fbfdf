// A form in place of what it edits: Save sleeps until something differs, and a failure leaves everything as it was typed.

import { Refused, SessionEnded } from "./api.js";
import { el } from "./dom.js";
import { fieldFor } from "./fields.js";

const REDRAWN = 30;

/**
 * The form of one section or row.
 * `save(changed)` gets the fields that differ and does the rest; what it throws is shown in the form.
 */
export function formFor({ section, label, values, save, cancel }) {
  const fields = section.fields.map((field) => fieldFor(field, values[field.name] ?? ""));
  const saveButton = el("button", { type: "submit", class: "primary", disabled: true }, `Save ${section.row}`);
  const problem = el("div", { class: "problem" });
  const form = el(
    "form",
    { novalidate: true, "aria-label": label, autocomplete: "off" },
    el("div", { class: "fields" }, fields.map((field) => field.node)),
    problem,
    el("div", { class: "buttons" }, el("button", { type: "button", onclick: cancel }, "Cancel"), saveButton),
  );
  let saving = false;
  fields.filter((field) => field.forgetful).forEach(forgets);

  function changed() {
    return Object.fromEntries(
      fields.filter((field) => field.value() !== (values[field.name] ?? "")).map((field) => [field.name, field.value()]),
    );
  }

  // After the change, not while typing: as in web clients of this kind, a field counts once it was left.
  function refresh() {
    const blocked = fields.filter((field) => field.blocks()).length > 0;
    saveButton.disabled = saving || blocked || Object.keys(changed()).length === 0;
  }

  function forgets(field) {
    field.node.addEventListener("change", () => {
      const then = fields.map((one) => one.value());
      setTimeout(() => {
        fields.forEach((one, i) => one.restore(then[i]));
        refresh();
      }, REDRAWN);
    });
  }

  function show(messages) {
    problem.replaceChildren(...(messages.length ? [el("p", { role: "alert" }, messages.join(" "))] : []));
  }

  // A click within the form is not one on the section around it, which would open it again right after Cancel.
  form.addEventListener("click", (event) => event.stopPropagation());
  form.addEventListener("change", refresh);
  // A mask sets the value while it is typed, and Chromium may then leave out the change event.
  form.addEventListener("focusout", refresh);
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    if (saving) return;
    const messages = fields.map((field) => field.problem()).filter((message) => message);
    show(messages);
    if (messages.length) return;
    saving = true;
    form.setAttribute("aria-busy", "true");
    refresh();
    try {
      await save(changed());
    } catch (error) {
      if (!(error instanceof SessionEnded)) show(wordsFor(error));
    } finally {
      saving = false;
      form.removeAttribute("aria-busy");
      refresh();
    }
  });
  queueMicrotask(() => fields[0].focus());
  return form;
}

function wordsFor(error) {
  if (error instanceof Refused && error.status === 422) return Object.values(error.body.problems);
  if (error instanceof Refused && error.status === 409) {
    return ["This chart was changed by another user. Please open it again."];
  }
  if (error instanceof Refused && error.status === 404) return ["This record no longer exists."];
  return ["Something went wrong. Please try again."];
}
