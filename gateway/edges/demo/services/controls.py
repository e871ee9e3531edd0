"""For tests and the curious, below `/__`: what arrived, how the services behave, a long download, an echo.

Never reachable through the gateway unless a route says so; needs the upstream credential like everything else.
"""

from collections.abc import AsyncIterator

from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from gateway.edges.demo.services.behaviour import Behaviour
from gateway.edges.demo.services.replies import invalid, json_body, parse_as, reply
from gateway.edges.demo.services.vendor import vendor_of

_CHUNK = bytes(range(256)) * 256
_MAX_DOWNLOAD_BYTES = 1 << 40


async def _seen(request: Request) -> Response:
    vendor = vendor_of(request)
    calls = [
        {"method": seen.method, "path": seen.path, "query": seen.query, "headers": seen.headers} for seen in vendor.seen
    ]
    return reply({"count": vendor.seen_count, "calls": calls})


async def _forget(request: Request) -> Response:
    vendor = vendor_of(request)
    vendor.seen.clear()
    vendor.seen_count = 0
    return Response(status_code=204)


async def _behaviour(request: Request) -> Response:
    return reply(vendor_of(request).behaviour.model_dump())


async def _behave(request: Request) -> Response:
    """Replace the whole behaviour: what is not sent is back at its default."""
    vendor = vendor_of(request)
    vendor.behaviour = parse_as(Behaviour, await json_body(request))
    return reply(vendor.behaviour.model_dump())


async def _download(request: Request) -> Response:
    """`bytes` bytes, in chunks of 64 KiB; with `chunked=1` without a Content-Length."""
    text = request.query_params.get("bytes", "0")
    if not (text.isascii() and text.isdigit()) or int(text) > _MAX_DOWNLOAD_BYTES:
        raise invalid(("query", "bytes"), f"Input should be an integer up to {_MAX_DOWNLOAD_BYTES}", "int_parsing")
    headers = {} if request.query_params.get("chunked") else {"content-length": text}
    return StreamingResponse(_filler(int(text)), media_type="application/octet-stream", headers=headers)


async def _filler(length: int) -> AsyncIterator[bytes]:
    for _ in range(length // len(_CHUNK)):
        yield _CHUNK
    if length % len(_CHUNK):
        yield _CHUNK[: length % len(_CHUNK)]


class _Echo:
    """The request's own body, sent back piece by piece as it comes. Bare ASGI: a response that watches for the
    caller's leaving would eat the body.
    """

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        content_type = Headers(scope=scope).get("content-type", "application/octet-stream").encode("latin-1")
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", content_type)]})
        more = True
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                return
            more = message.get("more_body", False)
            await send({"type": "http.response.body", "body": message.get("body", b""), "more_body": more})


async def _health(_request: Request) -> Response:
    return reply({"status": "ok"})


ROUTES = [
    Route("/__seen", _seen, methods=["GET"]),
    Route("/__seen", _forget, methods=["DELETE"]),
    Route("/__behaviour", _behaviour, methods=["GET"]),
    Route("/__behaviour", _behave, methods=["PUT"]),
    Route("/__download", _download, methods=["GET"]),
    Route("/__echo", _Echo(), methods=["POST", "PUT"]),
    Route("/__health", _health, methods=["GET"]),
]
