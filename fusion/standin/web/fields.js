// One input of each kind. All give the same: {node, label, name, value(), problem()} with problem() "" when it will do.

import { request, SessionEnded } from "./api.js";
import { debounced, el, freshId } from "./dom.js";
import { checks, keyed, picker, slow } from "./kits.js";
import { longList } from "./long.js";

const digits = (text, most) => text.replace(/\D/g, "").slice(0, most);

// A separator appears only once a digit follows it, so that deleting backwards never gets stuck on one.
const MASKS = {
  date: (text) => joined(digits(text, 8), [2, 2, 4], ["", "/", "/"]),
  ssn: (text) => joined(digits(text, 9), [3, 2, 4], ["", "-", "-"]),
  phone: (text) => joined(digits(text, 10), [3, 3, 4], ["(", ") ", "-"]),
};
const PLACEHOLDERS = { date: "MM/DD/YYYY", ssn: "999-99-9999", phone: "(999) 999-9999", typeahead: "Type to search" };

function joined(text, lengths, before) {
  let at = 0;
  let out = "";
  lengths.forEach((length, i) => {
    const part = text.slice(at, at + length);
    if (part) out += before[i] + part;
    at += length;
  });
  return out;
}

/** The input of `field` (as the server describes it), holding `value`. */
export function fieldFor(field, value) {
  const id = freshId("field");
  const input = makerOf(field)(field, id, value);
  const needed = field.required ? el("span", { class: "needed", "aria-hidden": "true" }, "*") : null;
  const beside = el("span", { class: "beside" });
  const node = el(
    "div",
    { class: `field ${field.widget}` },
    el("div", { class: "caption" }, el("label", { for: id }, field.label), needed),
    input.node,
    beside,
  );
  return {
    node,
    name: field.name,
    value: input.value,
    /** What is drawn anew shows again what it showed `then`. */
    restore(then) {
      if ("value" in input.control && !input.unchosen) input.control.value = then;
    },
    forgetful: field.drawn === "forgetful",
    /** Says beside the field why nothing can be saved as it stands; whether that is so. */
    blocks() {
      const given = input.value();
      const bad = Boolean(field.always && given) && !new RegExp(`^(?:${field.always})$`).test(given);
      if (field.always) input.control.setAttribute("aria-invalid", String(bad));
      beside.textContent = bad ? `${field.label} is not as it must be` : "";
      return bad;
    },
    problem() {
      const message = problemOf(field, input);
      input.control.setAttribute("aria-invalid", message ? "true" : "false");
      return message;
    },
    focus: () => input.control.focus(),
  };
}

function problemOf(field, input) {
  const given = input.value();
  if (input.unchosen?.()) return `Choose a ${field.label.toLowerCase()} from the list.`;
  if (!given) return field.required ? `${field.label} is required.` : "";
  if (given.length > field.longest) return `${field.label} must be at most ${field.longest} characters.`;
  if (!input.touched()) return "";
  if (field.pattern && !new RegExp(`^(?:${field.pattern})$`).test(given)) return `${field.label} ${field.must}`;
  if (field.widget === "date" && !isDay(given)) return `${field.label} ${field.must}`;
  return "";
}

function isDay(text) {
  const [month, day, year] = text.split("/").map(Number);
  const date = new Date(year, month - 1, day);
  return date.getMonth() === month - 1 && date.getDate() === day;
}

function plain(control, value) {
  control.value = value;
  return { node: control, control, value: () => control.value.trim(), touched: () => control.value.trim() !== value };
}

function text(field, id, value) {
  return plain(el("input", { id, type: "text", autocomplete: "off" }), value);
}

function textarea(field, id, value) {
  return plain(el("textarea", { id, rows: "6" }), value);
}

function masked(field, id, value) {
  const control = el("input", {
    id,
    type: "text",
    inputmode: "numeric",
    autocomplete: "off",
    placeholder: PLACEHOLDERS[field.widget],
  });
  control.addEventListener("input", () => {
    const shaped = MASKS[field.widget](control.value);
    if (shaped !== control.value) control.value = shaped;
  });
  return plain(control, value);
}

function select(field, id, value) {
  // A value that is no longer among the options still shows, as old charts have them.
  const options = ["", ...field.options, ...(value && !field.options.includes(value) ? [value] : [])];
  return plain(el("select", { id }, options.map((option) => el("option", { value: option }, option))), value);
}

const SHY = 600;
const pause = (ms) => new Promise((done) => setTimeout(done, ms));

/** A value counts only once it was chosen from the list; typing takes the choice back. */
function typeahead(field, id, value) {
  let chosen = value;
  let latest = 0;
  const born = performance.now();
  const racy = field.drawn === "racy";
  const listId = freshId("list");
  const control = el("input", {
    id,
    type: "text",
    role: "combobox",
    autocomplete: "off",
    "aria-autocomplete": "list",
    "aria-expanded": "false",
    "aria-controls": listId,
    placeholder: PLACEHOLDERS.typeahead,
  });
  control.value = value;
  const list = el("div", { id: listId, role: "listbox", "aria-label": `${field.label} List`, class: "options", hidden: true });
  const optionOf = (name) => el("div", { id: freshId("option"), role: "option", "aria-selected": "false" }, name);
  const long = field.long ? longList(list, optionOf) : null;

  function show(open) {
    list.hidden = !open;
    control.setAttribute("aria-expanded", String(open));
    control.removeAttribute("aria-activedescendant");
  }

  function choose(option) {
    ask.drop();
    latest += 1;
    chosen = option;
    control.value = option;
    show(false);
    control.dispatchEvent(new Event("change", { bubbles: true }));
  }

  const ask = debounced(150, async (query) => {
    const mine = ++latest;
    if (racy) await pause(Math.max(0, 400 - 20 * query.length));
    try {
      const { payers } = await request("GET", `/api/payers?search=${encodeURIComponent(query)}`);
      if (mine !== latest && !racy) return;
      show(true);
      if (!payers.length) list.replaceChildren(el("p", {}, "No matches"));
      else if (long) long(payers);
      else list.replaceChildren(...payers.map(optionOf));
    } catch (error) {
      if (mine !== latest || error instanceof SessionEnded) return;
      show(false);
    }
  });

  control.addEventListener("input", () => {
    chosen = "";
    latest += 1;
    show(false);
    if (field.drawn === "shy" && performance.now() - born < SHY) return;
    if (racy && control.value.trim()) ask.now(control.value);
    else if (control.value.trim()) ask(control.value);
    else ask.drop();
  });
  // mousedown would take the focus away and close the list before the click arrives.
  list.addEventListener("mousedown", (event) => event.preventDefault());
  list.addEventListener("click", (event) => {
    const option = event.target.closest("[role=option]");
    if (option) choose(option.textContent);
  });
  control.addEventListener("blur", () => {
    ask.drop();
    latest += 1;
    show(false);
  });
  control.addEventListener("keydown", (event) => {
    const options = [...list.querySelectorAll("[role=option]")];
    if (list.hidden || !options.length) return;
    const at = options.findIndex((option) => option.getAttribute("aria-selected") === "true");
    if (event.key === "ArrowDown" || event.key === "ArrowUp") {
      event.preventDefault();
      const next = (at + (event.key === "ArrowDown" ? 1 : -1) + options.length) % options.length;
      options.forEach((option, i) => option.setAttribute("aria-selected", String(i === next)));
      control.setAttribute("aria-activedescendant", options[next].id);
    } else if (event.key === "Enter" && at >= 0) {
      event.preventDefault();
      choose(options[at].textContent);
    } else if (event.key === "Escape") {
      event.stopPropagation();
      show(false);
    }
  });
  return {
    node: el("div", { class: "combo" }, control, list),
    control,
    value: () => control.value.trim(),
    touched: () => control.value.trim() !== value,
    unchosen: () => control.value.trim() !== "" && control.value !== chosen,
  };
}

const KITS = { picker, checks, keys: keyed, slow: (field, id, value) => slow((MAKERS[field.widget] ?? text)(field, id, value)) };
const makerOf = (field) => KITS[field.drawn] ?? MAKERS[field.widget] ?? text;
const MAKERS = { text, textarea, select, typeahead, date: masked, ssn: masked, phone: masked };
