"""What stands in an account's credit ledger, now or as it stood at any time. Changes nothing.

The ledger is only added to, and each entry knows when it was booked: what it said then, it says still.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from gateway.books import ledger_entries
from gateway.books.books import Books
from gateway.books.ledger_entries import LedgerAccount
from gateway.flows.known_account import known_account


@dataclass(frozen=True, slots=True)
class PeriodBalances:
    """One billing period's, in millicredits: they sum to zero. `allowance` below zero is pay-as-you-go."""

    start_ms: int
    balances: Mapping[LedgerAccount, int]


class CreditLedger:
    """All accounts' ledgers."""

    def __init__(self, *, books: Books) -> None:
        self._books = books

    async def balances(self, account_id: str, *, as_of_ms: int | None = None) -> list[PeriodBalances]:
        """By billing period, oldest first, of what was booked by then (None: now). NoSuchThing, BooksUnavailable."""
        async with self._books.read() as conn:
            await known_account(conn, account_id)
            found = await ledger_entries.balances_as_of(conn, account_id, as_of_ms=as_of_ms)
        return [PeriodBalances(start_ms, balances) for start_ms, balances in found.items()]
