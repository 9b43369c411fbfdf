// Labels of fields that will not let a form be saved: marked as wrong by the page, or for a button that submits the form
// by the browser itself. A label is the portal's own words; what is long or has digits may be none.
([thing]) => {
  const form = thing?.form ?? thing;
  if (!form) return [];
  const submits = thing !== form && thing.type === "submit" && !form.noValidate && !thing.formNoValidate;
  const labelOf = (box) => {
    const text =
      box.labels?.[0]?.textContent ??
      box.getAttribute("aria-label") ??
      box.closest("tr")?.querySelector("th, td")?.textContent ??
      "";
    const plain = text.replace(/[:*]/g, "").trim().replace(/\s+/g, " ");
    return plain && plain.length <= 40 && !/\d/.test(plain) ? plain : "a field";
  };
  const wrong = thing === form ? "[aria-invalid=true], :invalid" : submits ? "input:invalid, select:invalid, textarea:invalid" : null;
  return wrong ? [...new Set([...form.querySelectorAll(wrong)].map(labelOf))] : [];
};
