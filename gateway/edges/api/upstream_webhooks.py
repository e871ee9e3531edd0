"""`POST /webhooks/upstream/{upstream}`: a product service says that something became of a job.

Signed with the secret of that upstream's settings, or 401. Repeats, and news that come in another order than they
happened, change nothing: the follower asks the service itself.
"""

from collections.abc import Mapping
from typing import Final

import structlog
from pydantic import BaseModel, ConfigDict, SecretStr
from starlette.requests import ClientDisconnect, Request

from gateway.edges.api.endpoint import Ask, Document, Endpoint, Refuse
from gateway.edges.api.replies.health import Accepted
from gateway.flows.job_news import JobNews
from gateway.ledger.faults import StoreUnavailable
from gateway.wire.problems import Fault
from gateway.wire.upstream_webhook import SIGNATURE_HEADER, is_signed, read_job_news

MAX_BODY_BYTES: Final = 65_536

log = structlog.get_logger()


class News(BaseModel):
    """What is read of a service's event: the job it is about."""

    model_config = ConfigDict(extra="allow")

    data: dict[str, object]


def upstream_webhook_endpoints(news: JobNews, secrets: Mapping[str, SecretStr]) -> list[Endpoint]:
    """`secrets` by upstream; one without a secret takes no webhooks, which looks like a wrong signature."""

    async def receive(ask: Ask) -> Document:
        fault = await _receive(ask.request, news, secrets)
        if fault is not None:
            raise Refuse(fault)
        return {"status": "accepted"}

    return [
        Endpoint(
            "POST",
            "/webhooks/upstream/{upstream}",
            receive,
            "A product service says that something became of a job",
            "webhooks from services",
            reply=Accepted,
            status=202,
            body=News,
            body_is_read=False,
            problems=(
                Fault.INVALID_SIGNATURE,
                Fault.BODY_TOO_LARGE,
                Fault.BAD_REQUEST,
                Fault.CREDIT_STORE_UNAVAILABLE,
            ),
        )
    ]


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
