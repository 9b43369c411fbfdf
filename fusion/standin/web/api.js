// The one way to the server. A locked screen is dealt with here: the request waits for the password and is sent again.

import { showLock, showNotice } from "./dialogs.js";

/** The session is over; the page is on its way to the log-in. Nobody needs to show anything. */
export class SessionEnded extends Error {}

/** The server refused, and the user was told so. Nobody needs to show anything more. */
class Told extends SessionEnded {}

/** The server refused: `status`, and `body.code` says why. */
export class Refused extends Error {
  constructor(status, body) {
    super(`${status} ${body.code}`);
    this.status = status;
    this.body = body;
  }
}

let sessionEnded = () => {};

/** Says whom to tell that the session is over, and what is shown in place of the log-in page, if anything is. */
export function onSessionEnded(f) {
  sessionEnded = f;
}

async function send(method, path, body) {
  const headers = body === undefined ? {} : { "Content-Type": "application/json" };
  // Only the window that logged in knows it: session storage is a tab's own.
  const mine = sessionStorage.getItem("window");
  if (mine) headers["X-Window"] = mine;
  const response = await fetch(path, {
    method,
    headers,
    body: body === undefined ? undefined : JSON.stringify(body),
  });
  // A connection that breaks within the body throws here, as one that breaks before it throws above.
  return [response, await response.json()];
}

function endSession(instead) {
  sessionEnded(instead);
  throw new SessionEnded();
}

/** The answer's body. Throws Refused, SessionEnded, or a TypeError when there is no connection. */
export async function request(method, path, body) {
  for (;;) {
    const [response, answer] = await send(method, path, body);
    if (response.status === 423) {
      await unlocked();
      continue;
    }
    if (response.status === 401 && answer.code === "no_session") endSession(answer.instead);
    const notice = response.headers.get("X-Notice");
    if (notice) showNotice(JSON.parse(notice));
    const blocking = response.headers.get("X-Alert");
    if (blocking) alert(JSON.parse(blocking));
    if (!response.ok) throw notice || blocking ? new Told() : new Refused(response.status, answer);
    return answer;
  }
}

let unlocking = null;

/** Waits until the password was given; however many requests wait, there is one dialog. */
function unlocked() {
  unlocking ??= showLock(tryPassword).finally(() => {
    unlocking = null;
  });
  return unlocking.then((open) => {
    if (!open) endSession();
  });
}

/** "" when the screen is open again, a message to show, or null when there is no session left to open. */
async function tryPassword(password) {
  try {
    const [response, answer] = await send("POST", "/api/unlock", { password });
    if (response.ok) return "";
    if (response.status === 401) return null;
    if (answer.code === "account_locked") return "This account is locked.";
    if (answer.code === "incorrect") return "The password is incorrect.";
  } catch {
    // No connection: the same words as for any failure.
  }
  return "Something went wrong. Please try again.";
}
