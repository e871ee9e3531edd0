"""Floor 2: credits in flight, kept in Redis.

Owns: the keys, the scripts that hold, capture and release, the outbox stream, the embedded server.
Does not own: what a credit costs (domain), booked usage and grants (books), or when to do what (flows).
"""
