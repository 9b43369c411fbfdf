// The boxes that go by each spot asked for, as far as they can be seen, and what they show. A box goes by its label as a
// screen reader finds it, by the first words of its row in a table, or by CSS. Where others show what is chosen, they are
// looked for in it, and if it is an input in the form.
(forms, asked) => {
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
  return asked.map(({ spots, chosen }) =>
    [...new Set(spots.flatMap(found))]
      .filter(seen)
      .map((box) => ({
        box,
        text: chosen ? shown(box, chosen) : box.options ? (box.selectedOptions[0]?.label ?? "") : (box.value ?? ""),
      })),
  );
};
