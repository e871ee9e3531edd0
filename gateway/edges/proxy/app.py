"""The proxy as a bare ASGI application: one call in, one line of record out.

No framework on this path: wrapping requests and replies in objects would cost more than all the rest of a call.
"""

from collections.abc import Awaitable
from time import perf_counter

import uuid_utils

from gateway.edges.proxy.asgi import Receive, Scope, Send
from gateway.edges.proxy.call import Call
from gateway.edges.proxy.parts import Parts
from gateway.edges.proxy.walk import Walk


class Proxy:
    """The hot path. Everything it uses is handed in; it opens nothing."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        """Serves one HTTP call. What it gives is awaited by the server: no layer is added."""
        # Not the loop's time, which uvloop keeps in whole milliseconds.
        call = Call(f"req_{uuid_utils.uuid7().hex}", scope["method"], perf_counter())
        return Walk(self._parts, call, scope, receive, send).down()
