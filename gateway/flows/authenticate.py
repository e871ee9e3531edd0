"""Who is calling: from the bytes of a key to its account's terms, without a store for anyone seen lately.

A key is remembered with the account's terms version it was read at, and trusted only while that is the account's: a
revocation raises the version, the next admission in any process says so, and the key is read again. So only terms grow
old; those in use are renewed before they do. With the books away, what is remembered goes on being used: nobody can
revoke anything meanwhile, and an expiry is known beforehand. Decides nothing about credits.
"""

import asyncio
import hashlib
import secrets
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from gateway.books import keys
from gateway.books.books import Books
from gateway.books.faults import BooksUnavailable
from gateway.books.keys import KeyRecord
from gateway.domain.instant import epoch_ms
from gateway.domain.terms import Terms
from gateway.flows.remembered import OnceForAll, Remembered
from gateway.flows.renewal import Renewal
from gateway.flows.terms import booked_terms, holds_still
from gateway.wire import api_key

MAX_AGE_MS: Final = 60_000
# Terms that are used at this age are renewed while nobody waits.
RENEWED_AFTER_MS: Final = 40_000
UNKNOWN_FOR_MS: Final = 1_000
REMEMBERED: Final = 100_000
# How long a call waits for books that are away or slow before it makes do with what is remembered, and how long that
# then passes for fresh.
PATIENCE_S: Final = 0.25
MAKE_DO_MS: Final = 2_000
# Of a crowd of callers not seen before so many are looked up at a time; calls of those known go on between them.
KEYS_AT_ONCE: Final = 3
TERMS_AT_ONCE: Final = 2
# More keys than this waiting to be looked up are no customers: they are turned away before they cost memory.
WAITING_KEYS: Final = 5_000
# Reading the key, then the terms, then the key again is the longest way to a pair that fits, unless changes rain down.
_TRIES: Final = 5

TermsOf = Callable[[str, datetime], Awaitable[Terms | None]]


@dataclass(frozen=True, slots=True)
class Caller:
    """Who calls, and what the account may do. `products` None: all. `expires_ms` None: never.

    `generation`: see `Directory`.
    """

    key_id: str
    account_id: str
    project_id: str
    products: frozenset[str] | None
    expires_ms: int | None
    terms: Terms
    digest: bytes = field(repr=False)
    generation: int = 0


class Directory:
    """The callers of this process. For any number of tasks of one event loop.

    `terms_of` is `current_terms` with its books and plans: it tells an account's terms at an instant.
    What a caller of an earlier `generation` knows was read before Redis was last reached again.
    """

    def __init__(
        self,
        *,
        books: Books,
        terms_of: TermsOf,
        pepper: bytes,
        clock: Callable[[], datetime],
        patience_s: float = PATIENCE_S,
    ) -> None:
        self._books = books
        self._terms_of = terms_of
        self._pepper = pepper
        self._clock = clock
        self._patience_s = patience_s
        self._keys: Remembered[bytes, KeyRecord] = Remembered(REMEMBERED)
        self._terms: Remembered[str, Terms] = Remembered(REMEMBERED, max_age_ms=MAX_AGE_MS)
        # Apart, so that a flood of made-up keys cannot push out the real ones.
        self._unknown: Remembered[bytes, bool] = Remembered(REMEMBERED // 10, max_age_ms=UNKNOWN_FOR_MS)
        # What became of key and terms for the callers seen lately. By a fast hash that is another one in each process.
        self._callers: Remembered[bytes, Caller] = Remembered(REMEMBERED)
        self._salt = secrets.token_bytes(32)
        self._key_reads: OnceForAll[bytes, KeyRecord | None] = OnceForAll(at_once=KEYS_AT_ONCE)
        self._terms_reads: OnceForAll[str, Terms | None] = OnceForAll(at_once=TERMS_AT_ONCE)
        self._renewal = Renewal(books, self._terms, clock)
        self._generation = 0

    @property
    def generation(self) -> int:
        """How often everything was forgotten."""
        return self._generation

    def still_knows(self, caller: Caller) -> bool:
        """Whether nothing was forgotten since the caller was found."""
        return caller.generation == self._generation

    def remembered(self, secret: bytes) -> Caller | None:
        """The caller with this key where it was seen lately and nothing has changed; None says nothing: ask `find`."""
        now_ms = self._now_ms()
        caller = self._callers.whatever_age(self._mark(secret))
        if caller is None or self._terms.fresh(caller.account_id, now_ms) is not caller.terms:
            return None
        if self._terms.ages(caller.account_id, now_ms, after_ms=RENEWED_AFTER_MS):
            self._renewal.soon(caller.account_id, now_ms)
        return caller if caller.expires_ms is None or now_ms < caller.expires_ms else None

    async def find(self, secret: bytes) -> Caller | None:
        """The caller with this key; None where it is none of ours, unknown, revoked or expired. BooksUnavailable."""
        if (caller := self.remembered(secret)) is not None:
            return caller
        if api_key.parse(secret) is None:
            return None
        digest = api_key.digest(secret, self._pepper)
        caller = await self._caller(digest)
        if caller is not None and caller.generation == self._generation:
            self._callers.keep(self._mark(secret), caller, self._now_ms())
        return caller

    async def refreshed(self, caller: Caller) -> Caller | None:
        """The caller as the books see it now, None where the key was revoked or has expired since. BooksUnavailable."""
        await self.refresh(caller.account_id, newer_than=caller.terms.version)
        return await self._caller(caller.digest)

    async def refresh(self, account_id: str, *, newer_than: int | None = None) -> Terms | None:
        """The account's terms, read again unless a version above `newer_than` is known by now. BooksUnavailable."""
        known = self._terms.fresh(account_id, self._now_ms())
        if newer_than is not None and known is not None and known.version > newer_than:
            return known
        return await self._terms_reads.ask(account_id, lambda: self._read_terms(account_id))

    def forget_all(self) -> None:
        """Remember nothing: Redis was lost or came back older, so what it must be told is read afresh."""
        self._generation += 1
        for memory in (self._keys, self._terms, self._unknown, self._callers):
            memory.forget()
        self._key_reads.begin_anew()
        self._terms_reads.begin_anew()

    async def close(self) -> None:
        """Look after nothing any more, before the books are closed."""
        await self._renewal.close()

    async def _caller(self, digest: bytes) -> Caller | None:
        generation, now_ms = self._generation, self._now_ms()
        key = self._keys.whatever_age(digest) or await self._key(digest, now_ms)
        for _ in range(_TRIES):
            if key is None or not key.usable(now_ms):
                return None
            terms = self._terms.fresh(key.account_id, now_ms) or await self._terms_known(key.account_id, now_ms)
            if terms is None:
                return None
            if key.terms_version == terms.version:
                return Caller(
                    key.id, key.account_id, key.project_id, key.products, key.expires_ms, terms, digest, generation
                )
            if key.terms_version < terms.version:
                key = await self._key_reads.ask(digest, lambda: self._read_key(digest))
            else:
                await self.refresh(key.account_id, newer_than=terms.version)
        raise BooksUnavailable("an account's terms change faster than they can be read")

    async def _key(self, digest: bytes, now_ms: int) -> KeyRecord | None:
        if self._unknown.fresh(digest, now_ms):
            return None
        if len(self._key_reads) >= WAITING_KEYS:
            raise BooksUnavailable("too many unknown keys wait to be looked up")
        return await self._key_reads.ask(digest, lambda: self._read_key(digest))

    async def _terms_known(self, account_id: str, now_ms: int) -> Terms | None:
        reading = self._terms_reads.ask(account_id, lambda: self._read_terms(account_id))
        if (old := self._terms.whatever_age(account_id)) is None:
            return await reading
        try:
            return await asyncio.wait_for(reading, self._patience_s)
        except (BooksUnavailable, TimeoutError):
            self._terms.make_do(account_id, now_ms, for_ms=MAKE_DO_MS)
            return old

    async def _read_key(self, digest: bytes) -> KeyRecord | None:
        """The key and, unless they are known, its account's terms: of one moment, so that they fit."""
        generation, now_ms = self._generation, self._now_ms()
        terms: Terms | None = None
        async with self._books.read() as conn:
            record = await keys.find(conn, digest)
            if record is not None:
                known = self._terms.fresh(record.account_id, now_ms)
                if known is None or known.version != record.terms_version:
                    terms = await booked_terms(conn, record.account_id, now_ms)
        if generation == self._generation:
            if record is None:
                self._unknown.keep(digest, value=True, read_ms=now_ms)
            else:
                self._keys.keep(digest, record, now_ms)
            if terms is not None and holds_still(terms, now_ms):
                self._keep(terms, now_ms)
        return record

    async def _read_terms(self, account_id: str) -> Terms | None:
        generation, now = self._generation, self._clock()
        terms = await self._terms_of(account_id, now)
        if generation == self._generation and terms is not None:
            self._keep(terms, epoch_ms(now))
        return terms

    def _keep(self, terms: Terms, read_ms: int) -> None:
        known = self._terms.whatever_age(terms.account_id)
        # Of two reads under way the older may be the last to arrive.
        if known is None or known.version <= terms.version:
            self._terms.keep(terms.account_id, terms, read_ms)

    def _mark(self, secret: bytes) -> bytes:
        return hashlib.blake2b(secret, key=self._salt, digest_size=16).digest()

    def _now_ms(self) -> int:
        return epoch_ms(self._clock())
