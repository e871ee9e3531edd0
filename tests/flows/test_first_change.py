"""Idempotency-Keys of the API, and edits of what nobody else has changed, in the books."""

import asyncio
import contextlib

import pytest
from sqlalchemy import func, select

from gateway.books import meta
from gateway.books.books import Books
from gateway.books.tables import api_idempotency
from gateway.flows.first_call import Repeat
from gateway.flows.first_change import EditedByAnother, FirstChanges
from tests.made_up import Clock

PEPPER = b"a pepper for tests"


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def changes(books: Books, clock: Clock) -> FirstChanges:
    return FirstChanges(books=books, pepper=PEPPER, clock=clock)


async def claim(changes: FirstChanges, claim_id: str, digest: bytes = b"body", scope: str = "acc_1") -> object:
    return await changes.claim(scope, "k", claim_id=claim_id, digest=digest)


async def test_of_many_at_once_one_makes_the_change_and_the_others_wait(changes: FirstChanges) -> None:
    answers = await asyncio.gather(*(claim(changes, f"req_{n}") for n in range(8)))
    assert answers.count(None) == 1
    assert answers.count(Repeat.IN_PROGRESS) == 7


async def test_a_repeat_gets_the_first_reply_and_another_body_none(changes: FirstChanges) -> None:
    assert await claim(changes, "req_1") is None
    await changes.keep("acc_1", "k", claim_id="req_1", reply=b"the reply, with a secret")
    assert await claim(changes, "req_2") == b"the reply, with a secret"
    assert await claim(changes, "req_2", digest=b"other") is Repeat.MISMATCH
    assert await claim(changes, "req_2", digest=b"other", scope="acc_2") is None


async def test_what_is_kept_cannot_be_read_in_the_store_nor_under_another_pepper(
    changes: FirstChanges, books: Books, clock: Clock
) -> None:
    await claim(changes, "req_1")
    await changes.keep("acc_1", "k", claim_id="req_1", reply=b"cgw_live_secret")
    async with books.read() as conn:
        kept = (await conn.execute(select(api_idempotency.c.reply))).scalar_one()
    assert b"cgw_live" not in kept
    assert await claim(FirstChanges(books=books, pepper=b"another", clock=clock), "req_2") is Repeat.NOT_KEPT


async def test_a_change_that_was_not_made_may_be_asked_for_again(changes: FirstChanges) -> None:
    await claim(changes, "req_1")
    await changes.forget("acc_1", "k", claim_id="req_other")
    assert await claim(changes, "req_2") is Repeat.IN_PROGRESS
    await changes.forget("acc_1", "k", claim_id="req_1")
    assert await claim(changes, "req_2", digest=b"other") is None


async def test_a_change_whose_process_died_after_it_was_made_is_not_made_again_within_the_day(
    changes: FirstChanges, books: Books, clock: Clock
) -> None:
    await claim(changes, "req_1")
    with changes.noting("acc_1", "k", claim_id="req_1"):
        async with books.begin():
            pass  # the change
    assert await claim(changes, "req_2") is Repeat.IN_PROGRESS
    clock.forward(minutes=3)
    assert await claim(changes, "req_2") is Repeat.NOT_KEPT
    clock.forward(hours=24)
    assert await claim(changes, "req_2") is None


async def test_a_change_whose_process_died_before_it_was_made_is_made_by_the_next_and_by_no_other(
    changes: FirstChanges, books: Books, clock: Clock
) -> None:
    await claim(changes, "req_1")
    clock.forward(minutes=3)
    answers = await asyncio.gather(*(claim(changes, f"req_{n}") for n in range(2, 6)))
    assert answers.count(None) == 1
    assert answers.count(Repeat.IN_PROGRESS) == 3
    # It was only slow: what it would still do is undone.
    with pytest.raises(EditedByAnother), changes.noting("acc_1", "k", claim_id="req_1"):
        async with books.begin():
            pass


@pytest.mark.parametrize("committed", [True, False])
async def test_what_broke_may_be_asked_again_unless_something_was_committed(
    changes: FirstChanges, books: Books, *, committed: bool
) -> None:
    async def write() -> None:
        async with books.begin():
            if not committed:
                raise ZeroDivisionError

    await claim(changes, "req_1")
    with contextlib.suppress(ZeroDivisionError), changes.noting("acc_1", "k", claim_id="req_1"):
        # Whoever writes for the change, also a task of its own.
        await asyncio.create_task(write())
    await changes.fail("acc_1", "k", claim_id="req_1")
    assert await claim(changes, "req_2") is (Repeat.NOT_KEPT if committed else None)


async def test_claims_that_have_expired_are_swept_by_later_ones(
    changes: FirstChanges, clock: Clock, books: Books
) -> None:
    for number in range(20):
        await changes.claim("acc_1", f"k{number}", claim_id="req_1", digest=b"")
    clock.forward(hours=25)
    await claim(changes, "req_2")
    async with books.read() as conn:
        assert (await conn.execute(select(func.count()).select_from(api_idempotency))).scalar_one() == 1


async def test_only_the_first_transaction_of_an_edit_is_compared_and_each_tells_its_tag(
    changes: FirstChanges, books: Books
) -> None:
    async def tag() -> str:
        async with books.read() as conn:
            return str(await meta.get(conn, meta.EPOCH))

    async def raise_once() -> None:
        async with books.begin() as conn:
            await meta.raise_epoch(conn)

    await raise_once()
    with changes.edit("acc_1", tag, fits="2".__eq__) as edit:
        await raise_once()
        assert edit.tag == "3"
        await raise_once()
    assert edit.tag == await tag() == "4"
    with pytest.raises(EditedByAnother), changes.edit("acc_1", tag, fits="3".__eq__):
        await raise_once()
    assert await tag() == "4"


async def test_a_first_transaction_that_is_undone_leaves_the_next_to_be_compared(
    changes: FirstChanges, books: Books
) -> None:
    tags = iter("ab")

    async def tag() -> str:
        return next(tags)

    async def broken() -> None:
        async with books.begin():
            raise ZeroDivisionError

    with changes.edit("acc_1", tag, fits="a".__eq__):
        with pytest.raises(ZeroDivisionError):
            await broken()
        with pytest.raises(EditedByAnother):
            async with books.begin():
                pass
