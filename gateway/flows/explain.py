"""Why a call was charged as it was, or refused: everything that is known of it, from Redis and the books.

Redis is asked first for how the hold stands; an end that is not booked is found in the outbox, and one that leaves it
in between is found in the books. Changes nothing. Says it in no words: that is for the doors.
"""

import asyncio
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final

from gateway.books import events, jobs, periods, refusals
from gateway.books.books import Books
from gateway.books.events import BookedEvent
from gateway.books.jobs import BookedJob
from gateway.books.refusals import Refusal
from gateway.domain.quote import PricePart
from gateway.domain.usage import CallFacts, UsageEvent
from gateway.flows.faults import NoSuchThing
from gateway.ledger.answers import HoldSeen
from gateway.ledger.faults import StoreUnavailable
from gateway.ledger.holds import Holds
from gateway.wire.call_facts import read_facts

PartsOf = Callable[[CallFacts], tuple[PricePart, ...] | None]

# Receipts share the stores' connections with the calls.
AT_ONCE: Final = 8
_REQUEST_ID: Final = re.compile(r"req_[0-9a-f]{32}")


class ReceiptState(StrEnum):
    """How far a call has come."""

    PENDING = "pending"  # its hold is open
    SETTLED = "settled"  # its end is in the outbox
    BOOKED = "booked"


@dataclass(frozen=True, slots=True)
class ReceiptEnding:
    """One ending of the call's hold; `booked_at_ms` and `transaction_id` are None until it is booked.

    `transaction_id` stays None where no credits moved.
    """

    event: UsageEvent
    booked_at_ms: int | None
    transaction_id: str | None


@dataclass(frozen=True, slots=True)
class ReceiptJob:
    """The job that the call started. `looks`: how often the gateway has looked at it so far; None once forgotten."""

    upstream: str
    job_id: str
    kind: str
    attached_at_ms: int
    looks: int | None


@dataclass(frozen=True, slots=True)
class Receipt:
    """One call that had a hold.

    `endings` are in order: more than one where a hold expired and its cost was taken after all. `parts` None: they
    cannot be told any more. `expires_at_ms` only while the hold is open. `live` False: Redis was away.
    """

    facts: CallFacts
    state: ReceiptState
    held_millicredits: int
    admitted_at_ms: int
    expires_at_ms: int | None
    period_start_ms: int
    period_end_ms: int | None
    job: ReceiptJob | None
    endings: tuple[ReceiptEnding, ...]
    parts: tuple[PricePart, ...] | None
    live: bool

    @property
    def end(self) -> ReceiptEnding | None:
        """The ending that counts: the last."""
        return self.endings[-1] if self.endings else None

    @property
    def captured_millicredits(self) -> int:
        """What was taken in all: a hold is captured at most once."""
        return sum(ending.event.captured_millicredits for ending in self.endings)


class Explain:
    """Receipts and refusals of all accounts. `parts_of` finds a price's parts on the rate card in force."""

    def __init__(self, *, books: Books, holds: Holds, parts_of: PartsOf) -> None:
        self._books = books
        self._holds = holds
        self._parts_of = parts_of
        self._turns = asyncio.Semaphore(AT_ONCE)

    async def of_account(self, request_id: str, account_id: str) -> Receipt | Refusal:
        """A call of the account. NoSuchThing for every other; BooksUnavailable, StoreUnavailable where both matter."""
        if _REQUEST_ID.fullmatch(request_id) is None:
            raise NoSuchThing("call", request_id)
        async with self._turns:
            return await self._of_account(request_id, account_id)

    async def _of_account(self, request_id: str, account_id: str) -> Receipt | Refusal:
        away: StoreUnavailable | None = None
        hold: HoldSeen | None = None
        try:
            hold = await self._holds.of_account(request_id, account_id)
        except StoreUnavailable as error:
            away = error
        known = await self._booked(request_id, account_id)
        waiting: list[UsageEvent] = []
        if hold is not None and hold.ending is not None and not known.has(hold):
            waiting = await self._holds.endings(request_id, hold)
            if all(event.ending is not hold.ending for event in waiting):
                known = await self._booked(request_id, account_id)
        receipt = self._receipt(known, hold, waiting, live=away is None)
        if receipt is not None:
            return await self._with_period(receipt)
        if known.refusal is not None:
            return known.refusal
        if away is not None:
            raise away
        raise NoSuchThing("call", request_id)

    async def of_anyone(self, request_id: str) -> Receipt | Refusal:
        """A call, whosever it is: for operators. Raises as `of_account`."""
        if _REQUEST_ID.fullmatch(request_id) is None:
            raise NoSuchThing("call", request_id)
        known = await self._booked(request_id, None)
        account_id = known.account_id
        if account_id is None:
            hold = await self._holds.find(request_id)
            if hold is None:
                raise NoSuchThing("call", request_id)
            account_id = hold.account_id
        return await self.of_account(request_id, account_id)

    async def _booked(self, request_id: str, account_id: str | None) -> "_Known":
        """What the books have of the call, if it is that account's (None: anyone's)."""
        async with self._books.read() as conn:
            known = _Known(
                await events.of_request(conn, request_id),
                await jobs.of_request(conn, request_id),
                await refusals.get(conn, request_id),
            )
        return known if account_id in {None, known.account_id} else _Known([], None, None)

    def _receipt(
        self, known: "_Known", hold: HoldSeen | None, waiting: list[UsageEvent], *, live: bool
    ) -> Receipt | None:
        """The receipt; None where neither store has a hold of the call."""
        endings = _endings(known.events, waiting)
        if endings:
            last = endings[-1].event
            facts, held = last.facts, last.held_millicredits
            admitted_at_ms, period_start_ms = last.admitted_at_ms, last.period_start_ms
            state = ReceiptState.SETTLED if endings[-1].booked_at_ms is None else ReceiptState.BOOKED
        elif hold is not None and hold.facts and hold.ending is None:
            facts, held, state = read_facts(hold.facts), hold.amount_millicredits, ReceiptState.PENDING
            admitted_at_ms, period_start_ms = hold.admitted_at_ms, hold.period_start_ms
        else:
            return None
        return Receipt(
            facts=facts,
            state=state,
            held_millicredits=held,
            admitted_at_ms=admitted_at_ms,
            expires_at_ms=hold.deadline_ms if hold is not None and state is ReceiptState.PENDING else None,
            period_start_ms=period_start_ms,
            period_end_ms=None,
            job=_job(known.job, hold),
            endings=endings,
            parts=self._parts_of(facts),
            live=live,
        )

    async def _with_period(self, receipt: Receipt) -> Receipt:
        async with self._books.read() as conn:
            found = await periods.of_account(conn, receipt.facts.account_id, since_ms=receipt.period_start_ms)
        end_ms = next((period.end_ms for period in found if period.start_ms == receipt.period_start_ms), None)
        return replace(receipt, period_end_ms=end_ms)


@dataclass(frozen=True, slots=True)
class _Known:
    """What the books have of one call."""

    events: list[BookedEvent]
    job: BookedJob | None
    refusal: Refusal | None

    @property
    def account_id(self) -> str | None:
        """Whose call it is."""
        if self.events:
            return self.events[0].event.facts.account_id
        if self.job is not None:
            return self.job.account_id
        return None if self.refusal is None else self.refusal.account_id

    def has(self, hold: HoldSeen) -> bool:
        """Whether the end that the hold came to is among the booked ones."""
        return any(booked.event.ending is hold.ending for booked in self.events)


def _endings(booked: list[BookedEvent], waiting: list[UsageEvent]) -> tuple[ReceiptEnding, ...]:
    """Each ending once, in order."""
    by_id = {event.id: ReceiptEnding(event, None, None) for event in waiting}
    by_id |= {one.event.id: ReceiptEnding(one.event, one.booked_at_ms, one.transaction_id) for one in booked}
    return tuple(sorted(by_id.values(), key=lambda ending: ending.event.seq))


def _job(booked: BookedJob | None, hold: HoldSeen | None) -> ReceiptJob | None:
    if hold is not None and hold.job_id is not None:
        return ReceiptJob(hold.upstream, hold.job_id, hold.job_kind, hold.attached_at_ms, hold.looks)
    if booked is not None:
        return ReceiptJob(booked.upstream, booked.job_id, booked.kind, booked.attached_at_ms, None)
    return None
