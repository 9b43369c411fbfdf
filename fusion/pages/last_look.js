// A form and its button right before Save. null unless Save is awake, sends what is there, and is of the browser's own kind.
// Without `texts` it says what the fields asked for show; with them it clicks if they still show these, in the same turn.
([form, button, another], { asked, texts, dialog }, boxesOf, press) => {
  if ([...document.querySelectorAll(dialog)].some((node) => node.checkVisibility())) return null;
  if (!button?.matches("button, input[type=submit], input[type=button]") || another || !form.contains(button)) return null;
  if (button.matches(":disabled, [aria-disabled=true]")) return null;
  const sends = button.type === "submit" && button.form && !button.form.noValidate && !button.formNoValidate;
  if (sends && button.form.matches(":invalid")) return null;
  const now = JSON.stringify(boxesOf([form], asked).map((boxes) => boxes.map(({ text }) => text)));
  if (texts === null) return now;
  return now === texts && press([button]) ? now : null;
};
