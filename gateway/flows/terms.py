"""What an account may do now: its terms, with every billing period that has become due booked and granted, once.

No job resets anything: whoever asks first in a period books it, and the next one when it is less than a day ahead, so
that a boundary does not need the books. Deliberately tells nobody: projecting to Redis is for the flow that asked.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Final

from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.books import accounts, periods, subscriptions
from gateway.books.books import Books
from gateway.books.periods import BookedPeriod
from gateway.books.subscriptions import Subscription
from gateway.domain.instant import DAY_MS, epoch_ms, from_epoch_ms
from gateway.domain.period import add_months, period_at
from gateway.domain.plan import Plan
from gateway.domain.terms import AccountStatus, Terms

# Ten years of months: an account nobody has called for longer starts again at the last of them.
MOST_PERIODS: Final = 120
BOOKED_AHEAD_MS: Final = DAY_MS


async def current_terms(books: Books, plans: Mapping[str, Plan], account_id: str, at: datetime) -> Terms | None:
    """The account's terms at an instant; None for an unknown account. BooksUnavailable.

    The periods are the current one and, once it ends in less than a day, the next. A closed account keeps its last.
    """
    at_ms = epoch_ms(at)
    async with books.read() as conn:
        terms = await booked_terms(conn, account_id, at_ms)
    if terms is None or terms.status is AccountStatus.CLOSED or _covers(terms, at_ms):
        return terms
    async with books.begin() as conn:
        await catch_up(conn, plans, account_id, at_ms)
        return await booked_terms(conn, account_id, at_ms)


async def booked_terms(conn: AsyncConnection, account_id: str, at_ms: int) -> Terms | None:
    """The terms as booked so far. Where nothing booked has not ended, the last period stands in for it."""
    terms = await accounts.terms(conn, account_id, at_ms)
    if terms is None or terms.periods:
        return terms
    last = await periods.latest(conn, account_id)
    return terms if last is None else await accounts.terms(conn, account_id, last.start_ms)


def _covers(terms: Terms, at_ms: int) -> bool:
    return bool(terms.periods) and terms.periods[-1].end_ms > at_ms + BOOKED_AHEAD_MS


async def catch_up(conn: AsyncConnection, plans: Mapping[str, Plan], account_id: str, at_ms: int) -> None:
    """Book what is due up to a day after `at_ms`, and raise the terms version where that was anything.

    Locks the account: of two processes at once, the second finds everything done.
    """
    account = await accounts.get(conn, account_id, lock=True)
    if account is None or account.status is AccountStatus.CLOSED:
        return
    last = await periods.latest(conn, account_id)
    agreed = await subscriptions.of_account(conn, account_id)
    booked = False
    for start_ms, end_ms, subscription in _due(last, agreed, at_ms + BOOKED_AHEAD_MS):
        last = sold(
            plans, BookedPeriod(account_id, start_ms, end_ms, subscription.id, subscription.plan_id, 0, 0), last
        )
        booked |= await accounts.open_period(conn, last, at_ms)
    if booked:
        await accounts.raise_terms_version(conn, account_id)


def _due(last: BookedPeriod | None, agreed: list[Subscription], until_ms: int) -> list[tuple[int, int, Subscription]]:
    """The periods after `last` that begin no later than `until_ms`, each under the subscription in force then."""
    if last is None or last.end_ms > until_ms:
        return []
    running = next((one for one in agreed if one.in_force(last.end_ms)), None)
    if running is None:
        return []
    # A pending plan keeps the anchor, so one anchor counts all of these.
    anchor = from_epoch_ms(running.anchor_ms)
    first = period_at(anchor, from_epoch_ms(last.end_ms)).index
    final = period_at(anchor, from_epoch_ms(until_ms)).index
    due = []
    for index in range(max(first, final + 1 - MOST_PERIODS), final + 1):
        start_ms, end_ms = epoch_ms(add_months(anchor, index)), epoch_ms(add_months(anchor, index + 1))
        if subscription := next((one for one in agreed if one.in_force(start_ms)), None):
            due.append((start_ms, end_ms, subscription))
    return due


def next_period(
    plans: Mapping[str, Plan], agreed: Sequence[Subscription], running: BookedPeriod
) -> BookedPeriod | None:
    """The period that follows, as it would be booked now; None where the account will be on no plan."""
    start_ms = running.end_ms
    subscription = next((one for one in agreed if one.in_force(start_ms)), None)
    if subscription is None:
        return None
    end_ms = epoch_ms(period_at(from_epoch_ms(subscription.anchor_ms), from_epoch_ms(start_ms)).end)
    due = BookedPeriod(running.account_id, start_ms, end_ms, subscription.id, subscription.plan_id, 0, 0)
    return sold(plans, due, running)


def sold(plans: Mapping[str, Plan], due: BookedPeriod, last: BookedPeriod | None) -> BookedPeriod:
    """A new period with what its plan gives, at the plan's prices.

    A plan that is no longer sold goes on as it was for those who are on it.
    """
    if plan := plans.get(due.plan_id):
        return due.sold_as(plan)
    if last is not None and last.plan_id == due.plan_id:
        return replace(
            last,
            subscription_id=due.subscription_id,
            start_ms=due.start_ms,
            end_ms=due.end_ms,
            opened_by=None,
            closed_by=None,
        )
    return due
