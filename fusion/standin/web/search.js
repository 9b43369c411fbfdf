// Search Patients, top left: results below the box while one types, ten at a time.

import { request, SessionEnded } from "./api.js";
import { debounced, el, freshId } from "./dom.js";
import { tickable } from "./kits.js";
import { longList } from "./long.js";

const SHORTEST = 2;

function once(f) {
  let done = false;
  return () => {
    if (!done) f();
    done = true;
  };
}

/** The search box and its results; `open(id)` is called for the patient that was clicked. `look`: how they are drawn. */
export function searchView(open, look) {
  const id = freshId("search");
  let latest = 0;
  const box = el("input", { id, type: "search", placeholder: "Search Patients", autocomplete: "off" });
  const list = el("div", { role: "listbox", "aria-label": "Search Results", "aria-busy": "false" });
  const foot = el("div", { class: "foot" });
  const inactive = look.drawn ? tickable("Include inactive") : el("input", { type: "checkbox", id: freshId("inactive") });
  const isTicked = () => (look.drawn ? inactive.getAttribute("aria-checked") === "true" : inactive.checked);
  const kept = el("div", { class: "kept", hidden: true });
  let found = [];
  const drawLong = look.long ? longList(list, option, () => further()) : null;
  let further = () => {};
  const panel = el(
    "div",
    { class: "results", hidden: true },
    list,
    foot,
    el("div", { class: "choice" }, inactive, look.drawn ? null : el("label", { for: inactive.id }, "Include inactive")),
    kept,
  );

  function option(hit) {
    return el(
      "div",
      { role: "option", "aria-selected": "false", "data-id": hit.id, onclick: () => pick(hit.id) },
      el("span", { "data-col": "name" }, hit.name),
      el("span", { "data-col": "birthdate" }, hit.birthdate),
      el("span", { "data-col": "phone" }, hit.phone),
      el("span", { "data-col": "id" }, hit.id),
    );
  }

  function close() {
    ask.drop();
    latest += 1;
    panel.hidden = true;
    list.setAttribute("aria-busy", "false");
  }

  function pick(chartId) {
    close();
    box.value = "";
    open(chartId);
  }

  async function load(query, page) {
    const mine = ++latest;
    list.setAttribute("aria-busy", "true");
    foot.replaceChildren();
    const question = new URLSearchParams({ search: query, page, inactive: isTicked() ? 1 : 0 });
    try {
      const { results, more, total, filter } = await request("GET", `/api/patients?${question}`);
      if (mine !== latest) return;
      found = [...found, ...results];
      kept.replaceChildren(...(filter ? [el("button", { type: "button", class: "quiet", onclick: unfiltered }, "Clear filter")] : []));
      if (drawLong) {
        further = once(() => load(query, page + 1));
        drawLong(found, total, page > 1);
      } else list.append(...results.map(option));
      list.dataset.query = query;
      list.dataset.total = total;
      if (!found.length) foot.replaceChildren(el("p", {}, "No patients found"));
      if (more && !drawLong) foot.replaceChildren(el("button", { type: "button", onclick: () => load(query, page + 1) }, "More results"));
      list.setAttribute("aria-busy", "false");
    } catch (error) {
      if (mine !== latest || error instanceof SessionEnded) return;
      foot.replaceChildren(el("p", { role: "alert" }, "Something went wrong. Please try again."));
      list.setAttribute("aria-busy", "false");
    }
  }

  // Nothing says that there is one but a button in a part of the panel that nobody opens.
  async function unfiltered() {
    await request("DELETE", "/api/filter");
    changed();
  }

  const ask = debounced(150, (query) => load(query, 1));

  // Old results go away with the first key: what stands in the list always belongs to what stands in the box.
  function changed() {
    const query = box.value.trim();
    if (query.length < SHORTEST) {
      close();
      return;
    }
    latest += 1;
    found = [];
    list.replaceChildren();
    delete list.dataset.query;
    list.setAttribute("aria-busy", "true");
    foot.replaceChildren();
    panel.hidden = false;
    ask(query);
  }

  box.addEventListener("input", changed);
  inactive.addEventListener("change", changed);
  box.addEventListener("keydown", (event) => {
    if (event.key === "Escape") close();
  });
  const node = el("div", { class: "search" }, el("label", { for: id, class: "unseen" }, "Search Patients"), box, panel);
  document.addEventListener("mousedown", (event) => {
    if (!node.contains(event.target) && !event.target.closest(".cover")) close();
  });
  return node;
}
