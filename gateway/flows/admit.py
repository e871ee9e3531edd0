"""May this call start? Asks the ledger, and where the ledger must first be told what the books say, tells it.

One Redis trip when everything is known. The answers that need more (an account Redis does not know, terms that have
changed, a period that has begun, a Redis that came back older) are mended here and asked again, a bounded number of
times. The rule itself is in the ledger's script.
"""

from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime
from functools import partial
from typing import Final, NamedTuple

from gateway.domain.admission import Admitted, RefusalCode, Refused
from gateway.domain.instant import epoch_ms
from gateway.domain.plan import Plan, RateLimit
from gateway.domain.quote import Quote
from gateway.domain.terms import AccountStatus, OwnLimits
from gateway.flows.authenticate import Caller, Directory
from gateway.flows.live_holds import HOLD_TTL_MS
from gateway.ledger.answers import AdmitCall, NotProjected, Reproject
from gateway.ledger.faults import OUTDATED, StoreUnavailable
from gateway.ledger.ledger import Ledger
from gateway.wire.call_facts import joined_facts, owner_part, price_part
from gateway.wire.route import Route

# Unknown, then stale, then a new period is the longest chain with one cause each; anything longer is a fault.
ASK_AT_MOST: Final = 6


class Asked(NamedTuple):
    """What a call asks of the ledger. Without a quote it is free: only its route's limit and the job are looked at."""

    hold_id: str
    route: Route
    quote: Quote | None = None
    job: tuple[str, str] | None = None


class Allowed(NamedTuple):
    """The call is admitted, on this plan; `facts` are what its hold remembers, empty where there is none.

    `at_ms` is when it was asked.
    """

    admitted: Admitted
    caller: Caller
    plan_id: str
    facts: bytes
    at_ms: int

    @property
    def remaining_millicredits(self) -> int:
        """What is left of the included credits, as usage reports show it; below zero once overage has begun."""
        available, terms = self.admitted.available_millicredits, self.caller.terms
        if terms.status is AccountStatus.PAYMENT_FAILED:
            return available  # there is no overage to count with
        for period in terms.periods:
            if period.start_ms == self.admitted.period_start_ms:
                return available - period.ceiling_at(self.at_ms).millicredits
        return available


class KeyRevoked(Exception):
    """The key turned out to be revoked or expired while its call was being admitted."""


class PlanMissing(Exception):
    """An account is on a plan that the configuration no longer has."""

    def __init__(self, account_id: str, plan_id: str) -> None:
        super().__init__(f"account {account_id} is on plan {plan_id!r}, which the plans file does not have: add it")


class NeverProjected(Exception):
    """The ledger and the books could not be brought to agree on an account's terms."""


class Admission:
    """Admits calls. `load` rebuilds in Redis what is missing there of an account: all of it, or what budgets count."""

    def __init__(
        self,
        ledger: Ledger,
        directory: Directory,
        *,
        load: Callable[[str], Awaitable[None]],
        plans: Callable[[], Mapping[str, Plan]],
        clock: Callable[[], datetime],
        recall: Callable[[str, tuple[str, str]], Awaitable[bool]] | None = None,
    ) -> None:
        """`recall` brings a job of an account, as (upstream, job id), back to Redis where the books know it."""
        self._recall = recall
        self._ledger = ledger
        self._directory = directory
        self._load = load
        self._plans = plans
        self._clock = clock

    async def admit(self, caller: Caller, asked: Asked) -> Allowed | Refused:
        """Admitted with a hold, or refused without a trace. KeyRevoked, StoreUnavailable, BooksUnavailable."""
        reason: Reproject | None = None
        recalled = self._recall is None
        for _ in range(ASK_AT_MOST):
            at_ms = caller.terms.own_ms(epoch_ms(self._clock()))
            period = caller.terms.period_at(at_ms) or caller.terms.periods[-1]
            plan = self._plans().get(period.plan_id)
            if plan is None:
                raise PlanMissing(caller.account_id, period.plan_id)
            call = _admit_call(caller, asked, plan, period.limits)
            try:
                answer = await self._ledger.admit(call, still=partial(self._directory.still_knows, caller))
            except StoreUnavailable as away:
                if away.reason != OUTDATED:
                    raise
                # Redis was reached again since the caller's terms were read. It may have come back older, and what
                # the books had seen before then is no measure for that.
                caller = await self._refreshed(caller)
                continue
            match answer:
                case Admitted():
                    return Allowed(answer, caller, plan.id, call.facts, at_ms)
                case Refused():
                    if recalled or answer.code is not RefusalCode.NO_SUCH_JOB or not await self._known(caller, asked):
                        return answer
                    recalled = True
                case NotProjected():
                    reason = answer.reason
                    caller = await self._mended(caller, reason)
        raise NeverProjected(f"account {caller.account_id}: still {reason} after {ASK_AT_MOST} attempts")

    async def _known(self, caller: Caller, asked: Asked) -> bool:
        """Whether the job asked about is the account's after all: Redis had only forgotten it."""
        if self._recall is None or asked.job is None:
            return False
        return await self._recall(caller.account_id, asked.job)

    async def _refreshed(self, caller: Caller) -> Caller:
        refreshed = await self._directory.refreshed(caller)
        if refreshed is None:
            raise KeyRevoked
        return refreshed

    async def _mended(self, caller: Caller, reason: Reproject) -> Caller:
        """Redis and this process told what the books say now, as far as the answer needs it."""
        refreshed = await self._refreshed(caller)
        match reason:
            case Reproject.UNKNOWN | Reproject.FENCED | Reproject.BEHIND | Reproject.UNCOUNTED:
                await self._load(caller.account_id)
            case Reproject.STALE_TERMS | Reproject.NEW_PERIOD:
                await self._ledger.project(refreshed.terms)
        return refreshed


def _admit_call(caller: Caller, asked: Asked, plan: Plan, own: OwnLimits | None) -> AdmitCall:
    hold_id, route, quote, job = asked
    limit: RateLimit | None = None if route.limit is None else plan.rate_limits.get(route.limit)
    concurrent_calls = plan.concurrent_calls
    if own is not None:
        limit = limit if route.limit is None else own.rate_limits.get(route.limit, limit)
        concurrent_calls = own.concurrent_calls or concurrent_calls
    limits = () if limit is None else (limit,)
    if quote is None:
        return AdmitCall(hold_id, hold_id, caller.terms, limits, None, 0, 0, HOLD_TTL_MS, b"", job)
    facts = joined_facts(
        hold_id,
        owner_part(caller.account_id, caller.project_id, caller.key_id),
        price_part(quote, route.name, route.upstream, plan.id),
    )
    expected, least = quote.expected_millicredits, quote.least_millicredits
    return AdmitCall(hold_id, hold_id, caller.terms, limits, concurrent_calls, expected, least, HOLD_TTL_MS, facts, job)
