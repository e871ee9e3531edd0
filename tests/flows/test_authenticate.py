"""Who is calling: found once, remembered for a while, never beyond a revocation or an expiry."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import pytest

from gateway.books import usage
from gateway.books.books import Books
from gateway.books.faults import BooksUnavailable
from gateway.domain.instant import epoch_ms
from gateway.flows import authenticate
from gateway.flows.accounts import Accounts
from gateway.flows.authenticate import KEYS_AT_ONCE, MAX_AGE_MS, REMEMBERED, RENEWED_AFTER_MS, Directory, TermsOf
from gateway.flows.keys import CreatedKey, Keys
from gateway.flows.remembered import Remembered
from gateway.wire import api_key
from tests.made_up import Clock


class Counted:
    """Books that count how often they are read, and are away when told to be."""

    def __init__(self, books: Books) -> None:
        self._books = books
        self.reads = 0
        self.away = False
        self.hold: asyncio.Event | None = None
        self.asked = asyncio.Event()

    @asynccontextmanager
    async def read(self) -> AsyncIterator[Any]:
        self.reads += 1
        self.asked.set()
        if self.hold is not None:
            await self.hold.wait()
        if self.away:
            raise BooksUnavailable("unplugged")
        async with self._books.read() as conn:
            yield conn


@pytest.fixture
def counted(books: Books) -> Counted:
    return Counted(books)


@pytest.fixture
async def seen(counted: Counted, terms_of: TermsOf, clock: Clock) -> AsyncIterator[Directory]:
    """A directory whose reads of keys and terms are counted."""

    async def terms(account_id: str, at: Any) -> Any:
        async with counted.read():
            return await terms_of(account_id, at)

    directory = Directory(
        books=counted,  # type: ignore[arg-type]
        terms_of=terms,
        pepper=b"a pepper for tests",
        clock=clock,
        patience_s=30,
    )
    yield directory
    await directory.close()


async def renewed(directory: Directory) -> None:
    """The question under way is answered."""
    if (task := directory._renewal._task) is not None:
        await task


@pytest.fixture
async def key(accounts: Accounts, keys: Keys) -> CreatedKey:
    opened = await accounts.create("Acme", "free")
    return await keys.create(opened.id, products=frozenset({"parse"}))


async def test_a_caller_is_known_by_its_key(seen: Directory, key: CreatedKey) -> None:
    caller = await seen.find(key.secret.encode())
    assert caller is not None
    assert (caller.key_id, caller.account_id, caller.project_id) == (key.id, key.account_id, key.project_id)
    assert caller.products == frozenset({"parse"})
    assert caller.terms.periods[0].plan_id == "free"
    assert "digest" not in repr(caller)


async def test_a_caller_seen_lately_costs_no_store(seen: Directory, key: CreatedKey, counted: Counted) -> None:
    await seen.find(key.secret.encode())
    before = counted.reads
    for _ in range(100):
        await seen.find(key.secret.encode())
    assert counted.reads == before


async def test_a_crowd_asks_once(seen: Directory, key: CreatedKey, counted: Counted) -> None:
    found = await asyncio.gather(*(seen.find(key.secret.encode()) for _ in range(200)))
    assert None not in found
    assert counted.reads == 1


async def test_one_who_hangs_up_does_not_fail_the_crowd(seen: Directory, key: CreatedKey, counted: Counted) -> None:
    counted.hold = asyncio.Event()
    first, second = (asyncio.create_task(seen.find(key.secret.encode())) for _ in range(2))
    await counted.asked.wait()
    first.cancel()
    counted.hold.set()
    assert await second is not None
    with pytest.raises(asyncio.CancelledError):
        await first


@pytest.mark.parametrize("raw", [b"", b"Bearer x", b"cgw_live_" + b"0" * 38, b"\x00" * 47, b"'; DROP TABLE api_keys"])
async def test_what_is_no_key_never_reaches_the_books(seen: Directory, counted: Counted, raw: bytes) -> None:
    assert await seen.find(raw) is None
    assert counted.reads == 0


async def test_an_unknown_key_is_asked_for_once_a_second(seen: Directory, counted: Counted, clock: Clock) -> None:
    made_up = api_key.make(bytes(range(32))).encode()
    for _ in range(10):
        assert await seen.find(made_up) is None
    assert counted.reads == 1
    clock.forward(seconds=1)
    await seen.find(made_up)
    assert counted.reads == 2


async def test_an_expiry_is_kept_to_the_millisecond_without_asking(
    seen: Directory, accounts: Accounts, keys: Keys, clock: Clock, counted: Counted
) -> None:
    opened = await accounts.create("Acme", "free")
    brief = await keys.create(opened.id, expires_ms=epoch_ms(clock()) + 500)
    assert await seen.find(brief.secret.encode()) is not None
    before = counted.reads
    clock.forward(milliseconds=499)
    assert await seen.find(brief.secret.encode()) is not None
    clock.forward(milliseconds=1)
    assert await seen.find(brief.secret.encode()) is None
    assert counted.reads == before


async def test_a_revocation_elsewhere_is_found_after_a_minute_even_if_nobody_tells(
    seen: Directory, key: CreatedKey, keys: Keys, clock: Clock
) -> None:
    assert await seen.find(key.secret.encode()) is not None
    await keys.revoke(key.id)
    clock.forward(milliseconds=MAX_AGE_MS)
    assert await seen.find(key.secret.encode()) is None


async def test_one_revoked_key_leaves_the_others_of_its_account(seen: Directory, key: CreatedKey, keys: Keys) -> None:
    other = await keys.create(key.account_id)
    caller = await seen.find(key.secret.encode())
    assert caller is not None
    await seen.find(other.secret.encode())
    await keys.revoke(key.id)
    assert await seen.refreshed(caller) is None
    assert await seen.find(other.secret.encode()) is not None


async def test_a_key_read_before_its_revocation_and_kept_after_it_is_not_trusted(
    seen: Directory, key: CreatedKey, keys: Keys, counted: Counted
) -> None:
    caller = await seen.find(key.secret.encode())
    assert caller is not None
    await keys.revoke(key.id)
    await seen.refresh(key.account_id)
    # The key is still remembered as it was, with the older terms version: it is read again.
    assert await seen.find(key.secret.encode()) is None


async def test_a_newer_answer_known_by_now_is_not_read_again(
    seen: Directory, key: CreatedKey, accounts: Accounts, counted: Counted
) -> None:
    caller = await seen.find(key.secret.encode())
    assert caller is not None
    await accounts.adjust(key.account_id, 1000, reason="one more")
    again = await seen.refreshed(caller)
    assert again is not None
    assert again.terms.version == caller.terms.version + 1
    before = counted.reads
    assert await seen.refreshed(caller) == again
    assert counted.reads == before
    # Asked about the newest known, it does ask: there may be an epoch or a period it has not seen.
    await seen.refreshed(again)
    assert counted.reads == before + 1


async def test_with_the_books_away_those_known_go_on_and_others_are_told(
    seen: Directory, key: CreatedKey, counted: Counted, clock: Clock
) -> None:
    assert await seen.find(key.secret.encode()) is not None
    counted.away = True
    clock.forward(hours=3)
    assert await seen.find(key.secret.encode()) is not None
    asked = counted.reads
    assert await seen.find(key.secret.encode()) is not None
    assert counted.reads == asked
    with pytest.raises(BooksUnavailable):
        await seen.find(api_key.make(bytes(32)).encode())
    counted.away = False
    clock.forward(seconds=3)
    assert await seen.find(key.secret.encode()) is not None
    assert counted.reads == asked + 3


async def test_forgetting_all_reads_afresh_and_keeps_no_answer_from_before(
    seen: Directory, key: CreatedKey, counted: Counted
) -> None:
    counted.hold = asyncio.Event()
    early = asyncio.create_task(seen.find(key.secret.encode()))
    await counted.asked.wait()
    seen.forget_all()
    counted.hold.set()
    assert await early is not None
    before = counted.reads
    await seen.find(key.secret.encode())
    assert counted.reads > before


async def test_terms_in_use_are_renewed_before_they_are_too_old_in_one_question_for_all(
    seen: Directory, accounts: Accounts, keys: Keys, counted: Counted, clock: Clock
) -> None:
    secrets = [(await keys.create((await accounts.create("Acme", "free")).id)).secret.encode() for _ in range(20)]
    unused = (await keys.create((await accounts.create("Idle", "free")).id)).secret.encode()
    for secret in (*secrets, unused):
        await seen.find(secret)
    clock.forward(milliseconds=RENEWED_AFTER_MS)
    before = counted.reads
    # The first begins to ask; the others are still remembered, and come along with the second question.
    found = [seen.remembered(secret) for secret in secrets]
    assert None not in found
    assert counted.reads == before
    await renewed(seen)
    assert counted.reads == before + 1
    clock.forward(milliseconds=MAX_AGE_MS - 1)
    assert [seen.remembered(secret) for secret in secrets] == found
    assert seen.remembered(unused) is None


async def test_a_renewal_finds_what_nobody_told(seen: Directory, key: CreatedKey, keys: Keys, clock: Clock) -> None:
    secret = key.secret.encode()
    assert await seen.find(secret) is not None
    await keys.revoke(key.id)
    clock.forward(milliseconds=RENEWED_AFTER_MS)
    assert await seen.find(secret) is not None
    await renewed(seen)
    assert await seen.find(secret) is None


async def test_a_renewal_tells_how_far_the_books_are(
    seen: Directory, key: CreatedKey, books: Books, clock: Clock
) -> None:
    secret = key.secret.encode()
    caller = await seen.find(secret)
    assert caller is not None
    async with books.begin() as conn:
        await usage.expect_seq(conn, key.account_id, 7)
    clock.forward(milliseconds=RENEWED_AFTER_MS)
    await seen.find(secret)
    await renewed(seen)
    again = await seen.find(secret)
    assert again is not None
    assert again == replace(caller, terms=replace(caller.terms, booked_seq=7))


async def test_a_renewal_that_cannot_ask_leaves_what_is_known_and_rests(
    seen: Directory, key: CreatedKey, counted: Counted, clock: Clock
) -> None:
    secret = key.secret.encode()
    await seen.find(secret)
    counted.away = True
    clock.forward(milliseconds=RENEWED_AFTER_MS)
    before = counted.reads
    for _ in range(10):
        assert await seen.find(secret) is not None
        await renewed(seen)
    assert counted.reads == before + 1


async def test_forgetting_all_is_not_undone_by_a_renewal_under_way(
    seen: Directory, key: CreatedKey, counted: Counted, clock: Clock
) -> None:
    secret = key.secret.encode()
    await seen.find(secret)
    clock.forward(milliseconds=RENEWED_AFTER_MS)
    counted.hold = asyncio.Event()
    counted.asked.clear()
    await seen.find(secret)
    await counted.asked.wait()
    seen.forget_all()
    counted.hold.set()
    await renewed(seen)
    assert seen.remembered(secret) is None


async def test_a_crowd_of_unknown_callers_leaves_the_books_to_others(
    seen: Directory, accounts: Accounts, keys: Keys, counted: Counted
) -> None:
    opened = await accounts.create("Acme", "free")
    secrets = [(await keys.create(opened.id)).secret.encode() for _ in range(8)]
    known = secrets.pop()
    await seen.find(known)
    before, counted.hold = counted.reads, asyncio.Event()
    crowd = [asyncio.create_task(seen.find(secret)) for secret in secrets]
    for _ in range(20):
        await asyncio.sleep(0)
    assert counted.reads == before + KEYS_AT_ONCE
    assert await seen.find(known) is not None
    counted.hold.set()
    assert None not in await asyncio.gather(*crowd)


async def test_a_flood_of_made_up_keys_waits_in_bounded_number(
    seen: Directory, counted: Counted, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(authenticate, "WAITING_KEYS", 50)
    counted.hold = asyncio.Event()
    made_up = [api_key.make(number.to_bytes(32)).encode() for number in range(60)]
    flood = [asyncio.create_task(seen.find(secret)) for secret in made_up]
    await counted.asked.wait()
    await asyncio.sleep(0)
    counted.hold.set()
    answers = await asyncio.gather(*flood, return_exceptions=True)
    assert answers.count(None) == 50
    assert sum(isinstance(answer, BooksUnavailable) for answer in answers) == 10


def test_what_is_remembered_is_bounded() -> None:
    memory: Remembered[int, int] = Remembered(3, max_age_ms=10)
    for number in range(5):
        memory.keep(number, number, 0)
        memory.fresh(2, 0)
    assert len(memory) == 3
    assert [memory.fresh(number, 5) for number in range(5)] == [None, None, 2, 3, 4]
    assert memory.fresh(2, 10) is None
    assert memory.fresh(2, -1) is None
    assert memory.whatever_age(2) == 2
    assert REMEMBERED <= 100_000
