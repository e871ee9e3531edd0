"""`/fake-bank/{payment}`: where the owner of a test card that asks confirms a payment, in place of their bank's page.

There only where the provider is the fake one. Moves no money and shows no account: who has the address was sent here.
"""

from html import escape
from typing import Final

from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.routing import Route

from gateway.books.payment_attempts import Attempt
from gateway.domain.money import dollars_text
from gateway.domain.payment import AttemptState
from gateway.flows.faults import NoSuchThing
from gateway.flows.payments import Payments
from gateway.payments.fake import PAGE

_HEADERS: Final = {
    "cache-control": "no-store",
    "content-security-policy": "default-src 'none'; form-action *; frame-ancestors 'none'; base-uri 'none'",
    "referrer-policy": "no-referrer",
}
_MOST_BYTES: Final = 64


def fake_bank_routes(payments: Payments) -> list[Route]:
    """None under any other provider."""

    async def asked(request: Request) -> Response:
        attempt = await _waiting(payments, request)
        return HTMLResponse(_page(attempt), 200 if attempt is not None else 404, headers=_HEADERS)

    async def answered(request: Request) -> Response:
        attempt = await _waiting(payments, request)
        if attempt is None:
            return HTMLResponse(_page(None), 404, headers=_HEADERS)
        said = bytearray()
        async for chunk in request.stream():
            said += chunk
            if len(said) > _MOST_BYTES:
                return HTMLResponse(_page(None), 413, headers=_HEADERS)
        await payments.confirm_fake(attempt.account_id, attempt.id, agreed=bytes(said) == b"answer=yes")
        return RedirectResponse(attempt.return_url or "/settings/billing", 303, headers=_HEADERS)

    if payments.provider != "fake":
        return []
    path = f"{PAGE}/{{payment}}"
    return [Route(path, asked, methods=["GET"]), Route(path, answered, methods=["POST"])]


async def _waiting(payments: Payments, request: Request) -> Attempt | None:
    """The payment that waits for its owner; None for any other."""
    try:
        attempt = await payments.attempt(request.path_params["payment"])
    except NoSuchThing:
        return None
    return attempt if attempt.state is AttemptState.ACTION_REQUIRED else None


def _page(attempt: Attempt | None) -> str:
    head = '<!doctype html><html lang="en"><meta charset="utf-8"><title>Bank of tests</title><h1>Bank of tests</h1>'
    if attempt is None:
        return f"{head}<p>No payment waits for you here.</p>"
    what = f"{dollars_text(attempt.amount_cents)}: {escape(attempt.description)}"
    return (
        f"{head}<p>Do you want to pay {what}? No money moves: this is a test card.</p><form method=post>"
        "<button name=answer value=yes>Confirm</button> <button name=answer value=no>Refuse</button></form>"
    )
