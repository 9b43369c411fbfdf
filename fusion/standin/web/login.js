// The log-in page.

import { Refused, request } from "./api.js";
import { el } from "./dom.js";

const WORDS = { incorrect: "The email or password is incorrect.", account_locked: "This account is locked." };

/** The log-in page; `entered(answer)` is told what the server says to the right password. `said`: why it is here. */
export function loginView(entered, said) {
  const email = el("input", { id: "email", type: "email", autocomplete: "username" });
  const password = el("input", { id: "password", type: "password", autocomplete: "current-password" });
  const button = el("button", { type: "submit", class: "primary" }, "Log In");
  const problem = el("div");
  const form = el(
    "form",
    { novalidate: true, class: "dialog" },
    el("img", { src: "/web/icon.svg", alt: "", width: "40", height: "40" }),
    el("h1", {}, "Log In"),
    el("p", { class: "hint" }, "Fusion Web Clinic"),
    el("div", { class: "field" }, el("label", { for: "email" }, "Email"), email),
    el("div", { class: "field" }, el("label", { for: "password" }, "Password"), password),
    said ? el("p", { role: "status" }, said) : null,
    problem,
    el("div", { class: "buttons" }, button),
  );
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    button.disabled = true;
    problem.replaceChildren();
    try {
      const device = localStorage.getItem("device");
      entered(await request("POST", "/api/login", { email: email.value, password: password.value, device }));
    } catch (error) {
      const words = (error instanceof Refused && WORDS[error.body.code]) || "Something went wrong. Please try again.";
      problem.replaceChildren(el("p", { role: "alert" }, words));
      password.value = "";
      button.disabled = false;
    }
  });
  queueMicrotask(() => email.focus());
  return el("main", { class: "login" }, form, el("p", { class: "stand-in" }, "Stand-in portal: made-up patients only"));
}
