"""`GET /api/v1/usage/events/{request_id}`: the receipt of one call of the key's account, booked or not yet."""

from gateway.edges.api.endpoint import Ask, Document, Endpoint
from gateway.edges.api.receipt_document import explained
from gateway.edges.api.replies.usage import Receipt
from gateway.flows.explain import Explain
from gateway.wire.problems import Fault


def receipt_endpoints(explain: Explain) -> list[Endpoint]:
    """The request id is the call's `X-Request-Id`. Other accounts' calls are not there."""

    async def of_call(ask: Ask) -> Document:
        return explained(await explain.of_account(ask.path("request_id"), ask.account_id))

    return [
        Endpoint(
            "GET",
            "/api/v1/usage/events/{request_id}",
            of_call,
            "The receipt of one call, booked or not yet",
            "usage",
            reply=Receipt,
            problems=(Fault.NO_SUCH_CALL,),
        )
    ]
