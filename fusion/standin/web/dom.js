// Elements from words: every text goes in as text, never as markup.

/** el("a", {href: "#/", class: "x", onclick: f}, "text", child, null) */
export function el(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else node.setAttribute(name, value === true ? "" : value);
  }
  node.append(...children.flat().filter((child) => child !== null && child !== undefined));
  return node;
}

let made = 0;

/** An id no other element has. */
export const freshId = (stem) => `${stem}-${++made}`;

/** Runs f once nothing has called for `ms`; `.now(...)` skips the wait, `.drop()` forgets a call that waits. */
export function debounced(ms, f) {
  let timer = 0;
  const later = (...args) => {
    clearTimeout(timer);
    timer = setTimeout(() => f(...args), ms);
  };
  later.drop = () => clearTimeout(timer);
  later.now = (...args) => {
    later.drop();
    return f(...args);
  };
  return later;
}
