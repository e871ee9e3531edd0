"""What every call passes first: it is noted down, its credential checked, its identity held against its query.

Bare ASGI, so that bodies stream. Also where the knobs for delay and errors act.
"""

import asyncio
import secrets
from typing import Final
from urllib.parse import parse_qsl

import orjson
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gateway.edges.demo.services.vendor import Seen, Vendor

_OPEN: Final = "/__health"
_PRODUCTS: Final = "/api/"
_MAX_NOTED_CHARACTERS: Final = 2_000
_IDENTITY: Final = {"organization_id": "x-account-id", "project_id": "x-project-id"}


class Door:
    """Wraps the services' application."""

    def __init__(self, app: ASGIApp, vendor: Vendor) -> None:
        self._app = app
        self._vendor = vendor
        self._errors_due = 0.0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer what must not pass, else let the application answer."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = tuple((name.decode("latin-1"), value.decode("latin-1")) for name, value in scope["headers"])
        path: str = scope["path"]
        if path.startswith(_PRODUCTS) or path in ("/__echo", "/__download"):
            self._note(scope, headers)
        refusal = self._refusal(scope, dict(headers))
        if refusal is None and path.startswith(_PRODUCTS):
            await asyncio.sleep(self._vendor.behaviour.reply_delay_seconds)
            refusal = self._error_due()
        if refusal is None:
            await self._app(scope, receive, send)
        else:
            await _answer(send, *refusal)

    def _note(self, scope: Scope, headers: tuple[tuple[str, str], ...]) -> None:
        query: bytes = scope["query_string"]
        noted = tuple((name, value[:_MAX_NOTED_CHARACTERS]) for name, value in headers)
        self._vendor.seen_count += 1
        self._vendor.seen.append(
            Seen(scope["method"], scope["path"], query.decode("latin-1")[:_MAX_NOTED_CHARACTERS], noted)
        )

    def _refusal(self, scope: Scope, headers: dict[str, str]) -> tuple[int, str] | None:
        if scope["path"] == _OPEN:
            return None
        expected = f"Bearer {self._vendor.credential}"
        if not secrets.compare_digest(headers.get("authorization", "").encode(), expected.encode()):
            return 401, "Invalid API Key"
        query: bytes = scope["query_string"]
        for name, value in parse_qsl(query.decode("latin-1")):
            own = headers.get(_IDENTITY.get(name, ""))
            if own is not None and value != own:
                return 404, f"{name} {value} not found"
        return None

    def _error_due(self) -> tuple[int, str] | None:
        """Exactly the share of calls that the behaviour asks for, evenly spread."""
        self._errors_due += self._vendor.behaviour.error_rate
        if self._errors_due < 1:
            return None
        self._errors_due -= 1
        return self._vendor.behaviour.error_status, "Made to fail"


async def _answer(send: Send, status: int, detail: str) -> None:
    body = orjson.dumps({"detail": detail})
    start: Message = {
        "type": "http.response.start",
        "status": status,
        "headers": [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))],
    }
    await send(start)
    await send({"type": "http.response.body", "body": body})
