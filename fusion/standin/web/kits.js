// Inputs as other widget kits draw them: a calendar, boxes to tick, a list that hears only keys, a mask that eats keys.
// All give what those in fields.js give: {node, control, value(), touched()}.

import { el } from "./dom.js";
import { longList } from "./long.js";

const changed = (control) => control.dispatchEvent(new Event("change", { bubbles: true }));
const two = (number) => String(number).padStart(2, "0");

/** A date that is chosen from a calendar; nothing can be typed. */
export function picker(field, id, value) {
  const control = el("input", { id, type: "text", readonly: true, placeholder: "Choose a day" });
  control.value = value;
  const title = el("b", { class: "month", "aria-live": "polite" });
  const days = el("div", { class: "days" });
  const turn = (name, words, months) =>
    el("button", { type: "button", class: "quiet", "aria-label": name, onclick: () => show(months) }, words);
  const panel = el(
    "div",
    { role: "group", "aria-label": `${field.label} Calendar`, class: "month-picker", hidden: true },
    el(
      "div",
      { class: "turn" },
      turn("Previous year", "«", -12),
      turn("Previous month", "‹", -1),
      title,
      turn("Next month", "›", 1),
      turn("Next year", "»", 12),
    ),
    days,
    el("button", { type: "button", class: "quiet", onclick: () => choose("") }, "Clear"),
  );
  let month = new Date();

  function show(by) {
    month = new Date(month.getFullYear(), month.getMonth() + by, 1);
    title.textContent = month.toLocaleDateString("en-US", { month: "long", year: "numeric" });
    const first = new Date(month.getFullYear(), month.getMonth(), 1 - month.getDay());
    // Six weeks, with the days of the months before and after, as calendars have them.
    days.replaceChildren(
      ...Array.from({ length: 42 }, (_, i) => {
        const day = new Date(first.getFullYear(), first.getMonth(), first.getDate() + i);
        const words = `${two(day.getMonth() + 1)}/${two(day.getDate())}/${day.getFullYear()}`;
        const other = day.getMonth() === month.getMonth() ? "" : " other";
        return el("button", { type: "button", class: `day${other}`, onclick: () => choose(words) }, String(day.getDate()));
      }),
    );
  }

  function choose(words) {
    control.value = words;
    panel.hidden = true;
    changed(control);
  }

  control.addEventListener("click", () => {
    const [m, , y] = control.value.split("/").map(Number);
    month = y ? new Date(y, m - 1, 1) : new Date();
    show(0);
    panel.hidden = false;
  });
  panel.addEventListener("keydown", (event) => {
    if (event.key === "Escape") panel.hidden = true;
  });
  document.addEventListener("mousedown", (event) => {
    if (!panel.contains(event.target)) panel.hidden = true;
  });
  return { node: el("div", { class: "combo" }, control, panel), control, value: () => control.value, touched: () => control.value !== value };
}

/** A box to tick that is no input; it tells of a change like one. */
export function tickable(name, ticked = false) {
  const box = el("div", { role: "checkbox", "aria-checked": String(ticked), tabindex: "0" }, name);
  const tick = () => {
    box.setAttribute("aria-checked", String(box.getAttribute("aria-checked") !== "true"));
    changed(box);
  };
  box.addEventListener("click", tick);
  box.addEventListener("keydown", (event) => {
    if (event.key !== " ") return;
    event.preventDefault();
    tick();
  });
  return box;
}

/** Boxes to tick that are no inputs. Ticking one leaves the others as they are. */
export function checks(field, id, value) {
  const options = [...field.options, ...(value && !field.options.includes(value) ? [value] : [])];
  const boxes = options.map((option) => tickable(option, option === value));
  const control = el("div", { id, role: "group", "aria-label": field.label, class: "checks" }, boxes);
  const ticked = () =>
    boxes.filter((box) => box.getAttribute("aria-checked") === "true").map((box) => box.textContent).join(", ");
  return { node: control, control, value: ticked, touched: () => ticked() !== value };
}

/** A list to choose from that hears only keys and clicks of a person: what is set or dispatched by a script is nothing. */
export function keyed(field, id, value) {
  let chosen = value;
  let query = "";
  let at = -1;
  let offered = [];
  const picked = el("span", { class: "picked" }, chosen);
  const control = el("input", { id, type: "text", role: "combobox", autocomplete: "off", "aria-expanded": "false" });
  const list = el("div", { role: "listbox", "aria-label": `${field.label} Options`, class: "options", hidden: true });
  const draw = longList(list, (name) =>
    el("div", { role: "option", "aria-selected": String(offered.indexOf(name) === at) }, name),
  );
  const clear = el("span", { class: "clear", title: `Clear ${field.label}` }, "×");

  function show(open) {
    offered = field.options.filter((name) => name.toLowerCase().startsWith(query.toLowerCase()));
    list.hidden = !open;
    control.setAttribute("aria-expanded", String(open));
    if (!open) return;
    if (offered.length) draw(offered);
    else list.replaceChildren(el("p", {}, "No options"));
  }

  function choose(name) {
    chosen = name;
    picked.textContent = name;
    close();
    changed(control);
  }

  function close() {
    query = "";
    at = -1;
    control.value = "";
    show(false);
  }

  control.addEventListener("input", () => {
    control.value = query;
  });
  control.addEventListener("keydown", (event) => {
    if (!event.isTrusted || event.ctrlKey || event.metaKey) return;
    if (event.key.length === 1) query += event.key;
    else if (event.key === "Backspace") query = query.slice(0, -1);
    else if (event.key === "Delete") query = "";
    else if (event.key === "ArrowDown") at = Math.min(at + 1, offered.length - 1);
    else if (event.key === "ArrowUp") at = Math.max(at - 1, 0);
    else if (event.key === "Enter" && at >= 0) {
      event.preventDefault();
      choose(offered[at]);
      return;
    } else if (event.key === "Escape") {
      event.stopPropagation();
      close();
      return;
    } else return;
    event.preventDefault();
    control.value = query;
    show(true);
  });
  control.addEventListener("blur", close);
  // mousedown would take the focus away and close the list before the click arrives.
  list.addEventListener("mousedown", (event) => event.preventDefault());
  list.addEventListener("click", (event) => {
    const option = event.isTrusted && event.target.closest("[role=option]");
    if (option) choose(option.textContent);
  });
  clear.addEventListener("click", (event) => {
    if (event.isTrusted) choose("");
  });
  return {
    node: el("div", { class: "combo keyed", "data-field": field.name }, picked, control, clear, list),
    control,
    value: () => chosen,
    touched: () => chosen !== value,
  };
}

const FASTEST = 40;

/** Makes an input eat what comes faster than anybody types, as a mask does that thinks after each key. */
export function slow(input) {
  let kept = input.control.value;
  let last = 0;
  input.control.addEventListener("input", () => {
    const now = performance.now();
    const fast = now - last < FASTEST || input.control.value.length > kept.length + 3;
    last = now;
    if (fast && input.control.value.length > kept.length) input.control.value = kept;
    kept = input.control.value;
  });
  return input;
}
