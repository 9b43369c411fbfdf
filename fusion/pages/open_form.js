// Opens a form by a click on the thing that opens it, and says what its fields show: none if it is not there at once. null,
// and nothing is clicked, if the thing is not there or, with `chart`, the chart does not show this text any more.
async ([thing], { chart, spec, path, form, asked }, read, boxesOf) => {
  if (!thing || (chart !== null && read(spec) !== chart)) return null;
  thing.dispatchEvent(new MouseEvent("click", { bubbles: true, cancelable: true, composed: true }));
  await null; // what the page left for right after the click
  const area = path.reduce((node, css) => node?.querySelector(css), document);
  const opened = [...(area?.querySelectorAll(form) ?? [])].find((node) => node.checkVisibility({ visibilityProperty: true }));
  const texts = opened ? boxesOf([opened], asked).map((boxes) => boxes.map(({ text }) => text)) : [];
  return JSON.stringify(texts);
};
