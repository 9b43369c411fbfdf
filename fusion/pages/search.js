// All results that are listed now, in one call.
({ row, settled, echo, total }) => {
  const text = (node, css) => (node.querySelector(css)?.textContent ?? "").trim();
  const list = document.querySelector(settled);
  return {
    query: echo && list ? list.getAttribute(echo) : null,
    total: total && list ? list.getAttribute(total) : null,
    rows: [...document.querySelectorAll(row.each)].map((node) => ({
      id: row.link ? (node.querySelector(row.link)?.href ?? "") : text(node, row.id),
      name: text(node, row.name),
      birth_date: text(node, row.birth_date),
      phone: text(node, row.phone),
    })),
  };
};
