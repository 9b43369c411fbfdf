// The application: log-in or frame, and the page that the address names. All state is one session's opening.

import { onSessionEnded, request, SessionEnded } from "./api.js";
import { chartView, newPatientView } from "./chart.js";
import { el } from "./dom.js";
import { changePasswordView, insteadView, nextView } from "./door.js";
import { loginView } from "./login.js";
import { adminView, billingView, docsView, scheduleView } from "./pages.js";
import { searchView } from "./search.js";

const LOGIN = "#/login";
const TABS = [["Schedule", "#/"], ["Docs", "#/docs"], ["Billing", "#/billing"], ["Admin", "#/admin"]];

const root = el("div", { id: "root" });

let opening = null;
let returnTo = "#/";
let main = null;
let turn = 0;
let justCreated = null;

const address = () => location.hash || "#/";

function toLogin(instead, said) {
  opening = null;
  sessionStorage.removeItem("window");
  if (address() !== LOGIN) {
    returnTo = address();
    history.replaceState(null, "", LOGIN);
  }
  turn += 1;
  // Dialogs over the page belong to the session that is over.
  document.body.replaceChildren(root);
  root.replaceChildren(instead ? insteadView(instead) : loginView(enter, said));
}

/** Takes the answer to a step of the log-in: the next step, or the inside. */
function enter(answer) {
  if (answer.device) localStorage.setItem("device", answer.device);
  if (answer.next) {
    root.replaceChildren(nextView(answer.next, enter));
    return;
  }
  opening = answer;
  sessionStorage.setItem("window", answer.window);
  root.replaceChildren(...frame());
  if (address() === LOGIN) history.replaceState(null, "", returnTo);
  show();
}

function frame() {
  main = el("main");
  return [
    el(
      "div",
      { class: "top" },
      el("img", { src: "/web/icon.svg", alt: "", width: "28", height: "28" }),
      searchView((id) => go(`#/patients/${id}`), opening.search),
      el("nav", { "aria-label": "Main" }, TABS.map(([name, href]) => el("a", { href, onclick: () => again(href) }, name))),
      el("a", { class: "user", href: "#/account/password" }, opening.user),
      el("button", { type: "button", class: "quiet", onclick: logOut }, "Log Out"),
    ),
    main,
    el("footer", { class: "stand-in" }, "Stand-in portal: made-up patients only"),
  ];
}

function go(hash) {
  if (address() === hash) show();
  else location.hash = hash;
}

// A click on the link of the page that is open brings it anew.
function again(href) {
  if (address() === href) show();
}

async function logOut() {
  try {
    await request("POST", "/api/logout");
  } catch (error) {
    if (error instanceof SessionEnded) return;
  }
  history.replaceState(null, "", "#/");
  toLogin();
}

function passwordChanged() {
  history.replaceState(null, "", "#/");
  toLogin(null, "Your password was changed. Please log in.");
}

async function show() {
  const mine = ++turn;
  const hash = address();
  for (const link of document.querySelectorAll("nav[aria-label=Main] a")) {
    const href = link.getAttribute("href");
    const here = href === "#/" ? hash === "#/" : hash.startsWith(href);
    if (here) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  // What was there before goes first: nobody reads one patient's chart under another's address.
  main.setAttribute("aria-busy", "true");
  main.replaceChildren(el("p", { class: "hint" }, "Loading…"));
  let view;
  try {
    view = await viewOf(hash);
  } catch (error) {
    if (error instanceof SessionEnded) return;
    view = el("p", { role: "alert" }, "Something went wrong. Please try again.");
  }
  if (mine !== turn) return;
  main.replaceChildren(view);
  main.removeAttribute("aria-busy");
  window.scrollTo(0, 0);
}

async function viewOf(hash) {
  const [, first = "", second = ""] = hash.split("/").map(decodeURIComponent);
  switch (first) {
    case "patients":
      return second === "new" ? newPatientView(opening.sections, created) : chartView(second, opening.sections, taken(second));
    case "docs":
      return docsView();
    case "account":
      return changePasswordView(passwordChanged);
    case "billing":
      return billingView();
    case "admin":
      return adminView(second);
    default:
      return scheduleView();
  }
}

// The answer to a creation is the chart: it is shown as it came, without asking for it again.
function created(chart) {
  justCreated = chart;
  go(`#/patients/${chart.id}`);
}

function taken(id) {
  const chart = justCreated?.id === id ? justCreated : null;
  justCreated = null;
  return chart;
}

window.addEventListener("hashchange", () => {
  if (opening === null) {
    // A deep link typed over the log-in page is where one wants to be after it.
    if (address() !== LOGIN) toLogin();
  } else if (address() === LOGIN) go("#/");
  else show();
});
onSessionEnded(toLogin);
document.body.append(root);

try {
  enter(await request("GET", "/api/session"));
} catch (error) {
  if (!(error instanceof SessionEnded)) {
    root.replaceChildren(el("p", { role: "alert" }, "Something went wrong. Please try again."));
  }
}
