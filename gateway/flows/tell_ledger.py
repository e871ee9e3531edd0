"""Telling Redis what the books say of an account, after a change there. As far as Redis can be reached: an admission
that finds it behind does the same. Never part of the change itself, which is done once the books have it.
"""

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Protocol

from gateway.books.books import Books
from gateway.books.faults import BooksUnavailable
from gateway.domain.plan import Plan
from gateway.domain.terms import Terms
from gateway.flows.terms import current_terms
from gateway.ledger.faults import StoreUnavailable


class Projects(Protocol):
    """The part of the ledger that is needed here."""

    async def project(self, terms: Terms) -> bool:
        """Set the terms where they are newer than Redis's. StoreUnavailable."""
        ...


class TellLedger:
    """Callable with an account id; True where Redis now knows. `ledger` None: there is none to tell."""

    def __init__(
        self,
        *,
        books: Books,
        ledger: Projects | None,
        plans: Callable[[], Mapping[str, Plan]],
        clock: Callable[[], datetime],
    ) -> None:
        self._books = books
        self._ledger = ledger
        self._plans = plans
        self._clock = clock

    async def __call__(self, account_id: str) -> bool:
        """Bring Redis up to date with the books; False where it could not be told now."""
        if self._ledger is None:
            return False
        try:
            terms = await current_terms(self._books, self._plans(), account_id, self._clock())
            if terms is None:
                return False
            await self._ledger.project(terms)
        except (StoreUnavailable, BooksUnavailable):
            return False
        return True
