// Labels of a form's fields: `all` of them, those `marked` as wrong by the page, or those for which the browser itself will
// not send the form when the given button is clicked (`unsent`). Only labels of fields, as other words may be anybody's;
// what is long or has digits may be no label.
([thing], which) => {
  const form = thing?.form ?? thing;
  const sends = thing?.type === "submit" && !form.noValidate && !thing.formNoValidate;
  const wanted = { all: ":not([type=hidden])", marked: ":is([aria-invalid=true], :invalid)", unsent: sends ? ":invalid" : null }[which];
  if (!form || !wanted) return [];
  const labelOf = (box) => {
    const by = document.getElementById(box.getAttribute("aria-labelledby"));
    const row = box.closest("tr")?.querySelector("th, td");
    const text = box.labels?.[0]?.textContent ?? box.getAttribute("aria-label") ?? by?.textContent ?? row?.textContent ?? "";
    const plain = text.replace(/[:*]/g, "").trim().replace(/\s+/g, " ");
    return plain && plain.length <= 40 && !/\d/.test(plain) ? plain : "";
  };
  const boxes = ["input", "select", "textarea", "[aria-invalid]"].map((box) => box + wanted).join(", ");
  return [...new Set([...form.querySelectorAll(boxes)].map(labelOf))].map((label) => label || "a field");
};
