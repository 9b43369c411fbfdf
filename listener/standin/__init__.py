"""A Salesforce org that lives on loopback: it speaks the real wire and remembers what was done to it.

Nobody can point a test at a clinic's org, so this package copies what Salesforce documents in public: OAuth, the REST
API, CometD and Change Data Capture. Where the documentation is silent the stricter reading is taken, and the place says
so. Production code never imports it; `fusion-sync demo`, `fusion-sync sandbox` and the tests do.

Reading order: metadata (what is deployed), store and transaction (what the org holds, and how it is changed), access
(who may), events (what it tells), rest, deploys, oauth, cometd (how it is asked), control (the levers of a test),
founding and server (all of it, started and stopped).
"""

from listener.standin.server import StandInOrg
from listener.standin.tokens import Credentials

__all__ = ["Credentials", "StandInOrg"]
