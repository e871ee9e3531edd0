"""Calls with an Idempotency-Key: may this one run, or has it run before?

The claim is Redis's, and refers to the call's hold; where Redis has forgotten the hold, the books tell whether it was
charged. What is digested and which replies are kept is the door's.
"""

import asyncio
from enum import Enum
from typing import Final

from gateway.books.books import Books
from gateway.books.usage import has_settled
from gateway.ledger.idempotency import AskTheBooks, ChargedBefore, Claim, FirstReply, Idempotency

# Between a call's capture and the keeping of its reply there is a moment; who asks within it waits for the reply.
PAUSES_S: Final = (0.05, 0.15, 0.3)


class Repeat(Enum):
    """Why a call does not run, where there is no reply to give again."""

    IN_PROGRESS = "in_progress"
    MISMATCH = "mismatch"
    NOT_KEPT = "not_kept"


class FirstCalls:
    """The Idempotency-Keys of all accounts."""

    def __init__(self, idempotency: Idempotency, books: Books) -> None:
        self._idempotency = idempotency
        self._books = books

    async def claim(self, account_id: str, key: str, *, hold_id: str, digest: bytes) -> bytes | Repeat | None:
        """None: run the call. Bytes: the first reply, to be given again. StoreUnavailable, BooksUnavailable."""
        answer = await self._idempotency.claim(account_id, key, hold_id=hold_id, digest=digest)
        if isinstance(answer, AskTheBooks):
            async with self._books.read() as conn:
                charged = await has_settled(conn, answer.hold_id)
            if charged:
                return Repeat.NOT_KEPT
            answer = await self._idempotency.claim(
                account_id, key, hold_id=hold_id, digest=digest, instead_of=answer.hold_id
            )
        for pause_s in PAUSES_S:
            if not isinstance(answer, ChargedBefore):
                break
            await asyncio.sleep(pause_s)
            answer = await self._idempotency.claim(account_id, key, hold_id=hold_id, digest=digest)
        match answer:
            case Claim.CLAIMED:
                return None
            case Claim.MISMATCH:
                return Repeat.MISMATCH
            case FirstReply():
                return answer.reply
            case ChargedBefore():
                return Repeat.NOT_KEPT
            case _:
                return Repeat.IN_PROGRESS

    async def keep(self, account_id: str, key: str, *, hold_id: str, reply: bytes) -> None:
        """Keeps the first reply for a day. StoreUnavailable."""
        await self._idempotency.keep(account_id, key, hold_id=hold_id, reply=reply)

    async def forget(self, account_id: str, key: str, *, hold_id: str) -> None:
        """The call was refused or cost nothing: the next with its key is a call of its own. StoreUnavailable."""
        await self._idempotency.forget(account_id, key, hold_id=hold_id)
