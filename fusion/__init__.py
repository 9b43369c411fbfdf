"""All that we know of the portal, and the work: drain the outbox, drive the portal, tell Salesforce.

Reading order: `patient` (what a chart should show), `matching` (is that chart this child?), `portal` (the promises of
the seam), `push` (one entry -> result), `drain` (claim, work, save), `writeback` (what Salesforce is told), `app` (who
knows whom), then `browser` and `pages` for how a click is made.
"""
