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
from gateway.domain.terms import AccountStatus, Terms
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
        at_ms = terms.own_ms(epoch_ms(self._clock()))
        period = terms.period_at(at_ms) or terms.periods[-1]
        counted = await self._ledger.usage(caller.account_id, period.start_ms)
        if counted is None:
            await self._load(caller.account_id)
            counted = await self._ledger.usage(caller.account_id, period.start_ms)
        captured, held = counted or (0, 0)
        failed, ceiling = terms.status is AccountStatus.PAYMENT_FAILED, period.ceiling_at(at_ms).millicredits
        left = period.granted_millicredits - captured
        overage = 0 if failed else ceiling
        available = left + overage - held
        budgets = await self._budgets(caller, terms, period.start_ms)
        code = None if quote is None else _refusal(quote.least_millicredits, left + overage, available, budgets)
        if quote is not None and code is RefusalCode.CREDITS_EXHAUSTED:
            if failed and quote.least_millicredits <= left + ceiling:
                code = RefusalCode.PAYMENT_REQUIRED
            elif ceiling > 0:
                code = RefusalCode.SPEND_LIMIT_REACHED
        if quote is not None and terms.status is AccountStatus.CLOSED:
            code = RefusalCode.ACCOUNT_CLOSED
        return Foreseen(code, min([available, *(room for _, room in budgets)]))

    async def _budgets(self, caller: Caller, terms: Terms, period_start_ms: int) -> list[tuple[int, int]]:
        """What is left of the budgets that count the caller: with what is held, and without."""
        limits = {each: limit for each, limit in terms.budgets if each in {caller.project_id, caller.key_id}}
        used = await self._ledger.budget_usage(caller.account_id, period_start_ms, list(limits))
        if len(used) < len(limits):
            await self._load(caller.account_id)
            used = await self._ledger.budget_usage(caller.account_id, period_start_ms, list(limits))
        return [(limits[each] - captured, limits[each] - captured - held) for each, (captured, held) in used.items()]


def _refusal(least: int, unspent: int, available: int, budgets: list[tuple[int, int]]) -> RefusalCode | None:
    """Why not, CREDITS_EXHAUSTED standing for all that the account itself has used up."""
    if least > unspent:
        return RefusalCode.CREDITS_EXHAUSTED
    if any(least > left for left, _ in budgets):
        return RefusalCode.SPEND_LIMIT_REACHED
    if any(least > room for room in [available, *(room for _, room in budgets)]):
        return RefusalCode.CREDITS_HELD
    return None
