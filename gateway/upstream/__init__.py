"""Floor 2: the product services behind the gateway, reached over HTTP.

Owns: the bounded connection pool, the transport, deadlines, what counts as unreachable.
Does not own: which upstream a call belongs to (wire), credentials' meaning, metering, or billing.
"""
