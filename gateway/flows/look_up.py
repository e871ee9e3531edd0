"""What an id or a number that somebody pasted stands for, whosever it is: for operators. Changes nothing."""

import re
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from gateway.books import accounts, invoices, keys, overview
from gateway.books.books import Books

_REQUEST: Final = re.compile(r"req_[0-9a-f]{32}")
_LONGEST: Final = 200
MOST: Final = 20


class Kind(StrEnum):
    """What was found."""

    CALL = "call"
    ACCOUNT = "account"
    KEY = "key"
    INVOICE = "invoice"


@dataclass(frozen=True, slots=True)
class Found:
    """One thing: its id, and whose it is; of a call that is not looked up, empty."""

    kind: Kind
    id: str
    account_id: str


class LookUp:
    """All accounts, keys, invoices, jobs and calls."""

    def __init__(self, *, books: Books) -> None:
        self._books = books

    async def find(self, said: str) -> list[Found]:
        """What it can be: a request id, account id, key id, invoice number or id, or a job id of any service.

        A request id is taken at its word: the call may be running and in no book.
        """
        name = said.strip()
        if not name or len(name) > _LONGEST:
            return []
        if _REQUEST.fullmatch(name):
            return [Found(Kind.CALL, name, "")]
        async with self._books.read() as conn:
            if (account := await accounts.get(conn, name)) is not None:
                return [Found(Kind.ACCOUNT, account.id, account.id)]
            if (key := await keys.get(conn, name)) is not None:
                return [Found(Kind.KEY, key.id, key.account_id)]
            if (invoice := await invoices.find(conn, name)) is not None:
                return [Found(Kind.INVOICE, invoice.id, invoice.account_id)]
            requests = await overview.requests_of_job(conn, name, limit=MOST)
        return [Found(Kind.CALL, request_id, "") for request_id in requests]
