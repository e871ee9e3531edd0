"""The listening side: HTTP/1.1 from a caller's socket to an ASGI application, strict about what a request is.

uvicorn owns the sockets, the signals and the drain; the protocol on each connection is ours, because every server
tried lets through something a proxy must not: trailers among the headers, endless heads, odd framing, silence.
Owns framing, limits, deadlines and refusals of what is not a request. Does not own routes, keys or problem documents:
its own refusals are a status and a sentence, since whoever gets one did not speak HTTP.
"""

from gateway.edges.http_server.config import server_config
from gateway.edges.http_server.limits import ServerLimits

__all__ = ["ServerLimits", "server_config"]
