"""JSON answers of the gateway's own API: what all of them have in common."""

from collections.abc import Mapping

import orjson
import uuid_utils
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from gateway.wire.problems import Fault, ProblemReply, problem


def json_reply(
    document: Mapping[str, object], *, status: int = 200, headers: Mapping[str, str] | None = None
) -> Response:
    """A document; never to be kept by a cache in between, since it is one account's or one moment's."""
    fields = {"cache-control": "no-store", **(headers or {})}
    return Response(orjson.dumps(document), status, fields, media_type="application/json")


def problem_reply(problem_: ProblemReply) -> Response:
    """A problem document as Starlette answers it."""
    response = Response(problem_.body, problem_.status)
    response.raw_headers = list(problem_.headers)
    return response


async def no_such_route(_request: Request, _error: Exception) -> Response:
    """404."""
    return problem_reply(problem(Fault.NO_SUCH_ROUTE, request_id=new_request_id()))


async def method_not_allowed(_request: Request, error: Exception) -> Response:
    """405, with the methods that the path takes."""
    allowed = (error.headers or {}).get("Allow", "") if isinstance(error, HTTPException) else ""
    headers = [(b"allow", allowed.encode())]
    return problem_reply(problem(Fault.METHOD_NOT_ALLOWED, request_id=new_request_id(), headers=headers))


def new_request_id() -> str:
    """As the proxy gives them: in the order of time."""
    return f"req_{uuid_utils.uuid7().hex}"
