"""Is this process alive, and should it be given calls? No key needed, nothing secret said."""

from starlette.responses import Response

from gateway.edges.api.endpoint import Ask, Document, Endpoint
from gateway.edges.api.json_reply import json_reply
from gateway.edges.api.readiness import Readiness
from gateway.edges.api.replies.health import Alive, ReadyNow


def health_endpoints(readiness: Readiness) -> list[Endpoint]:
    """`/healthz`: 200 while the process lives, whatever its stores. `/readyz`: each part by name, 503 if one fails."""

    async def healthz(_: Ask) -> Document:
        return {"status": "ok"}

    async def readyz(_: Ask) -> Response:
        now = await readiness()
        return json_reply({"ready": now.ready, "parts": now.parts}, status=200 if now.ready else 503)

    return [
        Endpoint("GET", "/healthz", healthz, "Is this process alive?", "health", reply=Alive),
        Endpoint(
            "GET",
            "/readyz",
            readyz,
            "Should this process be given calls?",
            "health",
            reply=ReadyNow,
            other_statuses={503: "A part is not ready"},
        ),
    ]
