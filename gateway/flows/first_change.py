"""Changes through the API: is this the first with its Idempotency-Key, and is what it edits still as it was read?

Claims are kept in the books for a day, with the first answer, sealed, since it may hold a new secret. Each transaction
of a change notes in itself that it was made. So one that broke, or whose process died, before anything was committed is
made when it is sent again; of any other it is told that there is no answer, and it is never made twice. What an edit is
meant for is compared in the edit's own transaction, which holds the account's lock, as everyone's does who changes it.
"""

import asyncio
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.books import accounts, api_idempotency
from gateway.books.books import Books
from gateway.domain.instant import epoch_ms
from gateway.flows.faults import NoSuchThing
from gateway.flows.first_call import Repeat
from gateway.wire.sealed import NONCE_BYTES, seal, unseal

KEPT_MS: Final = 24 * 3_600_000
# Longer than any change takes; what has not ended by then never will.
ENDS_WITHIN_MS: Final = 120_000
MOST_BYTES: Final = 262_144
_PURPOSE: Final = b"first reply"


class EditedByAnother(Exception):
    """What was to be edited is not any more as it was read, or the change is another's to make by now."""


@dataclass(slots=True)
class Edit:
    """A change of what has a tag. `tag` is of what it was last committed as; None: of nothing, or it is gone."""

    tag: str | None = None


class FirstChanges:
    """The Idempotency-Keys of the API. `scope` is whose they are: an account's id, or the operator's."""

    def __init__(self, *, books: Books, pepper: bytes, clock: Callable[[], datetime]) -> None:
        self._books = books
        self._pepper = pepper
        self._clock = clock

    async def claim(self, scope: str, key: str, *, claim_id: str, digest: bytes) -> bytes | Repeat | None:
        """None: make the change. Bytes: the first reply, to be given again. BooksUnavailable."""
        at_ms = epoch_ms(self._clock())
        async with self._books.begin() as conn:
            held = await api_idempotency.claim(
                conn, scope, f"key {key}", digest=digest, claim_id=claim_id, at_ms=at_ms, expires_ms=at_ms + KEPT_MS
            )
            dead = at_ms - held.claimed_ms >= ENDS_WITHIN_MS
            mine = held.claim_id == claim_id
            if not mine and dead and held.digest == digest and held.reply is None:
                mine = await api_idempotency.take_over(
                    conn, scope, f"key {key}", claim_id=claim_id, of=held.claim_id, at_ms=at_ms
                )
        if mine:
            return None
        if held.digest != digest:
            return Repeat.MISMATCH
        if held.reply:
            # In a thread: a quarter of a megabyte at most, but the event loop is not where to hash it.
            return await asyncio.to_thread(self._opened, held.reply) or Repeat.NOT_KEPT
        return Repeat.NOT_KEPT if dead and held.reply is not None else Repeat.IN_PROGRESS

    @contextmanager
    def noting(self, scope: str, key: str, *, claim_id: str) -> Iterator[None]:
        """What is committed within the block is noted with it. EditedByAnother instead where another took over."""

        @asynccontextmanager
        async def note(conn: AsyncConnection) -> AsyncIterator[None]:
            yield
            if not await api_idempotency.made(conn, scope, f"key {key}", claim_id=claim_id):
                raise EditedByAnother(key)

        with self._books.surrounded(note):
            yield

    async def fail(self, scope: str, key: str, *, claim_id: str) -> None:
        """The change broke: it may be made again if nothing of it was committed. BooksUnavailable."""
        async with self._books.begin() as conn:
            await api_idempotency.fail(conn, scope, f"key {key}", claim_id=claim_id)

    async def keep(self, scope: str, key: str, *, claim_id: str, reply: bytes) -> None:
        """Keeps the first reply for a day; one that is too long is told to be gone. BooksUnavailable."""
        if len(reply) > MOST_BYTES:
            return
        nonce = secrets.token_bytes(NONCE_BYTES)
        sealed = await asyncio.to_thread(seal, reply, pepper=self._pepper, purpose=_PURPOSE, nonce=nonce)
        async with self._books.begin() as conn:
            await api_idempotency.keep(conn, scope, f"key {key}", claim_id=claim_id, reply=sealed)

    async def forget(self, scope: str, key: str, *, claim_id: str) -> None:
        """Nothing was changed: the next with this key is the first. BooksUnavailable."""
        async with self._books.begin() as conn:
            await api_idempotency.forget(conn, scope, f"key {key}", claim_id=claim_id)

    @contextmanager
    def edit(
        self, account_id: str, tag_of: Callable[[], Awaitable[str]], *, fits: Callable[[str], bool] | None
    ) -> Iterator[Edit]:
        """The first transaction within the block is EditedByAnother where the tag does not fit by then; None: any does.

        `tag_of` reads what is edited: of the account, and changed by nobody who does not lock the account before.
        """
        edit, found = Edit(), fits is None

        @asynccontextmanager
        async def compare(conn: AsyncConnection) -> AsyncIterator[None]:
            nonlocal found
            if not found and fits is not None:
                await accounts.get(conn, account_id, lock=True)
                with self._books.joined(conn):
                    if not fits(await tag_of()):
                        raise EditedByAnother(account_id)
            yield
            found, edit.tag = True, None
            with self._books.joined(conn), suppress(NoSuchThing):
                edit.tag = await tag_of()

        with self._books.surrounded(compare):
            yield edit

    def _opened(self, sealed: bytes) -> bytes | None:
        return unseal(sealed, pepper=self._pepper, purpose=_PURPOSE)
