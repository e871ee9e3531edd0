"""Floor 2: what is written down for good, kept in SQL.

Owns: tables and migrations, accounts, projects, keys, grants, usage events, rollups, invoices, reports.
Does not own: credits in flight (ledger), prices and periods (domain), or the order of things (flows).
"""
