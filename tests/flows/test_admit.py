"""Nobody is admitted by what was known of a Redis that has been away since."""

from collections.abc import Awaitable, Callable
from contextlib import suppress

import pytest

from gateway.books.books import Books
from gateway.domain.quote import Quote
from gateway.flows.accounts import Accounts
from gateway.flows.admit import Admission, Allowed, Asked
from gateway.flows.authenticate import Directory, TermsOf
from gateway.flows.keys import Keys
from gateway.flows.rebuild import Rebuilder
from gateway.flows.relay import Relay
from gateway.ledger.connection import RedisConnection
from gateway.ledger.faults import StoreUnavailable
from gateway.ledger.keys import account_prefix, acct_key, period_key
from gateway.ledger.ledger import Ledger
from gateway.ledger.outbox import Outbox
from gateway.wire.route import Route
from tests.flows.calls import calls
from tests.made_up import CREDIT, PLANS, Clock


@pytest.fixture
def admission(
    books: Books, ledger: Ledger, outbox: Outbox, directory: Directory, terms_of: TermsOf, clock: Clock
) -> Admission:
    rebuild = Rebuilder(books=books, ledger=ledger, outbox=outbox, terms_of=terms_of, clock=clock)
    return Admission(ledger, directory, load=rebuild, plans=lambda: PLANS, clock=clock)


async def _cut(redis: RedisConnection) -> None:
    """Redis hangs up on everyone; the command that asks for it may get no reply."""
    with suppress(StoreUnavailable):
        await redis.execute("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "no", key="")


async def test_a_call_that_waits_while_redis_comes_back_older_is_measured_by_the_books_of_now(
    admission: Admission,
    directory: Directory,
    accounts: Accounts,
    keys: Keys,
    books: Books,
    ledger: Ledger,
    outbox: Outbox,
    redis: RedisConnection,
) -> None:
    redis.on_reconnect = directory.forget_all
    opened = await accounts.create("Acme", "free")
    secret = (await keys.create(opened.id)).secret
    caller = await directory.find(secret.encode())
    assert caller is not None
    assert isinstance(await admission.admit(caller, _asked(1)), Allowed)
    await calls(ledger, caller.terms, 2, 5)
    await Relay(outbox=outbox, books=books, consumer="one", block_ms=0).drain_once()
    # The caller sends a long body; meanwhile Redis restarts on older files.
    prefix = account_prefix(opened.id)
    await redis.execute("HSET", acct_key(prefix, opened.id), "seq", 0, key=prefix)
    period = period_key(prefix, opened.id, caller.terms.periods[0].start_ms)
    await redis.execute("HSET", period, "captured", 0, key=prefix)
    await _cut(redis)
    allowed = await admission.admit(caller, _asked(10))
    assert isinstance(allowed, Allowed)
    assert allowed.admitted.available_millicredits == (10_000 - 5 * 20 - 2 * 100) * CREDIT
    assert directory.generation == 1


def _asked(number: int) -> Asked:
    route = Route("parse", "POST", "/parse", "parse", limit=None)
    return Asked(f"req_{number:032x}", route, Quote("parse", "fast", "page", 100, 100, (), "1", CREDIT, CREDIT))


async def test_a_call_is_not_sent_twice_to_a_redis_that_was_away_in_between(redis: RedisConnection) -> None:
    from gateway.ledger.scripts import load_scripts

    known: list[str] = []
    redis.on_reconnect = lambda: known.append("reconnected")

    async def ask() -> None:
        await redis.evalsha(load_scripts()["look"], ["{s00}:follow"], ["h", 0], still=lambda: not known)

    await ask()
    await _cut(redis)
    with pytest.raises(StoreUnavailable, match="outdated"):
        await _until_it_answers(ask)


async def _until_it_answers(ask: Callable[[], Awaitable[None]]) -> None:
    for _ in range(100):
        await ask()


async def test_what_remains_is_of_the_included_credits_and_not_of_the_overage(
    admission: Admission, directory: Directory, accounts: Accounts, keys: Keys
) -> None:
    opened = await accounts.create("Acme", "starter")
    caller = await directory.find((await keys.create(opened.id)).secret.encode())
    assert caller is not None
    allowed = await admission.admit(caller, _asked(3))
    assert isinstance(allowed, Allowed)
    (period,) = caller.terms.periods
    assert period.overage_millicredits > 0
    assert allowed.admitted.available_millicredits == (
        period.granted_millicredits + period.overage_millicredits - allowed.admitted.held_millicredits
    )
    assert allowed.remaining_millicredits == period.granted_millicredits - allowed.admitted.held_millicredits
