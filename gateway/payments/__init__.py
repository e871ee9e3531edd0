"""Payment providers: who takes money for us, behind one small protocol.

Owns: asking a provider, and putting its answers and errors into our words. Does not own: what is owed, when it is
taken, retries by schedule, and what follows from an answer (`gateway.flows`), or anything kept in the books.
"""
