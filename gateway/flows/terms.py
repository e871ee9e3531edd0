"""What an account may do now: its terms, with every billing period that has become due booked and granted, once.

No job resets anything: whoever asks first in a period books it, and the next one when it is less than a day ahead, so
that a boundary does not need the books. Deliberately tells nobody: projecting to Redis is for the flow that asked.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Final

from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.books import accounts, periods, terms
from gateway.books.books import Books
from gateway.domain.instant import DAY_MS, epoch_ms
from gateway.domain.plan import Plan
from gateway.domain.terms import AccountStatus, Terms
from gateway.flows.agreed import agreed_by

BOOKED_AHEAD_MS: Final = DAY_MS


async def current_terms(books: Books, plans: Mapping[str, Plan], account_id: str, at: datetime) -> Terms | None:
    """The account's terms at an instant of the world; None for an unknown account. BooksUnavailable.

    The periods are the current one and, once it ends in less than a day, the next. A closed account keeps its last.
    """
    at_ms = epoch_ms(at)
    async with books.read() as conn:
        booked = await booked_terms(conn, account_id, at_ms)
    if booked is None or holds_still(booked, at_ms):
        return booked
    async with books.begin() as conn:
        await catch_up(conn, plans, account_id, await accounts.own_ms(conn, account_id, at_ms))
        return await booked_terms(conn, account_id, at_ms)


async def booked_terms(conn: AsyncConnection, account_id: str, at_ms: int) -> Terms | None:
    """The terms as booked so far. Where nothing booked has not ended, the last period stands in for it."""
    found = await terms.of_account(conn, account_id, at_ms)
    if found is None or found.periods:
        return found
    last = await periods.latest(conn, account_id)
    return found if last is None else await terms.of_account(conn, account_id, last.start_ms - found.clock_offset_ms)


def holds_still(known: Terms, at_ms: int) -> bool:
    """Whether no period has become due to be booked since."""
    if known.status is AccountStatus.CLOSED:
        return True
    return bool(known.periods) and known.periods[-1].end_ms > known.own_ms(at_ms) + BOOKED_AHEAD_MS


async def catch_up(conn: AsyncConnection, plans: Mapping[str, Plan], account_id: str, at_ms: int) -> None:
    """Book what is due up to a day after `at_ms`, and raise the terms version where that was anything.

    The instant is by the account's own clock. Locks the account: of two processes at once, the second finds everything
    done.
    """
    account = await accounts.get(conn, account_id, lock=True)
    if account is None or account.status is AccountStatus.CLOSED:
        return
    last = await periods.latest(conn, account_id)
    until_ms = at_ms + BOOKED_AHEAD_MS
    if last is None or last.end_ms > until_ms:
        return
    agreed = await agreed_by(conn, plans, account_id)
    booked = False
    for due in agreed.due(plans, last, until_ms):
        booked |= await accounts.open_period(conn, due, at_ms)
    if booked:
        await accounts.raise_terms_version(conn, account_id)
