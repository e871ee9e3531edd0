"""Settling holds: the one place that turns an outcome into a capture, a release or a job's hold.

A settlement that was begun is carried through: a cancelled task or an unreachable store moves it to the background,
where it is repeated (every ledger verb is idempotent by hold id) until Redis has acknowledged it or the hold has
long expired. It never decides what a call costs: `domain.outcome` and `domain.job` do.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from functools import partial
from itertools import chain, repeat
from typing import Final, NamedTuple, TypeVar

import structlog

from gateway.books.books import Books
from gateway.books.faults import BooksUnavailable
from gateway.books.usage import has_settled
from gateway.domain.admission import Refused
from gateway.domain.job import hold_ms
from gateway.domain.outcome import Attach, Capture, Outcome, Release
from gateway.domain.usage import Settlement
from gateway.flows.live_holds import HOLD_TTL_MS, LiveHolds
from gateway.ledger.answers import JobMark, Settled
from gateway.ledger.faults import HoldEnded, StoreUnavailable
from gateway.ledger.ledger import Ledger
from gateway.wire.call_facts import read_facts, settlement_json
from gateway.wire.route import JobKind

ACKNOWLEDGE_WITHIN_S: Final = 5.0
# A call that costs nothing has nothing to wait for: where its hold is not given back at once, that is done behind it.
RELEASE_WITHIN_S: Final = 0.05
PAUSES_S: Final = (0.05, 0.1, 0.2, 0.5, 1.0)
LAST_PAUSE_S: Final = 2.0
# Ten minutes of repeats: ten times the life of a call's hold, after which `reconcile` is the one to tell.
REPEATS: Final = 300
FIRST_LOOK_MS: Final = 1_000
# Settlements of so long are repeated when Redis may have lost its newest: the relay has booked older ones.
RECENT_S: Final = 5.0
RECENT_AT_MOST: Final = 20_000
AGAIN_AT_ONCE: Final = 16

log = structlog.get_logger()
T = TypeVar("T")


class NotAcknowledged(Exception):
    """Redis did not acknowledge a settlement in time. It goes on in the background; the reply may not be completed."""


class Held(NamedTuple):
    """An admitted call's hold, with what is needed to settle it though Redis lost it. `facts` as the hold has them."""

    hold_id: str
    account_id: str
    held_millicredits: int
    period_start_ms: int
    facts: bytes


class Settler:
    """Settles the holds of this process. `close` waits for settlements still under way."""

    def __init__(
        self, ledger: Ledger, books: Books, live: LiveHolds, rebuild: Callable[[str], Awaitable[None]]
    ) -> None:
        self._ledger = ledger
        self._books = books
        self._live = live
        self._rebuild = rebuild
        self._under_way: set[asyncio.Task[object]] = set()
        # When it began, whose it is, and how it is done once more.
        self._recent: deque[tuple[float, str, Callable[[], Awaitable[object]]]] = deque(maxlen=RECENT_AT_MOST)

    def settle(self, held: Held, outcome: Outcome, *, cap: bool, kind: JobKind | None) -> Awaitable[Settled | None]:
        """Does what was decided. None where the hold became a job's. NotAcknowledged where Redis stays silent."""
        match outcome:
            case Capture():
                return self._for_good(held, partial(self.capture, held, outcome, cap=cap))
            case Release():
                return self._carried_through(partial(self.release, held, outcome), held.hold_id, RELEASE_WITHIN_S)
            case Attach():
                assert kind is not None, "only a route that starts a job attaches one"  # noqa: S101
                return self._for_good(held, partial(self._attach, held, outcome, kind))

    async def settle_job(self, hold_id: str, account_id: str, outcome: Capture | Release, *, cap: bool = False) -> None:
        """Settles a job's hold, whoever has seen its end. What the ledger does not know any more is settled already."""
        if isinstance(outcome, Release):
            settlement = settlement_json(Settlement(None, outcome.reason))
            await self._carried_through(
                lambda: self._ledger.release(hold_id, account_id, settlement=settlement), hold_id
            )
            return
        settlement = settlement_json(Settlement(outcome.units, outcome.evidence, outcome.billed_mode))
        await self._carried_through(
            lambda: self._ledger.capture(
                hold_id, account_id, cost_millicredits=outcome.cost_millicredits, cap=cap, settlement=settlement
            ),
            hold_id,
        )

    async def look_now(self, hold_id: str, account_id: str, mark: JobMark | None) -> None:
        """Has a job looked at next, and what is known of it kept: a caller who knows its end may delete it."""
        await self._carried_through(lambda: self._ledger.look_now(hold_id, account_id, mark), hold_id)

    async def capture(self, held: Held, capture: Capture, *, cap: bool) -> Settled:
        """Takes the cost once. A hold that Redis no longer knows is taken as a direct debit unless it is booked."""
        settlement = settlement_json(Settlement(capture.units, capture.evidence))
        settled = await self._ledger.capture(
            held.hold_id,
            held.account_id,
            cost_millicredits=capture.cost_millicredits,
            cap=cap,
            settlement=settlement,
        )
        if settled.state_before is not None:
            return settled
        if await self._has_settled(held.hold_id):
            return settled
        cost = held.held_millicredits if capture.cost_millicredits is None else capture.cost_millicredits
        await self._rebuild(held.account_id)
        return await self._ledger.recover(
            held.hold_id,
            held.account_id,
            period_start_ms=held.period_start_ms,
            cost_millicredits=min(cost, held.held_millicredits) if cap else cost,
            facts=held.facts,
            settlement=settlement,
        )

    async def top_up(self, held: Held, *, least_millicredits: int, wanted_millicredits: int) -> Held | Refused:
        """The hold, grown to what is wanted or as far as there are credits; Refused where that is less than the least.

        A hold that Redis has lost is made again first. StoreUnavailable, also where it was settled in the meantime.
        """
        for _ in range(2):
            try:
                answer = await self._ledger.top_up(
                    held.hold_id,
                    held.account_id,
                    period_start_ms=held.period_start_ms,
                    least_millicredits=least_millicredits,
                    wanted_millicredits=wanted_millicredits,
                )
            except HoldEnded as ended:
                raise StoreUnavailable("hold_ended") from ended
            if isinstance(answer, Refused):
                return answer
            if answer is not None:
                return held._replace(held_millicredits=answer.held_millicredits)
            await self._rebuild(held.account_id)
            await self._ledger.restore_hold(
                read_facts(held.facts),
                held_millicredits=held.held_millicredits,
                period_start_ms=held.period_start_ms,
                ttl_ms=HOLD_TTL_MS,
            )
        raise StoreUnavailable("hold_lost")

    async def release(self, held: Held, release: Release) -> Settled:
        """Gives the hold back, once."""
        return await self._ledger.release(
            held.hold_id, held.account_id, settlement=settlement_json(Settlement(None, release.reason))
        )

    async def _attach(self, held: Held, attach: Attach, kind: JobKind) -> None:
        """Makes the hold the job's: a hold that Redis has lost is made again, since the job runs all the same.

        Where the hold was settled in between, the quote is taken, as far as a settled one lets it be.
        """
        if await self._attached(held, attach, kind) or await self._has_settled(held.hold_id):
            return
        await self._rebuild(held.account_id)
        await self._ledger.restore_hold(
            read_facts(held.facts),
            held_millicredits=held.held_millicredits,
            period_start_ms=held.period_start_ms,
            ttl_ms=HOLD_TTL_MS,
        )
        if not await self._attached(held, attach, kind):
            log.warning("a job's hold was gone before the job was known", request_id=held.hold_id, job=attach.job_id)
            await self.capture(
                held, Capture(None, None, "the hold was gone before its job was known: the quote"), cap=False
            )

    async def _attached(self, held: Held, attach: Attach, kind: JobKind) -> bool:
        return await self._ledger.attach_job(
            held.hold_id,
            held.account_id,
            upstream=kind.upstream,
            job_kind=kind.name,
            job_id=attach.job_id,
            limit_ms=hold_ms(kind.limit_ms),
            first_look_ms=FIRST_LOOK_MS,
        )

    async def _has_settled(self, hold_id: str) -> bool:
        async with self._books.read() as conn:
            return await has_settled(conn, hold_id)

    def _for_good(self, held: Held, attempt: Callable[[], Awaitable[T]]) -> Awaitable[T]:
        """Carries it through and remembers it for a while, in case Redis forgets what it acknowledges."""
        recent, now = self._recent, asyncio.get_running_loop().time()
        while recent and recent[0][0] < now - RECENT_S:
            recent.popleft()
        recent.append((now, held.account_id, attempt))
        return self._carried_through(attempt, held.hold_id)

    def settle_again(self) -> None:
        """Repeats, in the background, what was settled lately: Redis may have forgotten it, and then so may the books.

        Each account is rebuilt first where Redis is behind: numbers given out anew would hide that it is.
        """
        since = asyncio.get_running_loop().time() - RECENT_S
        recent = [(account_id, attempt) for at, account_id, attempt in self._recent if at >= since]
        if recent:
            task = asyncio.create_task(self._settle_again(recent))
            self._under_way.add(task)
            task.add_done_callback(self._finished)

    async def _settle_again(self, recent: list[tuple[str, Callable[[], Awaitable[object]]]]) -> None:
        turns = asyncio.Semaphore(AGAIN_AT_ONCE)

        async def once_more(account_id: str, attempts: list[Callable[[], Awaitable[object]]]) -> None:
            async with turns:
                await self._until_done(lambda: self._rebuild(account_id))
                for attempt in attempts:
                    await self._until_done(attempt)

        by_account: dict[str, list[Callable[[], Awaitable[object]]]] = {}
        for account_id, attempt in recent:
            by_account.setdefault(account_id, []).append(attempt)
        await asyncio.gather(*(once_more(account_id, attempts) for account_id, attempts in by_account.items()))

    async def _carried_through(
        self, attempt: Callable[[], Awaitable[T]], hold_id: str, within_s: float = ACKNOWLEDGE_WITHIN_S
    ) -> T:
        """One attempt on the caller's time; whatever hinders it, the rest in the background."""
        try:
            done = await attempt()
        except (StoreUnavailable, BooksUnavailable):
            task = self._insist(attempt, hold_id)
            try:
                return await asyncio.wait_for(asyncio.shield(task), within_s)
            except (TimeoutError, StoreUnavailable, BooksUnavailable) as error:
                raise NotAcknowledged from error
        except asyncio.CancelledError:
            self._insist(attempt, hold_id)
            raise
        except Exception:
            self._live.discard(hold_id)  # a mistake of ours: the hold expires, instead of being renewed for ever
            raise
        self._live.discard(hold_id)
        return done

    def _insist(self, attempt: Callable[[], Awaitable[T]], hold_id: str) -> asyncio.Task[T]:
        task = asyncio.create_task(self._repeat(attempt, hold_id))
        self._under_way.add(task)
        task.add_done_callback(self._finished)
        return task

    def _finished(self, task: asyncio.Task[object]) -> None:
        self._under_way.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("a settlement was given up", error=repr(error))

    async def _repeat(self, attempt: Callable[[], Awaitable[T]], hold_id: str) -> T:
        try:
            return await self._until_done(attempt)
        finally:
            self._live.discard(hold_id)

    async def _until_done(self, attempt: Callable[[], Awaitable[T]]) -> T:
        for pause_s in chain(PAUSES_S, repeat(LAST_PAUSE_S, REPEATS)):
            try:
                return await attempt()
            except (StoreUnavailable, BooksUnavailable):
                await asyncio.sleep(pause_s)
        return await attempt()

    def abandon(self, hold_id: str, account_id: str) -> None:
        """Gives back, in the background, a hold that may or may not have been made: its admission was not answered."""
        settlement = settlement_json(Settlement(None, "the admission was not answered in time"))
        self._insist(lambda: self._ledger.release(hold_id, account_id, settlement=settlement), hold_id)

    async def close(self, within_s: float) -> None:
        """Lets what is under way finish, at most so long; what does not is settled by expiry."""
        if self._under_way:
            await asyncio.wait(self._under_way, timeout=within_s)
