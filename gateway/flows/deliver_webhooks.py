"""Sending what was written down for webhook endpoints, until it arrives or has failed for good.

Any number of processes deliver at a time: each leases what it sends, so an event goes out once at a time, and again a
minute after a process died with it. That is at least once: receivers tell repeats by `webhook-id`. An endpoint that
hangs holds up a few of its own deliveries, never another's. The order of events is not kept.
"""

import asyncio
import random
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime
from typing import Final, NoReturn, Protocol

import structlog
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.books import webhook_endpoints, webhooks
from gateway.books.books import Books
from gateway.books.faults import BooksUnavailable
from gateway.books.webhook_endpoints import Endpoint
from gateway.books.webhooks import Attempt, DueDelivery
from gateway.domain.instant import DAY_MS, HOUR_MS, epoch_ms
from gateway.domain.webhook import GONE, MOST_JITTER_PERMILLE, DeliveryStatus, TryOutcome, accepted, pause_ms
from gateway.flows.webhooks import put_out_of_use
from gateway.sinks.webhook import Posted
from gateway.wire.standard_webhook import signed_headers, signing_key

AT_ONCE: Final = 32
AT_ONCE_EACH: Final = 4
LOOK_EVERY_S: Final = 1.0
TRIM_EVERY_MS: Final = HOUR_MS
# Rounds of trimming in one go, 500 events each.
MOST_TRIMS: Final = 20
KEPT_REPLY_BYTES: Final = 1024

log = structlog.get_logger()


class Posts(Protocol):
    """The part of the sink that is needed here."""

    async def post(self, url: str, headers: Sequence[tuple[str, str]], body: bytes) -> Posted:
        """Post the body; whatever the address brings about is in the answer."""
        ...


class CountsWebhooks(Protocol):
    """Where tries are counted."""

    def webhook_tried(self, outcome: TryOutcome) -> None:
        """One try came to this."""
        ...


class Deliverer:
    """One deliverer. `disable_after_ms`: an endpoint that took nothing for so long is put out of use.

    `keep_ms` is how long events and their delivery log are kept. `jitter` draws from 0 to the most permille. `tell` is
    told of each try that was noted.
    """

    def __init__(
        self,
        *,
        books: Books,
        sender: Posts,
        pepper: bytes,
        clock: Callable[[], datetime],
        disable_after_ms: int = 5 * DAY_MS,
        keep_ms: int = 30 * DAY_MS,
        jitter: Callable[[int], int] = lambda most: random.randint(0, most),  # noqa: S311 - no secret
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        tell: CountsWebhooks | None = None,
    ) -> None:
        self._books = books
        self._sender = sender
        self._pepper = pepper
        self._clock = clock
        self._disable_after_ms = disable_after_ms
        self._keep_ms = keep_ms
        self._jitter = jitter
        self._sleep = sleep
        self._under_way: dict[asyncio.Task[None], str] = {}
        self._trimmed_ms = 0
        self._tell = tell

    async def run(self) -> NoReturn:
        """Deliver until cancelled, through any absence of the books. What is cut off is due again a minute later."""
        try:
            while True:
                try:
                    await self._start_due()
                    await self._trim_now_and_then()
                except BooksUnavailable as away:
                    log.warning("webhooks wait", reason=str(away))
                await self._sleep(LOOK_EVERY_S)
        finally:
            for task in self._under_way:
                task.cancel()
            await asyncio.gather(*self._under_way, return_exceptions=True)

    async def deliver_due(self) -> int:
        """Try everything that is due now, as far as there is room, and wait for it; how many tries that was."""
        started = await self._start_due()
        await asyncio.gather(*started)
        return len(started)

    async def trim(self) -> int:
        """Forget events that are older than they are kept; how many."""
        before_ms = epoch_ms(self._clock()) - self._keep_ms
        trimmed = 0
        for _ in range(MOST_TRIMS):
            async with self._books.begin() as conn:
                forgotten = await webhooks.trim(conn, before_ms=before_ms)
            trimmed += forgotten
            if not forgotten:
                break
        return trimmed

    async def _trim_now_and_then(self) -> None:
        now_ms = epoch_ms(self._clock())
        if now_ms - self._trimmed_ms >= TRIM_EVERY_MS:
            self._trimmed_ms = now_ms
            await self.trim()

    async def _start_due(self) -> list[asyncio.Task[None]]:
        """Lease what is due and begin to send it, as far as there is room."""
        busy = Counter(self._under_way.values())
        full = [endpoint_id for endpoint_id, tasks in busy.items() if tasks >= AT_ONCE_EACH]
        room = AT_ONCE - len(self._under_way)
        if room <= 0:
            return []
        at_ms = epoch_ms(self._clock())
        async with self._books.read() as conn:
            endpoint_ids = await webhooks.due_endpoints(conn, at_ms, apart_from=full, limit=room)
        started: list[asyncio.Task[None]] = []
        for endpoint_id in endpoint_ids:
            limit = min(room - len(started), AT_ONCE_EACH - busy[endpoint_id])
            if limit <= 0:
                break
            async with self._books.begin() as conn:
                endpoint = await webhook_endpoints.get(conn, endpoint_id)
                leased = await webhooks.lease(conn, endpoint_id, at_ms, limit=limit)
            if endpoint is not None:
                started += [self._start(endpoint, due) for due in leased]
        return started

    def _start(self, endpoint: Endpoint, due: DueDelivery) -> asyncio.Task[None]:
        task = asyncio.create_task(self._deliver(endpoint, due), name=f"webhook {due.id}")
        self._under_way[task] = endpoint.id
        task.add_done_callback(lambda ended: self._under_way.pop(ended, None))
        return task

    async def _deliver(self, endpoint: Endpoint, due: DueDelivery) -> None:
        """One try and what follows from it. An answer that cannot be noted is asked for again."""
        at_ms = epoch_ms(self._clock())
        keys = [signing_key(seed, self._pepper) for seed in endpoint.seeds_at(at_ms)]
        body = due.body.encode()
        headers = [
            ("content-type", "application/json"),
            ("user-agent", "credit-gateway-webhooks"),
            *signed_headers(due.message_id, at_ms // 1000, body, keys),
        ]
        posted = await self._sender.post(endpoint.url, headers, body)
        try:
            async with self._books.begin() as conn:
                outcome = await self._note(conn, endpoint, due, posted, at_ms)
            if self._tell is not None and outcome is not None:
                self._tell.webhook_tried(outcome)
        except BooksUnavailable as away:
            log.warning("a webhook's try could not be noted, so it is tried again", reason=str(away))
        except Exception:
            # Of one delivery's making; it is due again when its lease ends.
            log.exception("a webhook's try could not be noted", delivery_id=due.id)

    async def _note(
        self, conn: AsyncConnection, endpoint: Endpoint, due: DueDelivery, posted: Posted, at_ms: int
    ) -> TryOutcome | None:
        """None where there was nothing to note: the endpoint is gone, or somebody else has the delivery by now."""
        # Locked first, by everyone who writes about both: nobody waits in a circle.
        current = await webhook_endpoints.get(conn, endpoint.id, lock=True)
        if current is None:
            return None
        fault = posted.fault or ("a redirect, which is not followed" if _redirect(posted.status) else "")
        attempt = Attempt(due.attempts + 1, at_ms, posted.status, posted.duration_ms, fault, _text(posted.reply))
        if posted.status is not None and accepted(posted.status):
            if not await webhooks.finish(conn, due, attempt, DeliveryStatus.DELIVERED, next_ms=None):
                return None
            await webhook_endpoints.note_success(conn, endpoint.id)
            return TryOutcome.DELIVERED
        gone = posted.status == GONE
        jitter = self._jitter(MOST_JITTER_PERMILLE)
        pause = None if gone else pause_ms(due.tries + 1, jitter_permille=jitter, rest_ms=posted.rest_ms)
        status = DeliveryStatus.FAILED if pause is None else DeliveryStatus.WAITING
        next_ms = None if pause is None else at_ms + posted.duration_ms + pause
        if not await webhooks.finish(conn, due, attempt, status, next_ms=next_ms):
            return None
        await webhook_endpoints.note_failure(conn, endpoint.id, at_ms)
        since_ms = at_ms if current.failing_since_ms is None else current.failing_since_ms
        reason = ""
        if gone:
            reason = "it answered 410 Gone"
        elif at_ms - since_ms >= self._disable_after_ms:
            reason = f"it took no delivery for {self._disable_after_ms // DAY_MS} days"
        if reason and await self._put_out_of_use(conn, current, reason, at_ms):
            return TryOutcome.DISABLED
        return TryOutcome.GIVEN_UP if pause is None else TryOutcome.FAILED

    async def _put_out_of_use(self, conn: AsyncConnection, endpoint: Endpoint, reason: str, at_ms: int) -> bool:
        """False where it was out of use already."""
        if endpoint.disabled_ms is not None:
            return False
        await put_out_of_use(conn, endpoint, reason=reason, actor="gateway", at_ms=at_ms)
        log.warning("webhook endpoint disabled", endpoint_id=endpoint.id, account_id=endpoint.account_id, why=reason)
        return True


def _redirect(status: int | None) -> bool:
    return status is not None and 300 <= status <= 399  # noqa: PLR2004 - RFC 9110, section 15.4


def _text(reply: bytes) -> str:
    """How a reply begins, as text; PostgreSQL stores no NUL."""
    return reply[:KEPT_REPLY_BYTES].decode("utf-8", "backslashreplace").replace("\x00", "\\x00")
