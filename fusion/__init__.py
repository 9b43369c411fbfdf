"""All that we know of the portal, and the work: drain the outbox, drive the portal, tell Salesforce.

Reading order: `patient` (what a chart should show), `matching` (is that chart this child?), `portal` (the promises of
the seam), `visit` (which chart it is), `push` (one entry -> result), `drain` (claim, work, save), `writeback` (what
Salesforce is told), `app` (who knows whom), then `browser` and `pages` for how a click is made. `preview`, `backfill`
and `approval` stand beside: what a visit would do, for one and for all, and what a person makes of it.
"""
