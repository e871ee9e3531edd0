"""What the proxy must know of a request before it may be admitted: who owns what it names, and what it will cost.

Reads as much of the body as that needs and no more. What is still to come is checked while it streams: an owner or a
repeated field behind the file stops the upstream call before the upstream has seen its end.
"""

import asyncio
from collections.abc import AsyncIterator, Mapping
from typing import NamedTuple

import orjson

from gateway.domain.quote import Quote, UnknownMode
from gateway.edges.proxy.asgi import Headers
from gateway.edges.proxy.counted_pages import counting_of, pages_in
from gateway.edges.proxy.request_body import RequestBody
from gateway.flows.authenticate import Caller
from gateway.flows.saved_modes import SavedModes
from gateway.pages.page_counter import PageCounter
from gateway.wire.multipart import FilePart, FormReader, form_reader
from gateway.wire.price import Priced, PriceList
from gateway.wire.request_head import RequestHead
from gateway.wire.route import Metered, Route
from gateway.wire.saved_configuration import LookUp, Modes
from gateway.wire.unreadable import Unreadable
from gateway.wire.values import (
    ORGANIZATION_ID,
    OWNER_NAMES,
    PROJECT_ID,
    Needs,
    RequestValues,
    may_name_owners,
    needs,
    wheres,
)

# A body up to this size is read whole where its owners must be looked at.
SMALL_BODY_BYTES = 4_194_304
# A larger document is parsed in a thread: everybody else's calls wait for the event loop meanwhile.
PARSED_AT_ONCE_BYTES = 262_144


class ForeignOwner(Exception):
    """The request names a project or an organization that is not the key's own."""


class UnreadableForm(Exception):
    """The form turned out, on its way to the upstream, to be readable in two ways."""

    def __init__(self, fault: Unreadable) -> None:
        super().__init__(fault.message)
        self.fault = fault


class Readable(NamedTuple):
    """A request that may be admitted. `quote` None: it is free. `body` is what to send upstream.

    `fields` are those of a form that were read for the price.
    """

    quote: Quote | None
    body: bytes | AsyncIterator[bytes] | None
    fields: Mapping[str, str] | None = None

    @property
    def priced_by(self) -> bytes:
        """What of the body decided the price: all of it, or a form's fields; empty where nothing did."""
        if self.fields is not None:
            return orjson.dumps(self.fields, option=orjson.OPT_SORT_KEYS)
        return self.body if isinstance(self.body, bytes) else b""


def route_needs(route: Route) -> Needs:
    """What a route needs of a body; made once per route of a catalog."""
    if route.metered is None:
        return needs(())
    return needs(wheres(route.metered), route.metered.units.count_pages)


async def read(
    route: Route,
    wanted: Needs,
    head: RequestHead,
    *,
    headers: Headers,
    query: bytes,
    body: RequestBody,
    caller: Caller,
    prices: PriceList,
    saved: SavedModes,
    counter: PageCounter,
    request_id: str,
) -> Readable | UnknownMode | Unreadable:
    """The request, priced. ForeignOwner, CallerGone, BodyTooLarge, SpoolFull."""
    counting = None if wanted.pages is None else counting_of(wanted.pages, head, body)
    shown = await _shown(route, wanted, head, body, counting)
    if isinstance(shown, Unreadable):
        return shown
    whole, form = shown
    pages = None
    if counting is not None and wanted.pages is not None:
        pages = await pages_in(counting, wanted.pages, body, counter)
    document = None
    if whole and (wanted.json or (_is_json(head.content_type) and may_name_owners(whole))):
        document = whole
    fields = None if form is None else form.fields
    if document is not None and len(document) > PARSED_AT_ONCE_BYTES:
        values = await asyncio.to_thread(RequestValues, wanted, headers=headers, query=query, body=document)
    else:
        values = RequestValues(wanted, headers=headers, query=query, body=document, fields=fields, pages_of_file=pages)
    if (unreadable := check_owners(values, caller)) is not None:
        return unreadable
    quote: Quote | None = None
    if route.metered is not None:
        priced = prices.price(route.metered, values)
        if not isinstance(priced, Quote):
            if isinstance(priced, LookUp):
                priced = await price_of_saved(
                    priced, route.metered, values, prices=prices, saved=saved, caller=caller, request_id=request_id
                )
            if not isinstance(priced, Quote):
                return priced
        quote = priced
    if whole is not None or not head.has_body:
        return Readable(quote, whole)
    if form is None:
        return Readable(quote, aiter(body))
    # Only what was waited for: whether more had come by when the price was known is a matter of packets.
    priced_by = {name: value for name, value in form.fields.items() if name in wanted.form}
    return Readable(quote, _watched(body, form, caller), priced_by)


async def price_of_saved(
    wanted: LookUp,
    metered: Metered,
    values: RequestValues,
    *,
    prices: PriceList,
    saved: SavedModes,
    caller: Caller,
    request_id: str,
) -> Priced:
    """The price of a request that names saved configurations: as many as the route has parts, one after the other."""
    known: dict[LookUp, Modes] = {}
    priced: Priced | LookUp = wanted
    while isinstance(priced, LookUp):
        known[priced] = await saved.find(caller, priced, request_id=request_id)
        priced = prices.price(metered, values, known)
    return priced


async def _shown(
    route: Route, wanted: Needs, head: RequestHead, body: RequestBody, file: FilePart | None
) -> tuple[bytes | None, FormReader | None] | Unreadable:
    """As much of the body as the price and the owners need: all of it, or the form read so far, or nothing."""
    if not head.has_body:
        return Unreadable(("body",), "is missing") if wanted.json else (None, None)
    # Also where only the owners are looked at: what we cannot read, the upstream can.
    if head.content_encoded and (wanted.body or _is_form(head.content_type) or _is_json(head.content_type)):
        return Unreadable(("header", "content-encoding"), "this route's body must be sent without content coding")
    if wanted.form or (not wanted.json and _is_form(head.content_type)):
        form = form_reader(head.content_type, wanted.form, also=OWNER_NAMES, file=file)
        if isinstance(form, Unreadable):
            return form
        if wanted.form or file is not None:
            await _read_fields(body, form, file)
        return (None, form) if form.fault is None else form.fault
    if wanted.json or (route.max_body_bytes <= SMALL_BODY_BYTES and not head.content_encoded):
        return await body.whole(), None
    return None, None


async def _read_fields(body: RequestBody, form: FormReader, file: FilePart | None) -> None:
    """Reads ahead until the wanted fields are known, and the file that is to be counted has ended."""
    while not form.known or (file is not None and not (file.ended or form.ended or form.fault)):
        chunk = await body.read_ahead()
        if not chunk:
            form.finish()
            return
        form.feed(chunk)


async def _watched(body: RequestBody, form: FormReader, caller: Caller) -> AsyncIterator[bytes]:
    """The form on its way to the upstream; what was read ahead has been fed already."""
    skip = body.ahead_bytes
    async for chunk in body:
        if skip > 0:
            skip -= len(chunk)
        else:
            form.feed(chunk)
        _stop_if_wrong(form, caller)
        yield chunk
    form.finish()
    _stop_if_wrong(form, caller)


def _stop_if_wrong(form: FormReader, caller: Caller) -> None:
    if form.fault is not None:
        raise UnreadableForm(form.fault)
    fields = form.fields
    if fields.get(PROJECT_ID, caller.project_id) != caller.project_id:
        raise ForeignOwner
    if fields.get(ORGANIZATION_ID, caller.account_id) != caller.account_id:
        raise ForeignOwner


def check_owners(values: RequestValues, caller: Caller) -> Unreadable | None:
    """Every project and organization that is named must be the key's own, else ForeignOwner."""
    owners = values.owners()
    if isinstance(owners, Unreadable):
        return owners
    projects, organizations = owners
    if not {caller.project_id}.issuperset(projects) or not {caller.account_id}.issuperset(organizations):
        raise ForeignOwner
    return None


def _is_form(content_type: bytes | None) -> bool:
    return _kind(content_type or b"") in {b"multipart/form-data", b"application/x-www-form-urlencoded"}


def _is_json(content_type: bytes | None) -> bool:
    """Also no Content-Type at all, which some frameworks take for JSON."""
    return _kind(content_type or b"application/json").endswith(b"json")


def _kind(content_type: bytes) -> bytes:
    return content_type.partition(b";")[0].strip().lower()
