"""Which door a call takes: the gateway's own pages and API, or the proxy. A bare ASGI callable on the hot path.

Decides by the path alone and reads nothing else; whether a caller may have what is behind the door is the door's to
decide. A path that only looks like an own one goes to the proxy, which forwards nothing without a route.
"""

import re
from collections.abc import Awaitable, Callable
from typing import Final

from gateway.edges.proxy.asgi import Receive, Scope, Send

Application = Callable[[Scope, Receive, Send], Awaitable[None]]

# One alternation, tried once per call: a product's path fails at its fifth character or at its third part.
_OWN: Final = re.compile(
    r"/(?:|healthz|readyz|openapi\.json|problems/[^/]+"
    r"|api/v1/(?:(?:projects|organizations)/[^/]+/usage|quote|usage/(?:events(?:/[^/]+)?|series)|beta/usage-metrics"
    r"|billing/.+|keys(?:/.+)?)"
    r"|webhooks/(?:upstream/[^/]+|payments/stripe)"
    r"|fake-bank/[^/]+"
    r"|settings(?:/.*)?)",
    re.DOTALL,
)


class Front:
    """Own paths to `own`, everything else to `proxy`. Returns the application's awaitable itself: no layer is added."""

    __slots__ = ("_is_own", "_own", "_proxy")

    def __init__(self, own: Application, proxy: Application) -> None:
        self._own = own
        self._proxy = proxy
        self._is_own = _OWN.fullmatch

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        """Serves one call. Serve it as ASGI 3 by name: it is no coroutine function that a server could tell it by."""
        if self._is_own(scope["path"]) is None:
            return self._proxy(scope, receive, send)
        return self._own(scope, receive, send)
