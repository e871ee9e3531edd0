"""A receipt can be had at every moment of a call's life, and says what happened."""

from dataclasses import replace

import pytest

from gateway.books import refusals
from gateway.books.books import Books
from gateway.books.refusals import Refusal
from gateway.domain.hold import Ending
from gateway.domain.terms import Terms
from gateway.domain.usage import Settlement, UsageEvent
from gateway.flows.accounts import Accounts
from gateway.flows.explain import Explain, Receipt, ReceiptState
from gateway.flows.faults import NoSuchThing
from gateway.flows.relay import Relay
from gateway.ledger.answers import HoldSeen
from gateway.ledger.connection import RedisConnection
from gateway.ledger.faults import StoreUnavailable
from gateway.ledger.holds import Holds
from gateway.ledger.keys import account_prefix, hold_key
from gateway.ledger.ledger import Ledger
from gateway.ledger.outbox import Outbox
from gateway.wire.call_facts import facts_json, settlement_json
from tests.flows.calls import call, capture, hold
from tests.made_up import CREDIT, NOON_MS, facts

REFUSAL = Refusal(
    request_id=f"req_{77:032x}",
    at_ms=NOON_MS,
    account_id="acc_1",
    project_id="prj_1",
    key_id="key_1",
    method="POST",
    route="parse.upload",
    status=402,
    code="credits_exhausted",
    product="parse",
    mode="agentic",
    plan_id="free",
    rate_card_version="2026-11",
    expected_units=10,
    millicredits_per_unit=10 * CREDIT,
    required_millicredits=10 * CREDIT,
    available_millicredits=3 * CREDIT,
    limit_name="",
    retry_in_ms=None,
    resets_at_ms=NOON_MS + 1,
)


@pytest.fixture
def holds(redis: RedisConnection) -> Holds:
    return Holds(redis)


@pytest.fixture
def explain(books: Books, holds: Holds) -> Explain:
    return Explain(books=books, holds=holds, parts_of=lambda _: None)


@pytest.fixture
def relay(books: Books, outbox: Outbox) -> Relay:
    return Relay(outbox=outbox, books=books, consumer="one", block_ms=0)


def request_id(number: int) -> str:
    return f"req_{number:032x}"


async def receipt(explain: Explain, terms: Terms, number: int) -> Receipt:
    """As the account's caller gets it, which is what an operator gets too."""
    found = await explain.of_account(request_id(number), terms.account_id)
    assert isinstance(found, Receipt)
    assert await explain.of_anyone(request_id(number)) == found
    return found


async def test_a_running_call_is_pending_with_its_hold(explain: Explain, ledger: Ledger, terms: Terms) -> None:
    await hold(ledger, terms, 1)
    found = await receipt(explain, terms, 1)
    assert (found.state, found.held_millicredits, found.endings) == (ReceiptState.PENDING, 100 * CREDIT, ())
    assert found.facts == replace(facts(terms.account_id, request_id(1)), plan_id="free")
    assert found.expires_at_ms is not None
    assert found.expires_at_ms == found.admitted_at_ms + 60_000
    assert (found.period_start_ms, found.period_end_ms) == (terms.periods[0].start_ms, terms.periods[0].end_ms)


async def test_a_call_that_ended_is_settled_before_and_booked_after_the_relay(
    explain: Explain, ledger: Ledger, terms: Terms, relay: Relay
) -> None:
    await call(ledger, terms, 1)
    await call(ledger, terms, 2)
    settled = await receipt(explain, terms, 1)
    assert (settled.state, settled.captured_millicredits) == (ReceiptState.SETTLED, 20 * CREDIT)
    assert settled.end is not None
    assert settled.end.event.settlement == Settlement(2, "reported by the upstream")
    assert (settled.end.booked_at_ms, settled.end.transaction_id) == (None, None)
    await relay.drain_once()
    booked = await receipt(explain, terms, 1)
    assert booked.state is ReceiptState.BOOKED
    assert booked.end is not None
    assert booked.end.event == settled.end.event
    assert booked.end.transaction_id == f"{request_id(1)}.captured"
    assert booked.end.booked_at_ms is not None


async def test_a_receipt_outlives_everything_in_redis(
    explain: Explain, ledger: Ledger, terms: Terms, relay: Relay, redis: RedisConnection
) -> None:
    await call(ledger, terms, 1)
    await relay.drain_once()
    before = await receipt(explain, terms, 1)
    await redis.on_every_node("FLUSHALL")
    assert await receipt(explain, terms, 1) == before


async def test_an_event_that_is_booked_while_it_is_looked_for_is_found(
    books: Books, holds: Holds, ledger: Ledger, terms: Terms, relay: Relay
) -> None:
    class Overtaken(Holds):
        async def endings(self, hold_id: str, seen: HoldSeen) -> list[UsageEvent]:
            await relay.drain_once()
            return await holds.endings(hold_id, seen)

    await call(ledger, terms, 1)
    overtaken = Overtaken(holds._redis)
    found = await receipt(Explain(books=books, holds=overtaken, parts_of=lambda _: None), terms, 1)
    assert (found.state, len(found.endings)) == (ReceiptState.BOOKED, 1)


async def test_a_call_without_charge_says_why(explain: Explain, ledger: Ledger, terms: Terms, relay: Relay) -> None:
    gone = settlement_json(Settlement(None, "the upstream answered 500"))
    await ledger.release(await hold(ledger, terms, 1), terms.account_id, settlement=gone)
    await relay.drain_once()
    found = await receipt(explain, terms, 1)
    assert found.end is not None
    assert (found.end.event.ending, found.captured_millicredits) == (Ending.RELEASED, 0)
    assert found.end.event.settlement.evidence == "the upstream answered 500"
    assert found.end.transaction_id is None


@pytest.mark.parametrize("booked", [True, False])
async def test_a_late_capture_shows_the_expiry_before_it(
    explain: Explain, ledger: Ledger, terms: Terms, relay: Relay, redis: RedisConnection, booked: bool
) -> None:
    prefix = account_prefix(terms.account_id)
    hold_id = await hold(ledger, terms, 1)
    for index in (f"{prefix}due", f"{prefix}open:{terms.account_id}"):
        await redis.execute("ZADD", index, 1, hold_id, key=index)
    await ledger.expire_account(terms.account_id)
    if booked:
        await relay.drain_once()
    await capture(ledger, terms, hold_id)
    found = await receipt(explain, terms, 1)
    assert [ending.event.ending for ending in found.endings] == [Ending.EXPIRED, Ending.LATE]
    assert (found.state, found.captured_millicredits) == (ReceiptState.SETTLED, 20 * CREDIT)
    await relay.drain_once()
    assert (await receipt(explain, terms, 1)).state is ReceiptState.BOOKED


async def test_a_call_whose_hold_redis_lost_has_a_receipt_before_and_after_it_is_booked(
    explain: Explain, ledger: Ledger, terms: Terms, relay: Relay
) -> None:
    lost = request_id(5)
    await ledger.recover(
        lost,
        terms.account_id,
        period_start_ms=terms.periods[0].start_ms,
        cost_millicredits=20 * CREDIT,
        facts=facts_json(facts(terms.account_id, lost)),
        settlement=settlement_json(Settlement(2, "status 200, the quote")),
    )
    assert (await receipt(explain, terms, 5)).state is ReceiptState.SETTLED
    await relay.drain_once()
    found = await receipt(explain, terms, 5)
    assert (found.state, found.captured_millicredits) == (ReceiptState.BOOKED, 20 * CREDIT)


async def test_the_job_that_a_call_started_is_named_while_it_runs_and_for_good(
    explain: Explain, ledger: Ledger, terms: Terms, relay: Relay, redis: RedisConnection
) -> None:
    hold_id = await hold(ledger, terms, 1)
    await ledger.attach_job(
        hold_id,
        terms.account_id,
        upstream="parse",
        job_kind="parse_v2",
        job_id="pjb-1",
        limit_ms=60_000,
        first_look_ms=1_000,
    )
    running = (await receipt(explain, terms, 1)).job
    assert running is not None
    assert (running.job_id, running.kind, running.upstream, running.looks) == ("pjb-1", "parse_v2", "parse", 0)
    await capture(ledger, terms, hold_id)
    await relay.drain_once()
    await redis.execute("DEL", hold_key(account_prefix(terms.account_id), hold_id), key="{s00}")
    assert (await receipt(explain, terms, 1)).job == replace(running, looks=None)


async def test_other_accounts_calls_are_not_there(
    explain: Explain, ledger: Ledger, terms: Terms, relay: Relay, accounts: Accounts, books: Books
) -> None:
    other = await accounts.create("Other", "starter")
    await call(ledger, terms, 1)
    await hold(ledger, terms, 2)
    for _ in range(2):
        for number in (1, 2, 3):
            with pytest.raises(NoSuchThing):
                await explain.of_account(request_id(number), other.id)
        await relay.drain_once()
    async with books.begin() as conn:
        await refusals.add(conn, [replace(REFUSAL, account_id=terms.account_id)])
    assert isinstance(await explain.of_account(REFUSAL.request_id, terms.account_id), Refusal)
    with pytest.raises(NoSuchThing):
        await explain.of_account(REFUSAL.request_id, other.id)


@pytest.mark.parametrize("wrong", ["", "req_1", f"req_{'A' * 32}", f"req_{1:032x}\n", "x" * 100_000, f"req_{9:032x}"])
async def test_what_is_no_call_is_not_there(explain: Explain, terms: Terms, wrong: str) -> None:
    with pytest.raises(NoSuchThing):
        await explain.of_account(wrong, terms.account_id)
    with pytest.raises(NoSuchThing):
        await explain.of_anyone(wrong)


async def test_with_redis_away_booked_calls_are_told_and_others_are_not_denied(
    explain: Explain, ledger: Ledger, terms: Terms, relay: Relay, redis: RedisConnection
) -> None:
    await call(ledger, terms, 1)
    await relay.drain_once()
    await hold(ledger, terms, 2)
    await redis.close()
    found = await receipt(explain, terms, 1)
    assert (found.state, found.live) == (ReceiptState.BOOKED, False)
    with pytest.raises(StoreUnavailable):
        await explain.of_account(request_id(2), terms.account_id)


async def test_an_admission_that_was_withdrawn_left_no_call(explain: Explain, ledger: Ledger, terms: Terms) -> None:
    gone = settlement_json(Settlement(None, "the admission was not answered in time"))
    await ledger.release(request_id(4), terms.account_id, settlement=gone)
    with pytest.raises(NoSuchThing):
        await explain.of_account(request_id(4), terms.account_id)


async def test_the_newest_refusals_are_kept_and_older_ones_go_a_batch_at_a_time(books: Books) -> None:
    kept = [replace(REFUSAL, request_id=request_id(number), at_ms=number) for number in range(1, 21)]
    async with books.begin() as conn:
        await refusals.add(conn, kept)
        await refusals.add(conn, kept[:3])
        assert await refusals.first_to_keep_ms(conn, most=5) == 16
        assert await refusals.first_to_keep_ms(conn, most=50) == 0
        assert await refusals.trim(conn, before_ms=16, limit=10) == 10
        assert await refusals.trim(conn, before_ms=16, limit=10) == 5
        assert await refusals.trim(conn, before_ms=16, limit=10) == 0
        assert await refusals.get(conn, request_id(15)) is None
        assert await refusals.get(conn, request_id(16)) == kept[15]
