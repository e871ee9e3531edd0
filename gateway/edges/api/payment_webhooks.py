"""`POST /webhooks/payments/stripe`: Stripe says that something became of a payment, or of somebody's cards.

Signed with the secret of the settings and not older than five minutes, or 401. Repeats, and news that come in another
order than they happened, change nothing: Stripe itself is asked what is so.
"""

from collections.abc import Callable
from datetime import datetime
from typing import Final

import structlog
from pydantic import BaseModel, ConfigDict, SecretStr
from starlette.requests import ClientDisconnect, Request

from gateway.edges.api.endpoint import Ask, Document, Endpoint, Refuse
from gateway.edges.api.replies.health import Accepted
from gateway.flows.payment_news import PaymentNews
from gateway.payments.provider import ProviderUnavailable
from gateway.wire.problems import Fault
from gateway.wire.stripe_event import SIGNATURE_HEADER, is_signed, read_event

PATH: Final = "/webhooks/payments/stripe"
MAX_BODY_BYTES: Final = 262_144

log = structlog.get_logger()


class Event(BaseModel):
    """What is read of Stripe's event."""

    model_config = ConfigDict(extra="allow")

    id: str
    type: str
    data: dict[str, object]


def payment_webhook_endpoints(
    news: PaymentNews, secret: SecretStr | None, clock: Callable[[], datetime]
) -> list[Endpoint]:
    """Without a secret none are taken, which looks like a wrong signature."""

    async def receive(ask: Ask) -> Document:
        body = await _bounded_body(ask.request)
        shown = ask.request.headers.getlist(SIGNATURE_HEADER)
        if secret is None or len(shown) != 1:
            raise Refuse(Fault.INVALID_SIGNATURE)
        key = secret.get_secret_value().encode()
        if not is_signed(body, shown[0], key, now_s=int(clock().timestamp())):
            log.warning("a payment webhook's signature was wrong")
            raise Refuse(Fault.INVALID_SIGNATURE)
        try:
            event = read_event(body)
        except ValueError as wrong:
            raise Refuse(Fault.BAD_REQUEST) from wrong
        try:
            heeded = await news.heed(event)
        except ProviderUnavailable as away:
            raise Refuse(Fault.PAYMENT_PROVIDER_UNAVAILABLE) from away
        log.debug("a payment webhook came", event_id=event.id, type=event.type, heeded=heeded)
        return {"status": "accepted"}

    return [
        Endpoint(
            "POST",
            PATH,
            receive,
            "Stripe says that something became of a payment or a card",
            "webhooks from services",
            reply=Accepted,
            body=Event,
            body_is_read=False,
            problems=(
                Fault.INVALID_SIGNATURE,
                Fault.BODY_TOO_LARGE,
                Fault.BAD_REQUEST,
                Fault.PAYMENT_PROVIDER_UNAVAILABLE,
            ),
        )
    ]


async def _bounded_body(request: Request) -> bytes:
    """The body as sent. Refuse where it is too long."""
    body = bytearray()
    try:
        async for chunk in request.stream():
            body += chunk
            if len(body) > MAX_BODY_BYTES:
                raise Refuse(Fault.BODY_TOO_LARGE)
    except ClientDisconnect:
        return b""  # nobody is there to be answered; half a body is signed by nobody
    return bytes(body)
