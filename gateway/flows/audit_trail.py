"""Reading the audit log: who changed what of an account, or of all of them. Writes nothing; each change does."""

from collections.abc import Sequence

from gateway.books import audit
from gateway.books.audit import AuditEntry
from gateway.books.books import Books
from gateway.flows.known_account import known_account


class AuditTrail:
    """The whole log."""

    def __init__(self, *, books: Books) -> None:
        self._books = books

    async def page(
        self, account_id: str | None, *, before: tuple[int, str] | None, size: int
    ) -> tuple[Sequence[tuple[str, AuditEntry]], tuple[int, str] | None]:
        """Some entries with their ids, newest first, and where to go on. NoSuchThing."""
        async with self._books.read() as conn:
            if account_id is not None:
                await known_account(conn, account_id)
            found = await audit.page(conn, account_id=account_id, before=before, limit=size + 1)
        shown = found[:size]
        return shown, (shown[-1][1].at_ms, shown[-1][0]) if len(found) > size else None
