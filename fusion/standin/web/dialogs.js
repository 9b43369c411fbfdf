// Dialogs over the page: the locked screen, a possible duplicate, and notices. Each lies on a cover that takes every click.

import { el, freshId } from "./dom.js";

function open(dialog, focus) {
  const before = document.activeElement;
  const cover = el("div", { class: "cover" }, dialog);
  cover.addEventListener("keydown", (event) => keepFocus(event, dialog));
  document.body.append(cover);
  focus.focus();
  return () => {
    cover.remove();
    if (before instanceof HTMLElement && before.isConnected) before.focus();
  };
}

function keepFocus(event, dialog) {
  if (event.key !== "Tab") return;
  const stops = [...dialog.querySelectorAll("input, button:not([disabled])")];
  const at = stops.indexOf(document.activeElement);
  const next = (at + (event.shiftKey ? -1 : 1) + stops.length) % stops.length;
  event.preventDefault();
  stops[next].focus();
}

/** Asks for the password until `attempt(password)` gives "" (resolves true) or null (resolves false). */
export function showLock(attempt) {
  return new Promise((resolve) => {
    const title = freshId("title");
    const field = freshId("password");
    const password = el("input", { id: field, type: "password", autocomplete: "current-password" });
    const unlock = el("button", { type: "submit", class: "primary" }, "Unlock");
    const problem = el("div");
    const form = el(
      "form",
      { novalidate: true },
      el("h2", { id: title }, "Session Locked"),
      el("p", {}, "Enter your password to continue."),
      el("div", { class: "field" }, el("label", { for: field }, "Password"), password),
      problem,
      el("div", { class: "buttons" }, unlock),
    );
    const dialog = el("div", { role: "dialog", "aria-modal": "true", "aria-labelledby": title, class: "dialog" }, form);
    const close = open(dialog, password);
    form.addEventListener("submit", async (event) => {
      event.preventDefault();
      unlock.disabled = true;
      problem.replaceChildren();
      const message = await attempt(password.value);
      if (message) {
        problem.replaceChildren(el("p", { role: "alert" }, message));
        unlock.disabled = false;
        password.value = "";
        password.focus();
        return;
      }
      close();
      resolve(message === "");
    });
  });
}

/** Lists the candidates; resolves true for "Create Anyway". */
export function askDuplicate(candidates) {
  return new Promise((resolve) => {
    const title = freshId("title");
    const cancel = el("button", { type: "button", onclick: () => done(false) }, "Cancel");
    const rows = candidates.map((candidate) =>
      el(
        "li",
        { "data-id": candidate.id },
        el("span", { "data-col": "name" }, candidate.name),
        el("span", { "data-col": "birthdate" }, candidate.birthdate),
        el("span", { "data-col": "id" }, candidate.id),
      ),
    );
    const dialog = el(
      "div",
      { role: "alertdialog", "aria-modal": "true", "aria-labelledby": title, class: "dialog" },
      el("h2", { id: title }, "Possible Duplicate"),
      el("p", {}, "A patient with this last name and birthdate already exists."),
      el("ul", { class: "candidates" }, rows),
      el(
        "div",
        { class: "buttons" },
        cancel,
        el("button", { type: "button", class: "danger", onclick: () => done(true) }, "Create Anyway"),
      ),
    );
    const close = open(dialog, cancel);
    function done(anyway) {
      close();
      resolve(anyway);
    }
  });
}

/** A notice of the vendor's, to be read and closed. */
export function showNotice({ title, text }) {
  const heading = freshId("title");
  const ok = el("button", { type: "button", class: "primary", onclick: () => close() }, "OK");
  const close = open(
    el(
      "div",
      { role: "dialog", "aria-modal": "true", "aria-labelledby": heading, class: "dialog" },
      el("h2", { id: heading }, title),
      el("p", {}, text),
      el("div", { class: "buttons" }, ok),
    ),
    ok,
  );
}
