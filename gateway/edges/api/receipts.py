"""`GET /api/v1/usage/events/{request_id}`: the receipt of one call of the key's account, booked or not yet."""

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from gateway.edges.api.caller import for_callers
from gateway.edges.api.json_reply import json_reply
from gateway.edges.api.receipt_document import explained
from gateway.flows.authenticate import Caller, Directory
from gateway.flows.explain import Explain


def receipt_routes(directory: Directory, explain: Explain) -> list[Route]:
    """The request id is the call's `X-Request-Id`. Other accounts' calls are not there."""

    async def of_call(request: Request, caller: Caller) -> Response:
        return json_reply(explained(await explain.of_account(request.path_params["request_id"], caller.account_id)))

    return [Route("/api/v1/usage/events/{request_id}", for_callers(directory, of_call), methods=["GET"])]
