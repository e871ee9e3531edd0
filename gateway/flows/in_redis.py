"""What Redis knows of an account and the books may not: asked before anything is charged, so that nothing is left out.

Reads only; who asked books what is not booked yet, in the transaction that charges it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from gateway.domain.usage import UsageEvent
from gateway.ledger.answers import Counters
from gateway.ledger.faults import StoreUnavailable


class ReadsCounters(Protocol):
    """The part of the ledger that is needed here."""

    async def counters(self, account_id: str) -> Counters:
        """All that Redis knows of an account. StoreUnavailable."""
        ...


@dataclass(frozen=True, slots=True)
class InRedis:
    """What Redis knew of an account at one instant: credits held by period, and usage the books may not have.

    `seq` is that instant as the sequence number of the last ending; None where Redis did not have the account.
    """

    held_millicredits: Mapping[int, int]
    unbooked: Sequence[UsageEvent]
    seq: int | None = None


NOTHING: Final = InRedis({}, ())


async def in_redis(ledger: ReadsCounters, account_id: str) -> InRedis:
    """Ask Redis. StoreUnavailable."""
    counters = await ledger.counters(account_id)
    held: dict[int, int] = {}
    for hold in counters.open_holds:
        held[hold.period_start_ms] = held.get(hold.period_start_ms, 0) + hold.amount_millicredits
    seq = None if counters.epoch is None else counters.seq
    return InRedis(held, tuple(counters.unbooked.values()), seq)


async def in_redis_if_there(ledger: ReadsCounters, account_id: str) -> InRedis:
    """Nothing where Redis is away: what it knows is then charged late."""
    try:
        return await in_redis(ledger, account_id)
    except StoreUnavailable:
        return NOTHING
