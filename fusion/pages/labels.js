// The labels that a section shows, or its first row; null where there is no row whose labels could be read.
(area, { pair, label, value, rows, heads }) => {
  const text = (node) => (node?.textContent ?? "").trim();
  if (heads) return [...area.querySelectorAll(heads)].map(text);
  const node = rows ? area.querySelector(rows) : area;
  return node && [...node.querySelectorAll(pair)].filter((one) => one.querySelector(value)).map((one) => text(one.querySelector(label)));
};
