"""The org's set-up, made of deployed metadata: what `sfdx/` says is what this org is.

A deploy is read (archive), each component is turned into what the org works by (fields, formula, flows, grants,
channels), what hangs together is checked, and all of it comes into force at once or not at all (setup).
"""
