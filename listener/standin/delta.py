"""The unified diff that stands for a long text in an UPDATE event.

"Change Data Capture: Sending Data Differences for Fields of Updated Records" and "Data Differences in Event Fields":
texts of at least 1,000 characters may be sent as `{"diff": "--- \\n+++ <sha256 of the new value>\\n@@ ..."}`, without
lines of context, unless the change is too big for that to pay.
"""

import difflib
import hashlib

SHORTEST = 1000


def delta(before: str, after: str) -> str | None:
    """The diff to send instead of *after*; None when the whole value goes out."""
    if len(after) < SHORTEST or len(before) < SHORTEST:
        return None
    if abs(len(after) - len(before)) > len(before) / 2:  # "greater than 50% in length"
        return None
    old, new = before.splitlines(), after.splitlines()
    hunks, touched = [], 0
    for tag, a, b, c, d in difflib.SequenceMatcher(None, old, new, autojunk=False).get_opcodes():
        if tag == "equal":
            continue
        touched += (b - a) + (d - c)
        # A side without lines is named by the line before it, as diff(1) does.
        hunks.append(f"@@ -{a + (b > a)},{b - a} +{c + (d > c)},{d - c} @@")
        hunks += ["-" + line for line in old[a:b]] + ["+" + line for line in new[c:d]]
    if touched > (len(old) + len(new)) / 4:  # "more than 25% of the lines ... are changed"
        return None
    text = "\n".join([f"--- \n+++ {hashlib.sha256(after.encode()).hexdigest()}", *hunks])
    return text if len(text) <= len(after) else None
