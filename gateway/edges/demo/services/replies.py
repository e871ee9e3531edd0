"""How the vendor answers: plain JSON, and `{"detail": …}` where something is wrong, in list form on 422."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final, TypeVar

import orjson
from pydantic import BaseModel, ValidationError
from starlette.requests import Request
from starlette.responses import Response

_MAX_JSON_BYTES: Final = 4 * 1024 * 1024

Model = TypeVar("Model", bound=BaseModel)


class Refused(Exception):
    """The service will not do it; `detail` is what the caller reads: a sentence, or the list form."""

    def __init__(self, status: int, detail: str | list[dict[str, object]]) -> None:
        super().__init__(status, detail)
        self.status = status
        self.detail = detail


def invalid(loc: Sequence[str | int], msg: str, kind: str = "value_error") -> Refused:
    """One wrong value, in the list form that the vendor's clients expect of a 422."""
    return Refused(422, [{"type": kind, "loc": list(loc), "msg": msg}])


def not_found(kind: str, thing_id: str) -> Refused:
    """The same answer for what is another account's and for what never was."""
    return Refused(404, f"{kind} {thing_id} not found")


def reply(content: Any, status: int = 200) -> Response:
    """A JSON reply. Datetimes become ISO 8601."""
    return Response(orjson.dumps(content), status_code=status, media_type="application/json")


async def on_refused(_request: Request, fault: Exception) -> Response:
    """Starlette's exception handler for Refused."""
    if not isinstance(fault, Refused):
        raise fault
    return reply({"detail": fault.detail}, fault.status)


async def json_body(request: Request) -> bytes:
    """The whole body of a JSON call, up to 4 MB."""
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > _MAX_JSON_BYTES:
            raise Refused(413, "Request body too large")
    return bytes(body)


async def body_of(request: Request, model: type[Model]) -> Model:
    """The JSON body as `model`; unknown fields are let pass, as upstream does."""
    return parse_as(model, await json_body(request))


def parse_as(model: type[Model], document: bytes | str, *, loc: Sequence[str | int] = ("body",)) -> Model:
    """`document` as `model`, or the 422 that names each wrong field below `loc`."""
    try:
        return model.model_validate_json(document)
    except ValidationError as fault:
        raise Refused(
            422,
            [
                {"type": error["type"], "loc": [*loc, *error["loc"]], "msg": error["msg"]}
                for error in fault.errors(include_url=False, include_context=False, include_input=False)
            ],
        ) from fault


def expand_of(request: Request) -> frozenset[str]:
    """The `expand` values of a query: the key repeats, and commas are taken too."""
    return frozenset(value.strip() for values in request.query_params.getlist("expand") for value in values.split(","))


def instant(request: Request, name: str) -> datetime | None:
    """A date-time of the query, None where it is not sent."""
    text = request.query_params.get(name)
    if text is None:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as fault:
        raise invalid(("query", name), "Input should be a valid datetime", "datetime_parsing") from fault
    if moment.tzinfo is None:
        raise invalid(("query", name), "Input should have timezone info", "timezone_aware")
    return moment
