"""`/metrics` for Prometheus: this process's, or with PROMETHEUS_MULTIPROC_DIR set those of all worker processes."""

import asyncio
import os

from prometheus_client import CollectorRegistry, multiprocess
from prometheus_client.exposition import choose_encoder
from starlette.responses import Response

from gateway.edges.api.endpoint import Ask, Endpoint


def metrics_endpoints(registry: CollectorRegistry) -> list[Endpoint]:
    """One endpoint. Whichever worker is asked, it answers for all."""

    async def metrics(ask: Ask) -> Response:
        encode, content_type = choose_encoder(ask.request.headers.get("accept", ""))
        if "PROMETHEUS_MULTIPROC_DIR" not in os.environ:
            return Response(encode(registry), headers={"content-type": content_type})
        # Reads a file per process and kind.
        body = await asyncio.to_thread(lambda: encode(_all_processes()))
        return Response(body, headers={"content-type": content_type})

    kinds = {kind: {"type": "string"} for kind in ("text/plain", "application/openmetrics-text")}
    return [Endpoint("GET", "/metrics", metrics, "This process's numbers, for Prometheus", "health", files=kinds)]


def _all_processes() -> CollectorRegistry:
    registry = CollectorRegistry()
    multiprocess.MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
    return registry
