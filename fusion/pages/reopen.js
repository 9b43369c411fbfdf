// Opens a chart within the page and reads it. `fresh`: it was drawn after an answer of the server's that was asked for here.
// `covered`: a dialog lies over it. Ends at once if the answer is no chart or a dialog comes up.
async ({ away, routes, header, answer, dialog, within, spec }, read) => {
  let until = performance.now() + within;
  const before = document.querySelector(header);
  // What is left of an old chart does not count as the new one.
  const there = () => {
    const now = document.querySelector(header);
    return now !== null && now !== before;
  };
  const over = () => [...document.querySelectorAll(dialog)].some((node) => node.checkVisibility());
  const here = (to) => (location.pathname + location.hash).endsWith(to);
  const go = (to) =>
    new Promise((resolve) => {
      const hash = to.indexOf("#");
      if (here(to)) resolve();
      else if (hash >= 0) {
        // Heard after the page itself, which listened first.
        addEventListener("hashchange", resolve, { once: true });
        location.hash = to.slice(hash);
      } else {
        history.pushState(null, "", to);
        dispatchEvent(new PopStateEvent("popstate"));
        resolve();
      }
    });
  let asked = Infinity;
  const answers = [];
  const note = (entries) =>
    answers.push(...entries.filter((entry) => entry.startTime >= asked && new RegExp(answer).test(entry.name)));
  const good = ({ responseStatus }) => responseStatus >= 200 && responseStatus < 300;

  // Looks at every change of the page and every answer, and not in between.
  let look = () => {};
  const changes = new MutationObserver(() => look());
  const network = new PerformanceObserver((list) => {
    note(list.getEntries());
    look();
  });
  const come = (condition) =>
    new Promise((resolve) => {
      const timer = setTimeout(() => resolve(false), Math.max(0, until - performance.now()));
      look = () => {
        const found = condition();
        if (!found && !over() && answers.every(good)) return;
        clearTimeout(timer);
        look = () => {};
        resolve(found);
      };
      look();
    });

  changes.observe(document, { childList: true, subtree: true });
  network.observe({ type: "resource" });
  try {
    // An address where the page is already is none to go to: it asks for nothing anew.
    const route = routes.find((one) => !here(one)) ?? routes[0];
    if (here(route)) {
      await go(away);
      if (!(await come(() => document.querySelector(header) === null))) return { fresh: false, covered: over() };
    }
    asked = performance.now();
    await go(route);
    if (!(await come(there))) return { fresh: false, covered: over() };
    const drawn = performance.now();
    const chart = read(spec);
    // The browser may note an answer a moment after the page has used it, and tell of it another moment later.
    note(network.takeRecords());
    until = Math.min(until, drawn + 1000);
    const network_was_asked = ({ responseEnd, transferSize, workerStart }) =>
      responseEnd <= drawn && transferSize > 0 && workerStart === 0;
    const fresh = await come(() => answers.some((one) => good(one) && network_was_asked(one)));
    return { fresh, chart, covered: over() };
  } finally {
    changes.disconnect();
    network.disconnect();
  }
};
