"""`/metrics` for Prometheus: this process's, or with PROMETHEUS_MULTIPROC_DIR set those of all worker processes."""

import asyncio
import os

from prometheus_client import CollectorRegistry, multiprocess
from prometheus_client.exposition import choose_encoder
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route


def metrics_routes(registry: CollectorRegistry) -> list[Route]:
    """One route. Whichever worker is asked, it answers for all."""

    async def metrics(request: Request) -> Response:
        encode, content_type = choose_encoder(request.headers.get("accept", ""))
        if "PROMETHEUS_MULTIPROC_DIR" not in os.environ:
            return Response(encode(registry), headers={"content-type": content_type})
        # Reads a file per process and kind.
        body = await asyncio.to_thread(lambda: encode(_all_processes()))
        return Response(body, headers={"content-type": content_type})

    return [Route("/metrics", metrics, methods=["GET"])]


def _all_processes() -> CollectorRegistry:
    registry = CollectorRegistry()
    multiprocess.MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
    return registry
