// What a log-in meets beside the password, and the page on which a user changes it.

import { Refused, request } from "./api.js";
import { el, freshId } from "./dom.js";

const FAILED = "Something went wrong. Please try again.";
const WORDS = {
  wrong_code: "The code is incorrect or has expired.",
  incorrect: "The current password is incorrect.",
  account_locked: "This account is locked.",
  weak: "The password must have letters, a number, an uppercase letter and a special character.",
  used_before: "You cannot use one of your last 10 passwords.",
};

const page = (...content) =>
  el("main", { class: "login" }, content, el("p", { class: "stand-in" }, "Stand-in portal: made-up patients only"));

/** One form: fields by their labels, a button, and what happens with the values. */
function form(title, text, fields, button, send, ...more) {
  const problem = el("div");
  const submit = el("button", { type: "submit", class: "primary" }, button);
  const boxes = fields.map(([label, type]) => [label, el("input", { id: freshId("box"), type, autocomplete: "off" })]);
  const made = el(
    "form",
    { novalidate: true, class: "dialog" },
    el("h1", {}, title),
    el("p", {}, text),
    boxes.map(([label, box]) => el("div", { class: "field" }, el("label", { for: box.id }, label), box)),
    problem,
    el("div", { class: "buttons" }, more, submit),
  );
  const tell = (role, words) => problem.replaceChildren(el("p", { role }, words));
  made.addEventListener("submit", async (event) => {
    event.preventDefault();
    submit.disabled = true;
    problem.replaceChildren();
    try {
      await send(boxes.map(([, box]) => box.value), tell);
    } catch (error) {
      tell("alert", (error instanceof Refused && WORDS[error.body.code]) || FAILED);
    }
    submit.disabled = false;
  });
  made.tell = tell;
  return made;
}

function codeView(entered) {
  const again = el("button", { type: "button", class: "quiet" }, "Resend Code");
  const made = form(
    "Verify Your Identity",
    "Enter the code that was sent to you. It can be used for 10 minutes.",
    [["Enter Code", "text"]],
    "Submit",
    async ([code]) => entered(await request("POST", "/api/login/code", { code })),
    again,
  );
  again.addEventListener("click", async () => {
    again.disabled = true;
    try {
      await request("POST", "/api/login/code/again", {});
      made.tell("status", "A new code was sent.");
    } catch {
      made.tell("alert", FAILED);
    }
    again.disabled = false;
  });
  return page(made);
}

function chosen([one, again], tell) {
  if (one === again) return true;
  tell("alert", "The passwords do not match.");
  return false;
}

const NEW = [["New Password", "password"], ["Confirm New Password", "password"]];

function expiredView(entered) {
  return page(
    form("Change Password", "Your password has expired. Choose a new one.", NEW, "Change Password", async (values, tell) => {
      if (chosen(values, tell)) entered(await request("POST", "/api/login/password", { new: values[0] }));
    }),
  );
}

function termsView(entered) {
  return page(
    form("Terms of Use", "Our terms have changed. Read and accept them to go on.", [], "I Accept", async () =>
      entered(await request("POST", "/api/login/terms", {})),
    ),
  );
}

/** The page of what a log-in still lacks. */
export const nextView = (next, entered) => ({ code: codeView, expired: expiredView, terms: termsView })[next](entered);

/** What stands where the log-in page should be. */
export function insteadView(instead) {
  if (instead === "captcha") {
    const box = el("input", { id: "human", type: "checkbox" });
    return page(
      el("div", { class: "dialog" }, el("h1", {}, "Security Check"), el("label", { for: "human" }, box, "I'm not a robot")),
    );
  }
  return page(
    el("div", { class: "dialog" }, el("h1", {}, "Access Denied"), el("p", {}, "Your access to this site has been blocked.")),
  );
}

/** The page of an account, where its user changes the password; `changed()` once that was done. */
export function changePasswordView(changed) {
  return el(
    "div",
    { class: "page" },
    form(
      "Change Password",
      "You will be logged out and log in again with the new password.",
      [["Current Password", "password"], ...NEW],
      "Change Password",
      async ([old, ...values], tell) => {
        if (!chosen(values, tell)) return;
        await request("POST", "/api/password", { old, new: values[0] });
        changed();
      },
    ),
  );
}
