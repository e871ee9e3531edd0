"""The files an operator edits: reading them, judging them, and saying what is wrong and where.

Owns: YAML with line numbers, the shape of each file, the sentences of `gateway config check`. Does not own: what the
values mean once they are read; that is `gateway.settings`, `gateway.catalog` and the domain.
"""
