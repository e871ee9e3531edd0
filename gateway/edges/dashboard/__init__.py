"""The door for people in a browser: the billing pages of an account's owners, and what the operator's are made of.

Owns: its pages, styles and scripts, who is let in and how their browser is held to that.
Does not own: any number or rule it shows (flows, books), or the sessions themselves (flows.sign_in).
"""
