// All that a chart shows, in one call: labels and texts as they stand there, row keys and revisions. It judges nothing.
(spec) => {
  const text = (node) => (node?.textContent ?? "").trim();
  const pairsIn = (area) =>
    [...area.querySelectorAll(spec.pair)]
      .map((pair) => [pair.querySelector(spec.label), pair.querySelector(spec.value)])
      .filter(([label, value]) => label && value)
      .map(([label, value]) => [text(label), value.textContent]);
  // A table's line: the label of a value stands at the head of its column.
  const columnsOf = (row, heads) =>
    [...row.querySelectorAll(spec.value)].map((cell, at) => [text(heads[at]), cell.textContent]);
  const header = document.querySelector(spec.header);
  const sections = {};
  for (const [name, { area, rows, heads }] of Object.entries(spec.sections)) {
    const node = document.querySelector(area);
    sections[name] = node && {
      revision: (spec.revision && node.getAttribute(spec.revision)) ?? "",
      pairs: rows ? [] : pairsIn(node),
      rows: rows
        ? [...node.querySelectorAll(rows)].map((row) => ({
            key: row.getAttribute(spec.row_key) ?? "",
            pairs: heads ? columnsOf(row, node.querySelectorAll(heads)) : pairsIn(row),
          }))
        : [],
    };
  }
  return { address: location.href, header: header ? pairsIn(header) : [], sections };
};
