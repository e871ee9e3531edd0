"""Invoices and contracts as files: PDF, CSV, JSON, YAML, and proving that an invoice is what was issued.

Owns: how an invoice looks on paper and in a spreadsheet, and the check of its hash and sums.
Does not own: what an invoice says (flows), or who may have it (the doors that hand it out).
"""
