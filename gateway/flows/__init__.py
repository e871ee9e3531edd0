"""Floor 3: verbs, the order in which things happen.

Owns: authenticate, admit, settle, follow a job, relay, change a plan, close a period, reconcile, explain.
Does not own: rules (domain), formats (wire), stores (ledger, books), or how calls come in (edges).
"""
