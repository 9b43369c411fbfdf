// The bones of a page: what kinds of things are on it, and words only where they are labels. Nobody's values.
({ dialog, words, results }) => {
  const known = new Set(words.map((word) => word.toLowerCase()));
  const told = (text) => {
    const plain = (text ?? "").trim().replace(/\s+/g, " ");
    return !plain ? "" : known.has(plain.toLowerCase()) ? plain : "(other)";
  };
  const shown = (node) => node.checkVisibility?.() ?? node.getClientRects().length > 0;
  const nameOf = (node) => {
    const by = (node.getAttribute("aria-labelledby") ?? "").split(" ").map((id) => document.getElementById(id)?.textContent);
    return told(node.getAttribute("aria-label") ?? (by.join(" ") || (node.labels?.[0]?.textContent ?? "")));
  };
  const things = "h1, h2, h3, section, article, form, nav, main, iframe, table, dialog, [role], input, select, textarea, button, dt, label, th, td:has(+ td :is(input, select, textarea))";
  return [...document.querySelectorAll(things)].filter((node) => shown(node) && !node.closest(results)).slice(0, 400).map((node) => {
    const tag = node.tagName.toLowerCase();
    const thing = { tag };
    if (node.hasAttribute("role")) thing.role = node.getAttribute("role");
    if (node.hasAttribute("type")) thing.type = node.getAttribute("type");
    if (node.disabled) thing.disabled = true;
    if (node.getAttribute("aria-busy") === "true") thing.busy = true;
    const label = ["dt", "label", "th", "td"].includes(tag);
    // Labels are the portal's own words: a new one is what somebody wants to see here. Digits are nobody's label.
    const text = (node.textContent ?? "").replace(/[:*]/g, "").trim().replace(/\s+/g, " ");
    if (label) thing.label = text.length <= 40 && !/\d/.test(text) ? text : "(other)";
    else if (["h1", "h2", "h3", "button"].includes(tag)) thing.text = told(text);
    else {
      const name = nameOf(node);
      if (name) thing.name = name;
    }
    if (node.matches(dialog)) thing.dialog = true;
    return thing;
  });
};
