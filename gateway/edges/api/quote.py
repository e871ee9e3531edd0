"""What a call would cost this key now: priced as the proxy prices it, by the same parts, and then not made.

Nothing is held, counted or forwarded. Only a saved configuration that the call names is asked for, as the call would.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Final, Literal
from urllib.parse import urlencode

import orjson
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from starlette.requests import ClientDisconnect, Request

from gateway.domain.quote import Quote, UnknownMode
from gateway.edges.api.endpoint import Answered, Ask, Document, Endpoint
from gateway.edges.api.replies.usage import Quote as QuoteReply
from gateway.edges.api.usage_document import amount
from gateway.edges.proxy.parts import Offer
from gateway.edges.proxy.priced_request import ForeignOwner, check_owners, price_of_saved
from gateway.edges.proxy.walk import place_of_mode
from gateway.flows.authenticate import Caller
from gateway.flows.foresee import Foresight
from gateway.flows.saved_modes import SavedModes
from gateway.wire.problems import Fault, ProblemReply, problem, unknown_mode, unreadable
from gateway.wire.route import Route, bad_path
from gateway.wire.saved_configuration import LookUp
from gateway.wire.unreadable import Unreadable
from gateway.wire.values import RequestValues

MAX_BODY_BYTES: Final = 1_048_576

_Text = Annotated[str, Field(max_length=65_536)]


class Asked(BaseModel):
    """The call as it would be made. `form` are the fields beside a file; one that holds JSON may be given as JSON."""

    model_config = ConfigDict(extra="forbid")

    method: Literal["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]
    path: Annotated[str, Field(max_length=8_192)]
    body: object = None
    form: dict[str, str | dict[str, object] | list[object]] | None = None
    headers: dict[str, _Text] = Field(default_factory=dict)
    query: dict[str, str | list[str]] = Field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class QuoteParts:
    """`offer` gives the catalog in force, `isolates` says of an upstream whether it keeps accounts apart."""

    offer: Callable[[], Offer]
    saved_modes: SavedModes
    foresight: Foresight
    isolates: Callable[[str], bool]


def quote_endpoints(parts: QuoteParts) -> list[Endpoint]:
    """`POST /api/v1/quote`."""

    async def answer(ask: Ask) -> Document:
        asked = await _asked(ask.request, ask.request_id)
        if isinstance(asked, ProblemReply):
            raise Answered(asked)
        document = await _document(asked, ask.caller, parts, ask.request_id)
        if isinstance(document, ProblemReply):
            raise Answered(document)
        return document

    return [
        Endpoint(
            "POST",
            "/api/v1/quote",
            answer,
            "What a call would cost, without making it",
            "usage",
            reply=QuoteReply,
            body=Asked,
            body_is_read=False,
            problems=(
                Fault.BAD_REQUEST,
                Fault.BAD_PATH,
                Fault.NO_SUCH_ROUTE,
                Fault.NO_SUCH_PROJECT,
                Fault.BODY_TOO_LARGE,
                Fault.UNREADABLE_MODE,
                Fault.UNKNOWN_MODE,
            ),
        )
    ]


async def _asked(request: Request, request_id: str) -> Asked | ProblemReply:
    body = bytearray()
    try:
        async for chunk in request.stream():
            body += chunk
            if len(body) > MAX_BODY_BYTES:
                return problem(Fault.BODY_TOO_LARGE, request_id=request_id)
        return Asked.model_validate(orjson.loads(bytes(body)))
    except ClientDisconnect:
        return problem(Fault.BAD_REQUEST, request_id=request_id)
    except orjson.JSONDecodeError:
        return unreadable(Unreadable(("body",), "is not valid JSON"), request_id=request_id)
    except ValidationError as wrong:
        first = wrong.errors(include_url=False)[0]
        loc = ("body", *(str(part) for part in first["loc"]))
        return unreadable(Unreadable(loc, first["msg"]), request_id=request_id)


async def _document(
    asked: Asked, caller: Caller, parts: QuoteParts, request_id: str
) -> Mapping[str, object] | ProblemReply:
    path, _, query = asked.path.partition("?")
    if bad := bad_path(path.encode()):
        return problem(Fault.BAD_PATH, request_id=request_id, detail=bad.reason)
    offer = parts.offer()
    match = offer.routes.match(asked.method, path)
    if match is None or (match.route.resource and not parts.isolates(match.route.upstream)):
        return problem(Fault.NO_SUCH_ROUTE, request_id=request_id)
    queries = [part for part in (query, urlencode(asked.query, doseq=True)) if part]
    try:
        quote = await _quote(
            asked,
            "&".join(queries).encode(),
            caller,
            match.route,
            offer=offer,
            saved=parts.saved_modes,
            request_id=request_id,
        )
    except ForeignOwner:
        return problem(Fault.NO_SUCH_PROJECT, request_id=request_id)
    match quote:
        case Unreadable():
            return unreadable(quote, request_id=request_id)
        case UnknownMode():
            return unknown_mode(quote, request_id=request_id, loc=place_of_mode(match.route))
    foreseen = await parts.foresight.of_call(caller, quote)
    would = "admit" if foreseen.code is None else str(foreseen.code)
    if quote is not None and caller.products is not None and quote.product not in caller.products:
        would = str(Fault.KEY_NOT_ALLOWED)
    price = _free(offer.rate_card.version) if quote is None else _price(quote)
    return {
        "route": match.route.name,
        **price,
        "available_credits": amount(max(0, foreseen.available_millicredits)),
        "would": would,
    }


async def _quote(
    asked: Asked, query: bytes, caller: Caller, route: Route, *, offer: Offer, saved: SavedModes, request_id: str
) -> Quote | Unreadable | UnknownMode | None:
    """The call's price; None where it is free. ForeignOwner."""
    wanted = offer.needs[route.name]
    if wanted.json and asked.body is None:
        return Unreadable(("body",), "is missing")
    values = RequestValues(
        wanted,
        headers=[(name.lower().encode(), text.encode()) for name, text in asked.headers.items()],
        query=query,
        body=None if asked.body is None else orjson.dumps(asked.body),
        fields=None if asked.form is None else {name: _field(value) for name, value in asked.form.items()},
    )
    if (wrong := check_owners(values, caller)) is not None:
        return wrong
    if route.metered is None:
        return None
    priced = offer.prices.price(route.metered, values)
    if isinstance(priced, LookUp):
        return await price_of_saved(
            priced,
            route.metered,
            values,
            prices=offer.prices,
            saved=saved,
            caller=caller,
            request_id=request_id,
        )
    return priced


def _field(value: object) -> str:
    return value if isinstance(value, str) else orjson.dumps(value).decode()


def _price(quote: Quote) -> dict[str, object]:
    return {
        "free": False,
        "product": quote.product,
        "mode": quote.mode,
        "unit": quote.unit,
        "expected_units": quote.expected_units,
        "at_least_units": quote.least_units,
        "exact": quote.exact,
        "parts": [
            {"product": part.product, "mode": part.mode, "credits_per_unit": amount(part.millicredits_per_unit)}
            for part in quote.parts
        ],
        "credits_per_unit": amount(quote.millicredits_per_unit),
        "expected_credits": amount(quote.expected_millicredits),
        "at_least_credits": amount(quote.least_millicredits),
        "rate_card_version": quote.rate_card_version,
    }


def _free(version: str) -> dict[str, object]:
    return {
        "free": True,
        "product": None,
        "mode": None,
        "unit": None,
        "expected_units": 0,
        "at_least_units": 0,
        "exact": True,
        "parts": [],
        "credits_per_unit": amount(0),
        "expected_credits": amount(0),
        "at_least_credits": amount(0),
        "rate_card_version": version,
    }
