// What the fields of a form show, in one call: for each all texts in boxes that can be seen, and what a list offers.
// Before that, `typed` (pairs: which of the fields, and its text) is put in, all at once as from the clipboard, where a box
// takes it. With `leave` the field that was typed in last is left then, as some pages only then take notice of it.
async (forms, { asked, typed, leave }, boxesOf) => {
  const KINDS = ":is(input:is(:not([type]), [type=text], [type=tel], [type=email], [type=search], [type=url]), textarea):enabled:read-write";
  for (const [at, text] of typed) {
    const [[only, other]] = boxesOf(forms, [asked[at]]);
    const box = only?.box;
    if (other || !box?.matches(KINDS)) continue;
    box.focus();
    if (document.activeElement !== box) continue;
    box.select();
    document.execCommand(text ? "insertText" : "delete", false, text);
  }
  if (leave) {
    document.activeElement?.blur();
    // The page's turn; not by a timer, before which it would be painted.
    const { port1, port2 } = new MessageChannel();
    await new Promise((done) => {
      port1.onmessage = done;
      port2.postMessage(null);
    });
    port1.close();
  }
  return JSON.stringify(boxesOf(forms, asked).map((boxes) => boxes.map(({ text }) => text)));
};
