"""Is this process alive, and should it be given calls? No key needed, nothing secret said."""

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from gateway.edges.api.json_reply import json_reply
from gateway.edges.api.readiness import Readiness


def health_routes(readiness: Readiness) -> list[Route]:
    """`/healthz`: 200 while the process lives, whatever its stores. `/readyz`: each part by name, 503 if one fails."""

    async def healthz(_: Request) -> Response:
        return json_reply({"status": "ok"})

    async def readyz(_: Request) -> Response:
        now = await readiness()
        return json_reply({"ready": now.ready, "parts": now.parts}, status=200 if now.ready else 503)

    return [Route("/healthz", healthz, methods=["GET"]), Route("/readyz", readyz, methods=["GET"])]
