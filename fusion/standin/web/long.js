// A long list of which only what is in view is in the page, as kits with virtual lists have it.

import { el } from "./dom.js";

const ROW = 34;
const IN_VIEW = 6;

/** Draws the list that is given to it, into `list`: of `items` those in view, as `make(item)`. `end` hears of its end. */
export function longList(list, make, end = () => {}) {
  const space = el("div", { class: "space" });
  let items = [];
  let all = 0;

  function draw() {
    const first = Math.max(0, Math.floor(list.scrollTop / ROW));
    const drawn = items.slice(first, first + IN_VIEW).map((item, i) => {
      const node = make(item);
      node.setAttribute("aria-setsize", all);
      node.setAttribute("aria-posinset", first + i + 1);
      node.style.top = `${(first + i) * ROW}px`;
      return node;
    });
    space.style.height = `${items.length * ROW}px`;
    space.replaceChildren(...drawn);
    if (items.length < all && first + IN_VIEW >= items.length) end();
  }

  list.classList.add("long");
  list.addEventListener("scroll", () => requestAnimationFrame(draw));
  /** `total`: how many there are, where there are more than were given. `again`: the same list, grown. */
  return (given, total = given.length, again = false) => {
    items = given;
    all = total;
    if (!again) {
      list.replaceChildren(space);
      list.scrollTop = 0;
    }
    draw();
  };
}
