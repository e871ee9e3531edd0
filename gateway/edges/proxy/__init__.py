"""The door for metered calls: a bare ASGI application on the hot path.

Owns: receiving a call, streaming it upstream and back, cutting it when it breaks, its one log line.
Does not own: admission and settlement (flows), header and meter rules (wire), connections (upstream).
"""
