from collections.abc import AsyncIterator
from datetime import UTC, datetime
from functools import partial

import pytest

from gateway.books.books import Books
from gateway.domain.terms import Terms
from gateway.flows.accounts import Accounts
from gateway.flows.authenticate import Directory, TermsOf
from gateway.flows.keys import Keys
from gateway.flows.rebuild import rebuild
from gateway.flows.tell_ledger import TellLedger
from gateway.flows.terms import current_terms
from gateway.ledger.connection import RedisConnection
from gateway.ledger.ledger import Ledger
from gateway.ledger.outbox import Outbox
from tests.billing import billing_over
from tests.made_up import PLANS, Clock

PEPPER = b"a pepper for tests"


@pytest.fixture
async def books(migrated_books_url: str) -> AsyncIterator[Books]:
    """Empty books of either kind."""
    opened = await Books.open(migrated_books_url)
    yield opened
    await opened.close()


@pytest.fixture
async def redis(redis_url: str) -> AsyncIterator[RedisConnection]:
    """An empty Redis; a loaded machine is given time."""
    connection = RedisConnection(redis_url, attempt_timeout_ms=5000, call_timeout_ms=5000)
    await connection.open()
    yield connection
    await connection.close()


@pytest.fixture
def ledger(redis: RedisConnection) -> Ledger:
    return Ledger(redis)


@pytest.fixture
def outbox(redis: RedisConnection) -> Outbox:
    return Outbox(redis)


@pytest.fixture
def clock() -> Clock:
    """Redis has a clock of its own, so this one starts with it; it moves when a test says so."""
    now = datetime.now(UTC)
    return Clock(now.replace(microsecond=now.microsecond // 1000 * 1000))


@pytest.fixture
def terms_of(books: Books) -> TermsOf:
    return partial(current_terms, books, PLANS)


@pytest.fixture
def tell(books: Books, ledger: Ledger, clock: Clock) -> TellLedger:
    return TellLedger(books=books, ledger=ledger, plans=lambda: PLANS, clock=clock)


@pytest.fixture
def accounts(books: Books, tell: TellLedger, clock: Clock) -> Accounts:
    return Accounts(billing_over(books, clock, tell=tell))


@pytest.fixture
def keys(books: Books, tell: TellLedger, clock: Clock) -> Keys:
    return Keys(books=books, tell=tell, pepper=PEPPER, clock=clock)


@pytest.fixture
async def directory(books: Books, terms_of: TermsOf, clock: Clock) -> AsyncIterator[Directory]:
    opened = Directory(books=books, terms_of=terms_of, pepper=PEPPER, clock=clock)
    yield opened
    await opened.close()


@pytest.fixture
async def terms(
    accounts: Accounts, terms_of: TermsOf, clock: Clock, books: Books, ledger: Ledger, outbox: Outbox
) -> Terms:
    """An account that Redis knows: Starter, 40,000 credits, pay-as-you-go."""
    opened = await accounts.create("Acme", "starter")
    known = await terms_of(opened.id, clock())
    assert known is not None
    assert await rebuild(books, ledger, outbox, known)
    return known
