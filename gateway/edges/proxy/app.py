"""The proxy as a bare ASGI application: one call in, one line of record out.

No framework on this path: wrapping requests and replies in objects would cost more than all the rest of a call.
"""

from time import perf_counter

import uuid_utils

from gateway.edges.proxy.asgi import Receive, Scope, Send
from gateway.edges.proxy.call import Call
from gateway.edges.proxy.exchange import ReplyCut
from gateway.edges.proxy.parts import Parts
from gateway.edges.proxy.request_body import CallerGone
from gateway.edges.proxy.walk import Walk


class Proxy:
    """The hot path. Everything it uses is handed in; it opens nothing."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serves one HTTP call."""
        # Not the loop's time, which uvloop keeps in whole milliseconds.
        call = Call(f"req_{uuid_utils.uuid7().hex}", scope["method"], perf_counter())
        try:
            reply = await Walk(self._parts, call, scope, receive, send).down()
            if reply is not None:
                call.status = reply.status
                await send({"type": "http.response.start", "status": reply.status, "headers": reply.headers})
                await send({"type": "http.response.body", "body": reply.body, "more_body": False})
        except CallerGone:
            call.end = "caller_gone"
        except ReplyCut:
            call.end = "cut"  # returning without the end of a reply makes the server cut the connection
        finally:
            call.took_s = perf_counter() - call.started_s
            self._parts.record(call)
