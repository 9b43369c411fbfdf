// A copy of the page as HTML of its own, in which whatever may be a value is a block of one length. Nothing is loaded by it.
({ words, value, header, results }) => {
  const BLOCK = "█████";
  const known = new Set(words);
  const plain = (text) => (text ?? "").trim().replace(/\s+/g, " ").replace(/\s*[:*]+$/, "").toLowerCase();
  const LABELS = "label, dt, th, legend, td:has(+ td :is(input, select, textarea))";
  const SPEAKS = `${LABELS}, button, [role=button], [role=tab], nav a, a, h1, h2, h3`;
  const SHAPES = ["class", "id", "type", "hidden", "open", "colspan", "rowspan", "disabled", "rows", "cols", "size", "role"];
  const LOADS = "script, noscript, template, style, link, meta, base, iframe, frame, object, embed, video, audio, canvas, svg, img, picture, datalist";

  const rules = [...document.styleSheets].flatMap((sheet) => {
    try {
      return [...sheet.cssRules].map((rule) => rule.cssText);
    } catch {
      return []; // from elsewhere: not ours to read
    }
  });
  const css = rules.filter((rule) => !/^@(import|font-face)/.test(rule)).join("\n").replace(/url\([^)]*\)/g, "none");

  const copy = document.body.cloneNode(true);
  copy.querySelectorAll(LOADS).forEach((node) => node.remove());
  // A word of the portal's is one only where the portal speaks, not where a value happens to be the same word.
  const said = (node) => {
    const speaks = node.closest(SPEAKS);
    const quotes = node.closest(header) ? !node.closest(LABELS) : node.closest(results) !== null;
    return speaks !== null && !quotes && known.has(plain(speaks.textContent));
  };
  const texts = [];
  const walker = document.createTreeWalker(copy, NodeFilter.SHOW_TEXT | NodeFilter.SHOW_COMMENT);
  while (walker.nextNode()) texts.push(walker.currentNode);
  for (const node of texts) {
    if (node.nodeType === Node.COMMENT_NODE) node.remove();
    else if (!node.data.trim()) node.data = " ";
    else if (said(node.parentElement)) node.data = node.data.trim();
    else node.data = BLOCK;
  }
  for (const node of [copy, ...copy.querySelectorAll("*")]) {
    const button = node.matches("input[type=submit], input[type=button]") && known.has(plain(node.value)) ? node.value : BLOCK;
    const shapes = SHAPES.filter((name) => node.hasAttribute(name)).map((name) => [name, node.getAttribute(name)]);
    [...node.attributes].forEach(({ name }) => node.removeAttribute(name));
    shapes.forEach(([name, text]) => node.setAttribute(name, text));
    if (node.matches("input:not([type=checkbox], [type=radio], [type=hidden])")) {
      if (!["submit", "button", "reset"].includes(node.type)) node.setAttribute("type", "text");
      node.setAttribute("value", button);
    } else if (node.matches("textarea")) node.textContent = BLOCK;
    else if (node.matches("select")) node.innerHTML = `<option>${BLOCK}</option>`;
    // Whether there is a value is a value, too.
    else if (node.matches(value) && !node.childElementCount && !said(node)) node.textContent = BLOCK;
  }
  const still = "*, *::before, *::after { animation: none !important; transition: none !important; background-image: none !important }";
  const bare = "*::before, *::after { content: none !important } html { max-height: 6000px; overflow: hidden }";
  return `<!doctype html><html><head><style>${css}\n${still}\n${bare}</style></head>${copy.outerHTML}</html>`;
};
