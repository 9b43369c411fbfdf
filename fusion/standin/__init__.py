"""A stand-in for the Fusion Web Clinic portal, for the demo, the sandbox and the tests; production never imports it.

Nobody on the team can reach the real portal. What is publicly documented of it is copied here, each behaviour with its
source; where nothing is known, the choice is marked as inferred. Sources are numbered as in the portal's own help:
F1 "Clinic Options", F4 "Updated Password Requirements", F5 "Working in the Patient Chart", F9 "Payers", F10 "Create a
Patient Case for the Clinic", F12 "Patients". The single-page application lies in `web/`, the server's parts beside it.
"""
