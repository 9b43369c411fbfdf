"""All that we know of Salesforce, and the outbox table that it fills.

Reading order: `change` (what one event says), `entry` (what one outbox row is, and its arrows), `outbox` (all SQL over
it), `stream` and `listen` (the way in), `org` and `login` (REST), `sweep` (what the stream missed).

`fusion` may import this package; it never imports `fusion`.
"""
