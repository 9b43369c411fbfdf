"""The seam to Salesforce's REST API, and its adapter on simple-salesforce."""
