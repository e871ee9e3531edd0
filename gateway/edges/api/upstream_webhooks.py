"""`POST /webhooks/upstream/{upstream}`: a product service says that something became of a job.

Signed with the secret of that upstream's settings, or 401. Repeats, and news that come in another order than they
happened, change nothing: the follower asks the service itself.
"""

from collections.abc import Mapping
from typing import Final

import structlog
from pydantic import SecretStr
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route

from gateway.edges.api.json_reply import json_reply, new_request_id, problem_reply
from gateway.flows.job_news import JobNews
from gateway.ledger.faults import StoreUnavailable
from gateway.wire.problems import Fault, problem
from gateway.wire.upstream_webhook import SIGNATURE_HEADER, is_signed, read_job_news

MAX_BODY_BYTES: Final = 65_536

log = structlog.get_logger()


def upstream_webhook_routes(news: JobNews, secrets: Mapping[str, SecretStr]) -> list[Route]:
    """`secrets` by upstream; one without a secret takes no webhooks, which looks like a wrong signature."""

    async def receive(request: Request) -> Response:
        fault = await _receive(request, news, secrets)
        if fault is None:
            return json_reply({"status": "accepted"}, status=202)
        return problem_reply(problem(fault, request_id=new_request_id()))

    return [Route("/webhooks/upstream/{upstream}", receive, methods=["POST"])]


async def _receive(request: Request, news: JobNews, secrets: Mapping[str, SecretStr]) -> Fault | None:
    """What is wrong with it; None where it was heeded, or is about nothing of ours."""
    upstream: str = request.path_params["upstream"]
    secret = secrets.get(upstream)
    shown = request.headers.getlist(SIGNATURE_HEADER)
    if secret is None or len(shown) != 1:
        return Fault.INVALID_SIGNATURE
    body = await _bounded_body(request)
    if body is None:
        return Fault.BODY_TOO_LARGE
    if not is_signed(body, shown[0].encode("latin-1"), secret.get_secret_value().encode()):
        log.warning("a webhook's signature was wrong", upstream=upstream)
        return Fault.INVALID_SIGNATURE
    try:
        job_id = read_job_news(body)
    except ValueError:
        return Fault.BAD_REQUEST
    if job_id is None:
        return None
    try:
        followed = await news.heed(upstream, job_id)
    except StoreUnavailable:
        return Fault.CREDIT_STORE_UNAVAILABLE
    log.debug("a webhook came", upstream=upstream, job=job_id, followed=followed)
    return None


async def _bounded_body(request: Request) -> bytes | None:
    """The body as sent; None where it is too long."""
    body = bytearray()
    try:
        async for chunk in request.stream():
            body += chunk
            if len(body) > MAX_BODY_BYTES:
                return None
    except ClientDisconnect:
        return b""  # nobody is there to be answered; half a body is signed by nobody
    return bytes(body)
