// What the fields of a form show, in one call: for each all texts in boxes that can be seen, and what a list offers.
// A box goes by its label as a screen reader finds it, by the first words of its row in a table, or by CSS. Where others
// show what is chosen, they are looked for in it, and if it is an input in the form.
// With `leave` the field that was typed in last is left before, as some pages only then take notice of it.
async (forms, { asked, leave }) => {
  if (leave) {
    document.activeElement?.blur();
    await new Promise((done) => setTimeout(done));
  }
  const plain = (text) => (text ?? "").trim().replace(/\s+/g, " ");
  const labels = (box) => {
    const by = box.getAttribute("aria-labelledby");
    if (by) return by.split(/\s+/).map((id) => document.getElementById(id)?.textContent);
    return box.getAttribute("aria-label")?.trim() ? [box.getAttribute("aria-label")] : [...(box.labels ?? [])].map((l) => l.textContent);
  };
  const boxes = forms.flatMap((form) => [...form.querySelectorAll("input:not([type=hidden]), select, textarea, [aria-label], [aria-labelledby]")]);
  const row = (box) => plain(box.closest("tr")?.querySelector("th, td")?.textContent.replace(/[:*]/g, ""));
  const found = ({ label, row: words, css }) =>
    words ? boxes.filter((box) => row(box) === words) : css ? forms.flatMap((form) => [...form.querySelectorAll(css)]) : boxes.filter((box) => labels(box).some((text) => plain(text) === label));
  const seen = (node) => node.checkVisibility({ visibilityProperty: true });
  const shown = (box, chosen) =>
    (box.matches("input") ? forms : [box])
      .flatMap((area) => [...area.querySelectorAll(chosen.join(", "))])
      .map((node) => plain(node.textContent))
      .filter((text) => text)
      .join(", ");
  return JSON.stringify(
    asked.map(({ spots, chosen }) =>
      [...new Set(spots.flatMap(found))]
        .filter(seen)
        .map((box) =>
          chosen ? shown(box, chosen) : box.options ? (box.selectedOptions[0]?.label ?? "") : (box.value ?? ""),
        ),
    ),
  );
};
