"""Rolling unused credits over into the next period, where plan or contract says so.

Done when the period is closed, an hour after its end and once its calls are settled: before that nobody knows what is
unused. In the closing's transaction, so it happens once, whoever closes; the books refuse a second one for a period.
"""

from typing import Final

from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.books import accounts, grants, periods
from gateway.books.grants import GrantKind
from gateway.books.periods import BookedPeriod
from gateway.domain.credits import MAX_MILLICREDITS
from gateway.domain.instant import from_epoch_ms
from gateway.domain.rating import rolled_over_millicredits
from gateway.domain.terms import AccountStatus

MOST_GRANTED: Final = MAX_MILLICREDITS // 8


async def roll_over(conn: AsyncConnection, ended: BookedPeriod, counted_millicredits: int, at_ms: int) -> int:
    """Grant the part of what is unused to the period that runs now; how much, in millicredits.

    `counted` is what was used and, of holds that are still open, what is held. Where the following period was cut short
    by another plan and is charged already, the one after it is given the credits; a closed account is given none.
    """
    account = await accounts.get(conn, ended.account_id)
    following = await periods.first_open(conn, ended.account_id, ended.end_ms)
    if following is None or account is None or account.status is AccountStatus.CLOSED:
        return 0
    granted = await grants.granted(conn, ended.account_id, ended.start_ms)
    amount = rolled_over_millicredits(granted - counted_millicredits, ended.rollover_parts_per_million)
    room = MOST_GRANTED - await grants.granted(conn, ended.account_id, following.start_ms)
    amount = min(amount, max(0, room))
    if amount == 0:
        return 0
    given = await grants.add(
        conn,
        account_id=ended.account_id,
        subscription_id=following.subscription_id,
        period_start_ms=following.start_ms,
        kind=GrantKind.ROLLOVER,
        amount_millicredits=amount,
        reason=f"unused in the period from {from_epoch_ms(ended.start_ms):%Y-%m-%d}",
        at_ms=at_ms,
    )
    if given is None:
        return 0
    await accounts.raise_terms_version(conn, ended.account_id)
    return amount
