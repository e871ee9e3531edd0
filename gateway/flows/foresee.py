"""Would a call be let in now? Looks at the account and its credits, and changes, holds and counts nothing.

A forecast, no promise: what stands between it and the call is every other call. Rate limits and the number of running
calls are not looked at, since looking at a rate limit is what counts a call.
"""

from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import NamedTuple

from gateway.books.faults import BooksUnavailable
from gateway.domain.admission import RefusalCode
from gateway.domain.instant import epoch_ms
from gateway.domain.quote import Quote
from gateway.domain.terms import AccountStatus
from gateway.flows.authenticate import Caller, Directory
from gateway.ledger.ledger import Ledger


class Foreseen(NamedTuple):
    """`code` None: it would be let in. `available_millicredits` below zero after an overrun."""

    code: RefusalCode | None
    available_millicredits: int


class Foresight:
    """Forecasts for all accounts. `load` rebuilds an account in Redis from the books."""

    def __init__(
        self,
        ledger: Ledger,
        directory: Directory,
        *,
        load: Callable[[str], Awaitable[None]],
        clock: Callable[[], datetime],
    ) -> None:
        self._ledger = ledger
        self._directory = directory
        self._load = load
        self._clock = clock

    async def of_call(self, caller: Caller, quote: Quote | None) -> Foreseen:
        """What an admission would say of the credits; a call without a quote needs none. StoreUnavailable."""
        try:
            terms = (await self._directory.refreshed(caller) or caller).terms
        except BooksUnavailable:
            terms = caller.terms
        period = terms.period_at(epoch_ms(self._clock())) or terms.periods[-1]
        counted = await self._ledger.usage(caller.account_id, period.start_ms)
        if counted is None:
            await self._load(caller.account_id)
            counted = await self._ledger.usage(caller.account_id, period.start_ms)
        captured, held = counted or (0, 0)
        failed = terms.status is AccountStatus.PAYMENT_FAILED
        left = period.granted_millicredits - captured
        overage = 0 if failed else period.overage_millicredits
        available = left + overage - held
        if quote is None or quote.least_millicredits <= available:
            code = None
        elif quote.least_millicredits <= left + overage:
            code = RefusalCode.CREDITS_HELD
        elif failed and quote.least_millicredits <= left + period.overage_millicredits - held:
            code = RefusalCode.PAYMENT_REQUIRED
        elif period.overage_millicredits > 0:
            code = RefusalCode.SPEND_LIMIT_REACHED
        else:
            code = RefusalCode.CREDITS_EXHAUSTED
        if quote is not None and terms.status is AccountStatus.CLOSED:
            code = RefusalCode.ACCOUNT_CLOSED
        return Foreseen(code, available)
