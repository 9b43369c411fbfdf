"""What must never be in the files of a package: keys, tokens, people's addresses."""

import re
from collections.abc import Iterator

from tests.sfdx.package import Finding, Project, files

_SECRETS = {
    "a consumer key": re.compile(r"<consumerKey>\w|\b3MVG9[\w.]{20,}"),
    "a consumer secret": re.compile(r"<consumerSecret>\w"),
    "a certificate or key": re.compile(r"-----BEGIN [A-Z ]+-----"),
    "an access token": re.compile(r"\b00D[A-Za-z0-9]{12,15}![\w.]{20,}"),
    "a refresh token": re.compile(r"\b5Aep[\w.]{20,}"),
}
_MAIL = re.compile(r"[\w.+-]+@([\w-]+\.)+[a-z]{2,}")


def findings(project: Project) -> Iterator[Finding]:
    """Every line of every file of the project."""
    for path in files(project.folder):
        where = str(path.relative_to(project.folder))
        text = path.read_text(encoding="utf-8")
        for name, pattern in _SECRETS.items():
            if pattern.search(text):
                yield Finding(where, f"holds {name}")
        for mail in _MAIL.finditer(text) if "@" in text else ():
            if not mail[0].endswith("@example.com"):
                yield Finding(where, "holds somebody's mail address")
