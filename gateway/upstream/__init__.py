"""How a product service is called: one connection pool per upstream, bytes in and bytes out.

Owns HTTP/1.1 framing towards the upstream, connection reuse, timeouts and back-pressure.
Does not own which headers are sent or passed on, what an answer costs, or when a call is made again.
"""
