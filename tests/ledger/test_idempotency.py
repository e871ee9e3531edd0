"""One Idempotency-Key, one charge, one reply, whatever becomes of the first call."""

import asyncio

import pytest
import redis.asyncio

from gateway.domain.admission import Admitted
from gateway.ledger.connection import RedisConnection
from gateway.ledger.idempotency import AskTheBooks, ChargedBefore, Claim, FirstReply, Idempotency
from gateway.ledger.keys import shard_of
from gateway.ledger.ledger import Ledger
from gateway.ledger.scripts import load_scripts
from tests.ledger.builders import DELIVERED, GIVEN_BACK, call_of, terms_of
from tests.ledger.conftest import CLOCK_LUA, Clock, everything

ACCOUNT = "acc_1"


@pytest.fixture
async def idempotency(connection: RedisConnection, clock: Clock, timed: Ledger) -> Idempotency:
    assert await timed.load(terms_of(ACCOUNT), {}, 0)
    return Idempotency(connection, scripts=load_scripts(CLOCK_LUA))


async def claim(
    idempotency: Idempotency, hold_id: str, digest: bytes = b"body"
) -> Claim | FirstReply | ChargedBefore | AskTheBooks:
    return await idempotency.claim(ACCOUNT, "key 1", hold_id=hold_id, digest=digest)


async def started(idempotency: Idempotency, ledger: Ledger) -> None:
    assert await claim(idempotency, "req_1") is Claim.CLAIMED
    assert isinstance(await ledger.admit(call_of(terms_of(ACCOUNT), "req_1")), Admitted)


async def capture(ledger: Ledger) -> None:
    await ledger.capture("req_1", ACCOUNT, cost_millicredits=1, cap=False, settlement=DELIVERED)


async def test_the_first_reply_is_given_again(idempotency: Idempotency, timed: Ledger) -> None:
    await started(idempotency, timed)
    assert await claim(idempotency, "req_2") is Claim.IN_PROGRESS
    await capture(timed)
    assert await idempotency.keep(ACCOUNT, "key 1", hold_id="req_1", reply=b"200 done")
    assert await claim(idempotency, "req_2") == FirstReply(b"200 done")
    assert not await idempotency.forget(ACCOUNT, "key 1", hold_id="req_1")


async def test_of_simultaneous_calls_one_runs(idempotency: Idempotency) -> None:
    claims = await asyncio.gather(*(claim(idempotency, f"req_{number}") for number in range(20)))
    assert claims.count(Claim.CLAIMED) == 1
    assert claims.count(Claim.IN_PROGRESS) == 19


async def test_claiming_again_under_the_same_hold_is_claiming_once(idempotency: Idempotency, timed: Ledger) -> None:
    await started(idempotency, timed)
    assert await claim(idempotency, "req_1") is Claim.CLAIMED


async def test_another_body_under_the_same_key_is_refused(
    idempotency: Idempotency, timed: Ledger, raw: "redis.asyncio.Redis"
) -> None:
    await started(idempotency, timed)
    before = await everything(raw)
    assert await claim(idempotency, "req_2", b"other body") is Claim.MISMATCH
    assert await everything(raw) == before


async def test_a_body_that_is_known_only_at_its_end_is_compared_from_then_on(
    idempotency: Idempotency, timed: Ledger
) -> None:
    assert await claim(idempotency, "req_1", b"") is Claim.CLAIMED
    await idempotency.keep(ACCOUNT, "key 1", hold_id="req_1", reply=b"200", digest=b"body")
    assert await claim(idempotency, "req_2", b"other body") is Claim.MISMATCH
    assert await claim(idempotency, "req_2", b"") == FirstReply(b"200")


@pytest.mark.parametrize("how", ["refused", "released", "expired", "died before its admission"])
async def test_a_call_that_was_not_charged_gives_way_to_the_next(
    idempotency: Idempotency, timed: Ledger, clock: Clock, how: str
) -> None:
    if how == "refused":
        assert await claim(idempotency, "req_1") is Claim.CLAIMED
        assert await idempotency.forget(ACCOUNT, "key 1", hold_id="req_1")
    elif how == "died before its admission":
        assert await claim(idempotency, "req_1") is Claim.CLAIMED
        await clock.pass_ms(9999)
        assert await claim(idempotency, "req_2") is Claim.IN_PROGRESS
        await clock.pass_ms(1)
        assert await claim(idempotency, "req_2") == AskTheBooks("req_1")
        assert await idempotency.claim(ACCOUNT, "key 1", hold_id="req_2", instead_of="req_1") is Claim.CLAIMED
    elif how == "released":
        await started(idempotency, timed)
        await timed.release("req_1", ACCOUNT, settlement=GIVEN_BACK)
    else:
        await started(idempotency, timed)
        await clock.pass_ms(60_000)
        await timed.expire(shard_of(ACCOUNT))
        # Its process may only have been unable to reach Redis, and may still charge it, late.
        assert await claim(idempotency, "req_2") is Claim.IN_PROGRESS
        await clock.pass_ms(600_000)
    assert await claim(idempotency, "req_2") is Claim.CLAIMED
    assert not await idempotency.keep(ACCOUNT, "key 1", hold_id="req_1", reply=b"too late")
    assert not await idempotency.forget(ACCOUNT, "key 1", hold_id="req_1")


async def test_a_call_whose_reply_was_lost_is_not_charged_again(idempotency: Idempotency, timed: Ledger) -> None:
    await started(idempotency, timed)
    await capture(timed)
    assert await claim(idempotency, "req_2") == ChargedBefore("req_1")


async def test_what_redis_has_forgotten_the_books_know(
    idempotency: Idempotency, timed: Ledger, clock: Clock, raw: "redis.asyncio.Redis"
) -> None:
    await started(idempotency, timed)
    await capture(timed)
    await raw.delete(*await raw.keys("*:hold:req_1"))
    await clock.pass_ms(60_000)
    assert await claim(idempotency, "req_2") == AskTheBooks("req_1")
    assert await idempotency.claim(ACCOUNT, "key 1", hold_id="req_2", instead_of="req_0") == AskTheBooks("req_1")


async def test_a_key_says_nothing_to_other_accounts_and_lives_a_day(
    idempotency: Idempotency, timed: Ledger, raw: "redis.asyncio.Redis"
) -> None:
    await started(idempotency, timed)
    other = await idempotency.claim("acc_in_the_same_shard_8", "key 1", hold_id="req_2", digest=b"body")
    assert other is Claim.CLAIMED
    (key,) = await raw.keys("*:idem:acc_1:key 1")
    assert 86_300_000 < await raw.pttl(key) <= 86_400_000
