"""Webhook endpoints of accounts: making, changing, rotating and removing them, their delivery log, and sending again.

A secret is shown when it is made and never again; the books keep what it is made of, not the secret. Sends nothing
itself: `deliver_webhooks` does, in the background.
"""

import secrets
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.books import accounts, audit, webhook_endpoints, webhooks
from gateway.books.audit import AuditEntry
from gateway.books.books import Books
from gateway.books.ids import new_id
from gateway.books.webhook_endpoints import Endpoint
from gateway.books.webhooks import Attempt, Delivery
from gateway.domain.instant import DAY_MS, HOUR_MS, epoch_ms, from_epoch_ms
from gateway.domain.webhook import DeliveryStatus, EventType
from gateway.flows.faults import CallerFault, NoSuchThing, WrongParameter
from gateway.flows.known_account import known_account, open_account
from gateway.wire import standard_webhook
from gateway.wire.webhook_url import checked_url

MOST_ENDPOINTS: Final = 10
OVERLAP_MS: Final = 24 * HOUR_MS
LONGEST_OVERLAP_MS: Final = 7 * DAY_MS
MOST_LISTED: Final = 200
# What an account has sent on demand is kept and delivered like any other event, so there is a limit to it.
MOST_TESTS_AN_HOUR: Final = 60
_LONGEST_DESCRIPTION: Final = 200


@dataclass(frozen=True, slots=True)
class ShownEndpoint:
    """An endpoint just made or rotated, with its secret, which is shown this once."""

    endpoint: Endpoint
    secret: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class DeliveryView:
    """One delivery with its tries, the latest first, and the JSON that is sent."""

    delivery: Delivery
    attempts: tuple[Attempt, ...]
    body: str


class Webhooks:
    """The endpoints of all accounts. Where `account_id` is given, another account's endpoint is not there.

    `allow_private`: addresses that are not public, and http, are taken.
    """

    def __init__(
        self, *, books: Books, pepper: bytes, clock: Callable[[], datetime], allow_private: bool = False
    ) -> None:
        self._books = books
        self._pepper = pepper
        self._clock = clock
        self._allow_private = allow_private

    async def create(
        self,
        account_id: str,
        url: str,
        *,
        event_types: Collection[str] | None = None,
        description: str = "",
        actor: str = "cli",
    ) -> ShownEndpoint:
        """An endpoint that hears of these events (None: of all, also those to come). NoSuchThing, CallerFault."""
        at_ms = self._now_ms()
        address, chosen, words = self._address(url), _types(event_types), _description(description)
        async with self._books.begin() as conn:
            await open_account(conn, account_id)
            if await webhook_endpoints.count(conn, account_id) >= MOST_ENDPOINTS:
                raise CallerFault(f"an account has at most {MOST_ENDPOINTS} webhook endpoints; remove one first")
            seed = _new_seed()
            endpoint_id = await webhook_endpoints.add(
                conn,
                account_id=account_id,
                url=address,
                description=words,
                event_types=chosen,
                seed=seed,
                at_ms=at_ms,
            )
            made = await self._found(conn, endpoint_id, account_id)
            await _note(conn, made, at_ms=at_ms, actor=actor, action="webhook.create", detail=_told(made))
        return ShownEndpoint(made, standard_webhook.secret(seed, self._pepper))

    async def of_account(self, account_id: str) -> list[Endpoint]:
        """The account's endpoints, oldest first, without their secrets. NoSuchThing."""
        async with self._books.read() as conn:
            await known_account(conn, account_id)
            return await webhook_endpoints.of_account(conn, account_id)

    async def show(self, endpoint_id: str, *, account_id: str | None = None) -> Endpoint:
        """One endpoint. NoSuchThing."""
        async with self._books.read() as conn:
            return await self._found(conn, endpoint_id, account_id)

    async def update(
        self,
        endpoint_id: str,
        *,
        url: str | None = None,
        event_types: Collection[str] | None = None,
        all_events: bool = False,
        description: str | None = None,
        account_id: str | None = None,
        actor: str = "cli",
    ) -> Endpoint:
        """Another address, choice of events or description; None leaves it as it is. NoSuchThing, CallerFault."""
        at_ms = self._now_ms()
        async with self._books.begin() as conn:
            before = await self._found(conn, endpoint_id, account_id, lock=True)
            chosen = _types(event_types)
            if chosen is None and not all_events and before.event_types is not None:
                chosen = frozenset(map(EventType, before.event_types))
            await webhook_endpoints.describe(
                conn,
                endpoint_id,
                url=before.url if url is None else self._address(url),
                description=before.description if description is None else _description(description),
                event_types=chosen,
            )
            after = await self._found(conn, endpoint_id, account_id)
            detail = {"before": _told(before), "after": _told(after)}
            await _note(conn, after, at_ms=at_ms, actor=actor, action="webhook.update", detail=detail)
        return after

    async def rotate(
        self,
        endpoint_id: str,
        *,
        overlap_ms: int = OVERLAP_MS,
        account_id: str | None = None,
        actor: str = "cli",
    ) -> ShownEndpoint:
        """Another secret; the one before signs too for `overlap_ms`. NoSuchThing, CallerFault."""
        at_ms = self._now_ms()
        if not 0 <= overlap_ms <= LONGEST_OVERLAP_MS:
            raise WrongParameter("overlap", f"the overlap is from 0 to {LONGEST_OVERLAP_MS // DAY_MS} days")
        seed = _new_seed()
        async with self._books.begin() as conn:
            before = await self._found(conn, endpoint_id, account_id, lock=True)
            await webhook_endpoints.rotate(
                conn, endpoint_id, seed=seed, previous_seed=before.seed, previous_until_ms=at_ms + overlap_ms
            )
            after = await self._found(conn, endpoint_id, account_id)
            detail = {"previous_until_ms": at_ms + overlap_ms}
            await _note(conn, after, at_ms=at_ms, actor=actor, action="webhook.rotate", detail=detail)
        return ShownEndpoint(after, standard_webhook.secret(seed, self._pepper))

    async def enable(self, endpoint_id: str, *, account_id: str | None = None, actor: str = "cli") -> Endpoint:
        """Use it again; what failed meanwhile can be replayed. Again changes nothing. NoSuchThing."""
        at_ms = self._now_ms()
        async with self._books.begin() as conn:
            before = await self._found(conn, endpoint_id, account_id, lock=True)
            if before.disabled_ms is not None:
                await webhook_endpoints.enable(conn, endpoint_id)
                await _note(conn, before, at_ms=at_ms, actor=actor, action="webhook.enable", detail={})
            return await self._found(conn, endpoint_id, account_id)

    async def disable(
        self, endpoint_id: str, *, reason: str = "", account_id: str | None = None, actor: str = "cli"
    ) -> Endpoint:
        """Send nothing to it any more; what waits fails. Again changes nothing. NoSuchThing."""
        at_ms = self._now_ms()
        async with self._books.begin() as conn:
            before = await self._found(conn, endpoint_id, account_id, lock=True)
            await put_out_of_use(conn, before, reason=_description(reason) or "switched off", actor=actor, at_ms=at_ms)
            return await self._found(conn, endpoint_id, account_id)

    async def remove(self, endpoint_id: str, *, account_id: str | None = None, actor: str = "cli") -> None:
        """Forget it, its secret and its delivery log. NoSuchThing."""
        at_ms = self._now_ms()
        async with self._books.begin() as conn:
            before = await self._found(conn, endpoint_id, account_id, lock=True)
            await webhook_endpoints.remove(conn, endpoint_id)
            await _note(conn, before, at_ms=at_ms, actor=actor, action="webhook.remove", detail=_told(before))

    async def deliveries(
        self,
        endpoint_id: str,
        *,
        status: str | None = None,
        before: str = "",
        limit: int = 50,
        account_id: str | None = None,
    ) -> list[Delivery]:
        """The delivery log, newest first; `before` a delivery's id, for the next page. NoSuchThing, CallerFault."""
        if status is not None and status not in set(DeliveryStatus):
            raise WrongParameter("status", f"a delivery is {', '.join(DeliveryStatus)}; {status!r} is none of them")
        chosen = None if status is None else DeliveryStatus(status)
        async with self._books.read() as conn:
            await self._found(conn, endpoint_id, account_id)
            return await webhooks.of_endpoint(
                conn, endpoint_id, status=chosen, before=before, limit=max(1, min(limit, MOST_LISTED))
            )

    async def delivery(self, delivery_id: str, *, account_id: str | None = None) -> DeliveryView:
        """One delivery with its tries and its body. NoSuchThing."""
        async with self._books.read() as conn:
            found = await _delivery(conn, delivery_id, account_id)
            attempts = await webhooks.attempts_of(conn, delivery_id)
            body = await webhooks.body_of(conn, found.message_id)
        return DeliveryView(found, tuple(attempts), body or "")

    async def replay(self, delivery_id: str, *, account_id: str | None = None, actor: str = "cli") -> Delivery:
        """Send it again, now, whatever became of it: same id, same body. NoSuchThing, CallerFault."""
        at_ms = self._now_ms()
        async with self._books.begin() as conn:
            found = await _delivery(conn, delivery_id, account_id)
            endpoint = await self._in_use(conn, found.endpoint_id, account_id)
            await webhooks.replay(conn, delivery_id, at_ms)
            detail = {"delivery": delivery_id}
            await _note(conn, endpoint, at_ms=at_ms, actor=actor, action="webhook.replay", detail=detail)
            return await _delivery(conn, delivery_id, account_id)

    async def replay_failed(
        self, endpoint_id: str, *, since_ms: int, account_id: str | None = None, actor: str = "cli"
    ) -> int:
        """Send everything again that happened since then and failed; how many that is. NoSuchThing, CallerFault."""
        at_ms = self._now_ms()
        async with self._books.begin() as conn:
            endpoint = await self._in_use(conn, endpoint_id, account_id)
            replayed = await webhooks.replay_failed(conn, endpoint_id, since_ms=since_ms, at_ms=at_ms)
            detail = {"since_ms": since_ms, "deliveries": replayed}
            await _note(conn, endpoint, at_ms=at_ms, actor=actor, action="webhook.replay", detail=detail)
        return replayed

    async def send_test(self, endpoint_id: str, *, account_id: str | None = None, actor: str = "cli") -> Delivery:
        """Send `webhook.test` to this endpoint, whatever it subscribed to. NoSuchThing, CallerFault."""
        at_ms = self._now_ms()
        async with self._books.begin() as conn:
            endpoint = await self._in_use(conn, endpoint_id, account_id)
            sent = await webhooks.sent_since(conn, endpoint_id, EventType.WEBHOOK_TEST, at_ms - HOUR_MS)
            if sent >= MOST_TESTS_AN_HOUR:
                raise CallerFault(f"an endpoint is sent {MOST_TESTS_AN_HOUR} tests an hour at most; wait a while")
            data = {"account_id": endpoint.account_id, "endpoint_id": endpoint_id}
            (delivery_id,) = await webhooks.add_message(
                conn,
                message_id=new_id("msg"),
                account_id=endpoint.account_id,
                event_type=EventType.WEBHOOK_TEST,
                body=standard_webhook.event_body(EventType.WEBHOOK_TEST, from_epoch_ms(at_ms), data),
                endpoint_ids=[endpoint_id],
                at_ms=at_ms,
            )
            detail = {"delivery": delivery_id}
            await _note(conn, endpoint, at_ms=at_ms, actor=actor, action="webhook.test", detail=detail)
            return await _delivery(conn, delivery_id, account_id)

    async def _found(
        self, conn: AsyncConnection, endpoint_id: str, account_id: str | None, *, lock: bool = False
    ) -> Endpoint:
        found = await webhook_endpoints.get(conn, endpoint_id)
        if lock and found is not None:
            # Behind its account, as everyone takes them who needs both.
            await accounts.get(conn, found.account_id, lock=True)
            found = await webhook_endpoints.get(conn, endpoint_id, lock=True)
        if found is None or account_id not in (None, found.account_id):
            raise NoSuchThing("webhook endpoint", endpoint_id)
        return found

    async def _in_use(self, conn: AsyncConnection, endpoint_id: str, account_id: str | None) -> Endpoint:
        found = await self._found(conn, endpoint_id, account_id, lock=True)
        if found.disabled_ms is not None:
            raise CallerFault(f"webhook endpoint {endpoint_id} is disabled; enable it first")
        return found

    def _address(self, url: str) -> str:
        try:
            return checked_url(url, allow_private=self._allow_private)
        except ValueError as wrong:
            raise WrongParameter("url", str(wrong)) from None

    def _now_ms(self) -> int:
        return epoch_ms(self._clock())


async def put_out_of_use(conn: AsyncConnection, endpoint: Endpoint, *, reason: str, actor: str, at_ms: int) -> None:
    """Disable an endpoint that the transaction holds; what waits for it fails, and can be replayed."""
    if endpoint.disabled_ms is not None:
        return
    await webhook_endpoints.disable(conn, endpoint.id, reason=reason, at_ms=at_ms)
    await webhooks.give_up(conn, endpoint.id, at_ms)
    await _note(conn, endpoint, at_ms=at_ms, actor=actor, action="webhook.disable", detail={"reason": reason})


def _types(event_types: Collection[str] | None) -> frozenset[EventType] | None:
    if event_types is None:
        return None
    known = [str(one) for one in EventType]
    for name in event_types:
        if name not in known:
            raise WrongParameter("event_types", f"there is no event type {name!r}; there are {', '.join(known)}")
    if not event_types:
        raise WrongParameter("event_types", "an endpoint hears of something; leave event_types out for all of them")
    return frozenset(map(EventType, event_types))


def _description(text: str) -> str:
    if len(text) > _LONGEST_DESCRIPTION or not text.isprintable():
        raise WrongParameter("description", f"at most {_LONGEST_DESCRIPTION} printable characters")
    return text


async def _delivery(conn: AsyncConnection, delivery_id: str, account_id: str | None) -> Delivery:
    found = await webhooks.get(conn, delivery_id)
    if found is None or account_id not in (None, await webhooks.account_of(conn, delivery_id)):
        raise NoSuchThing("webhook delivery", delivery_id)
    return found


def _told(endpoint: Endpoint) -> dict[str, Any]:
    chosen: Sequence[str] | None = None if endpoint.event_types is None else sorted(endpoint.event_types)
    return {"url": endpoint.url, "event_types": chosen, "description": endpoint.description}


def _new_seed() -> str:
    return standard_webhook.new_seed(secrets.token_bytes(standard_webhook.SEED_BYTES))


async def _note(
    conn: AsyncConnection, endpoint: Endpoint, *, at_ms: int, actor: str, action: str, detail: dict[str, Any]
) -> None:
    await audit.write(conn, AuditEntry(at_ms, actor, action, endpoint.account_id, endpoint.id, detail))
