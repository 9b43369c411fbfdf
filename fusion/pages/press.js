// Clicks a button of the browser's own kind, if nothing lies over it, in one go: what was looked at is what is clicked.
(buttons) => {
  const [button] = buttons;
  if (!button?.matches("button, input[type=submit], input[type=button]")) return false;
  if (button.matches(":disabled, [aria-disabled=true]")) return false;
  const open = () => {
    const { left, top, width, height } = button.getBoundingClientRect();
    return button.contains(document.elementFromPoint(left + width / 2, top + height / 2));
  };
  if (!open()) button.scrollIntoView({ block: "center", behavior: "instant" });
  if (!open()) return false;
  button.click();
  return true;
};
