"""Floor 0: the words and rules of selling by credits, as pure values.

Owns: plans, rate cards, quotes, holds and their states, periods, subscriptions, invoices.
Does not own: bytes, HTTP, Redis, SQL, the clock, randomness. Whatever it needs to know is passed in.
"""
