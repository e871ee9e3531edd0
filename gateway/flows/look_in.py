"""An operator looks at an account's own pages: noted in the audit log once an hour of each sign-in. Changes nothing.

What was noted is remembered in this process alone; after a restart it is noted once more.
"""

from collections.abc import Callable
from datetime import datetime
from typing import Final

from gateway.books import audit
from gateway.books.accounts import Account
from gateway.books.audit import AuditEntry
from gateway.books.books import Books
from gateway.domain.instant import HOUR_MS, epoch_ms
from gateway.flows.known_account import known_account

NOTE_EVERY_MS: Final = HOUR_MS
_MOST_NOTED: Final = 1000


class LookIns:
    """Of all operators, at all accounts."""

    def __init__(self, *, books: Books, clock: Callable[[], datetime]) -> None:
        self._books = books
        self._clock = clock
        self._noted: dict[tuple[str, str], int] = {}

    async def enter(self, account_id: str, *, session_id: str, actor: str) -> Account:
        """The account that is looked at, once that stands in the log. NoSuchThing, BooksUnavailable."""
        async with self._books.read() as conn:
            account = await known_account(conn, account_id)
        at_ms, visit = epoch_ms(self._clock()), (session_id, account_id)
        if at_ms - self._noted.get(visit, -NOTE_EVERY_MS) >= NOTE_EVERY_MS:
            async with self._books.begin() as conn:
                await audit.write(conn, AuditEntry(at_ms, actor, "account.looked_at", account_id, account_id, {}))
            self._noted.pop(visit, None)
            self._noted[visit] = at_ms
            while len(self._noted) > _MOST_NOTED:
                del self._noted[next(iter(self._noted))]
        return account
