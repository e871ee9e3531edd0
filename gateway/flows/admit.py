"""May this call start? Asks the ledger, and where the ledger must first be told what the books say, tells it.

One Redis trip when everything is known. The answers that need more (an account Redis does not know, terms that have
changed, a period that has begun, a Redis that came back older) are mended here and asked again, a bounded number of
times. The rule itself is in the ledger's script.
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final

from gateway.domain.admission import Admitted, Refused
from gateway.domain.instant import epoch_ms
from gateway.domain.plan import Plan, RateLimit
from gateway.domain.usage import CallFacts
from gateway.flows.authenticate import Caller, Directory
from gateway.flows.live_holds import HOLD_TTL_MS
from gateway.ledger.answers import AdmitCall, NotProjected, Reproject
from gateway.ledger.faults import OUTDATED, StoreUnavailable
from gateway.ledger.ledger import Ledger
from gateway.wire.call_facts import facts_json

# Unknown, then stale, then a new period is the longest chain with one cause each; anything longer is a fault.
ASK_AT_MOST: Final = 6


@dataclass(frozen=True, slots=True)
class Asked:
    """What a call asks of the ledger. Without `facts` it is free: only its limit and the job are looked at.

    The plan in `facts` is filled in here, since it is known for good only once the call is admitted.
    """

    hold_id: str
    limit: str | None
    least_millicredits: int = 0
    facts: CallFacts | None = None
    job: tuple[str, str] | None = None


@dataclass(frozen=True, slots=True)
class Allowed:
    """The call is admitted; `facts` are what its hold remembers."""

    admitted: Admitted
    caller: Caller
    facts: CallFacts | None


class KeyRevoked(Exception):
    """The key turned out to be revoked or expired while its call was being admitted."""


class PlanMissing(Exception):
    """An account is on a plan that the configuration no longer has."""

    def __init__(self, account_id: str, plan_id: str) -> None:
        super().__init__(f"account {account_id} is on plan {plan_id!r}, which the plans file does not have: add it")


class NeverProjected(Exception):
    """The ledger and the books could not be brought to agree on an account's terms."""


class Admission:
    """Admits calls. `load` rebuilds an account in Redis from the books."""

    def __init__(
        self,
        ledger: Ledger,
        directory: Directory,
        *,
        load: Callable[[str], Awaitable[None]],
        plans: Callable[[], Mapping[str, Plan]],
        clock: Callable[[], datetime],
    ) -> None:
        self._ledger = ledger
        self._directory = directory
        self._load = load
        self._plans = plans
        self._clock = clock

    async def admit(self, caller: Caller, asked: Asked) -> Allowed | Refused:
        """Admitted with a hold, or refused without a trace. KeyRevoked, StoreUnavailable, BooksUnavailable."""
        reason: Reproject | None = None
        for _ in range(ASK_AT_MOST):
            period = caller.terms.period_at(epoch_ms(self._clock())) or caller.terms.periods[-1]
            plan = self._plans().get(period.plan_id)
            if plan is None:
                raise PlanMissing(caller.account_id, period.plan_id)
            facts = None if asked.facts is None else replace(asked.facts, plan_id=plan.id)
            answer = await self._answer(caller, _admit_call(caller, asked, plan, facts))
            match answer:
                case Admitted():
                    return Allowed(answer, caller, facts)
                case Refused():
                    return answer
                case NotProjected():
                    reason = answer.reason
                    caller = await self._mended(caller, reason)
                case None:
                    caller = await self._refreshed(caller)
        raise NeverProjected(f"account {caller.account_id}: still {reason} after {ASK_AT_MOST} attempts")

    async def _answer(self, caller: Caller, call: AdmitCall) -> Admitted | Refused | NotProjected | None:
        """The ledger's answer; None where Redis was reached again since the caller's terms were read.

        It may have come back older, and what the books had seen before then is no measure for that.
        """
        try:
            return await self._ledger.admit(call, still=lambda: caller.generation == self._directory.generation)
        except StoreUnavailable as away:
            if away.reason != OUTDATED:
                raise
            return None

    async def _refreshed(self, caller: Caller) -> Caller:
        refreshed = await self._directory.refreshed(caller)
        if refreshed is None:
            raise KeyRevoked
        return refreshed

    async def _mended(self, caller: Caller, reason: Reproject) -> Caller:
        """Redis and this process told what the books say now, as far as the answer needs it."""
        refreshed = await self._refreshed(caller)
        match reason:
            case Reproject.UNKNOWN | Reproject.FENCED | Reproject.BEHIND:
                await self._load(caller.account_id)
            case Reproject.STALE_TERMS | Reproject.NEW_PERIOD:
                await self._ledger.project(refreshed.terms)
        return refreshed


def _admit_call(caller: Caller, asked: Asked, plan: Plan, facts: CallFacts | None) -> AdmitCall:
    limit: RateLimit | None = None if asked.limit is None else plan.rate_limits.get(asked.limit)
    return AdmitCall(
        hold_id=asked.hold_id,
        nonce=asked.hold_id,
        terms=caller.terms,
        plan_limits=() if limit is None else (limit,),
        concurrent_calls=None if facts is None else plan.concurrent_calls,
        quote_millicredits=0 if facts is None else facts.quote_millicredits,
        least_millicredits=asked.least_millicredits,
        ttl_ms=HOLD_TTL_MS,
        facts=b"" if facts is None else facts_json(facts),
        job=asked.job,
    )
