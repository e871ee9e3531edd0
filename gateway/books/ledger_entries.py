"""The credit ledger: double entry, each row one amount moved between two ledger accounts. Added to, never changed.

Per account and billing period. `allowance` is what is left of the grants; below zero, its depth is the pay-as-you-go
part. Money is not in it: that is what invoices are for.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from sqlalchemy import BigInteger, cast, func, select, union_all
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.books.bulk import Bulk
from gateway.books.dialect import now_ms
from gateway.books.tables import ledger_entries
from gateway.domain.usage import UsageEvent


class LedgerAccount(StrEnum):
    """Between whom credits move."""

    ISSUED = "issued"  # the house: minus everything ever granted
    ALLOWANCE = "allowance"  # granted and not used
    USED = "used"  # captured


_ENTRIES: Final = Bulk(ledger_entries, told={"booked_at_ms": now_ms()})


@dataclass(frozen=True, slots=True)
class Transfer:
    """An amount from `debit` to `credit`, above zero."""

    transaction_id: str
    account_id: str
    period_start_ms: int
    debit: LedgerAccount
    credit: LedgerAccount
    amount_millicredits: int


def granted(transaction_id: str, account_id: str, period_start_ms: int, amount_millicredits: int) -> list[Transfer]:
    """The transfers of a grant; a negative one takes back, one of zero moves nothing."""
    sides = (LedgerAccount.ISSUED, LedgerAccount.ALLOWANCE)
    debit, credit = sides if amount_millicredits > 0 else sides[::-1]
    amount = abs(amount_millicredits)
    return [Transfer(transaction_id, account_id, period_start_ms, debit, credit, amount)] if amount else []


async def book(conn: AsyncConnection, transfers: Sequence[Transfer]) -> None:
    """Write the transfers, each a transaction of one leg."""
    await _ENTRIES.write(
        conn,
        [
            (t.transaction_id, 0, t.account_id, t.period_start_ms, t.debit, t.credit, t.amount_millicredits)
            for t in transfers
        ],
    )


async def book_used(conn: AsyncConnection, events: Sequence[UsageEvent]) -> None:
    """Write what these events captured, as used from the allowance."""
    sides = (LedgerAccount.ALLOWANCE.value, LedgerAccount.USED.value)
    await _ENTRIES.write(
        conn,
        [
            (event.id, 0, event.facts.account_id, event.period_start_ms, *sides, event.captured_millicredits)
            for event in events
            if event.captured_millicredits > 0
        ],
    )


async def balances(conn: AsyncConnection, account_id: str, period_start_ms: int) -> dict[LedgerAccount, int]:
    """What stands on each ledger account for a period, in millicredits. They sum to zero."""
    return (await balances_as_of(conn, account_id, period_start_ms=period_start_ms)).get(
        period_start_ms, dict.fromkeys(LedgerAccount, 0)
    )


async def balances_as_of(
    conn: AsyncConnection, account_id: str, *, as_of_ms: int | None = None, period_start_ms: int | None = None
) -> dict[int, dict[LedgerAccount, int]]:
    """By start of period, in order: the sums of what was booked up to and with `as_of_ms` (None: until now)."""
    table = ledger_entries.c
    chosen = [table.account_id == account_id]
    if period_start_ms is not None:
        chosen.append(table.period_start_ms == period_start_ms)
    if as_of_ms is not None:
        chosen.append(table.booked_at_ms <= as_of_ms)
    start, amount = table.period_start_ms.label("start_ms"), table.amount_millicredits
    moves = union_all(
        select(start, table.credit.label("name"), amount.label("amount")).where(*chosen),
        select(start, table.debit.label("name"), (-amount).label("amount")).where(*chosen),
    ).subquery()
    query = select(moves.c.start_ms, moves.c.name, cast(func.sum(moves.c.amount), BigInteger)).group_by(
        moves.c.start_ms, moves.c.name
    )
    found: dict[int, dict[LedgerAccount, int]] = {}
    for start_ms, name, total in (await conn.execute(query.order_by(moves.c.start_ms))).all():
        found.setdefault(start_ms, dict.fromkeys(LedgerAccount, 0))[LedgerAccount(name)] = total
    return found
