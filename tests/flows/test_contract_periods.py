"""48 months of contracts from many days of a month, amended at random: periods tile, and each is granted once."""

import random
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime
from itertools import pairwise

import pytest
from dateutil.relativedelta import relativedelta
from sqlalchemy import func, select

from gateway.books.books import Books
from gateway.books.tables import grants
from gateway.domain.contract import BillingPeriod
from gateway.domain.instant import epoch_ms, from_epoch_ms
from gateway.flows.terms import current_terms
from tests.flows.contracted import CONTRACT, SOLD, Billing, billing_over
from tests.made_up import CREDIT, Clock

MONTHS = 48


@pytest.fixture
async def billing(sqlite_copy_url: str) -> AsyncIterator[Billing]:
    books = await Books.open(sqlite_copy_url)
    yield billing_over(books, Clock())
    await books.close()


async def allowances(billing: Billing, account_id: str) -> dict[int, tuple[int, int]]:
    """How often each period was granted its allowance, and everything it was granted."""
    query = (
        select(
            grants.c.period_start_ms,
            func.count().filter(grants.c.kind == "allowance"),
            func.sum(grants.c.amount_millicredits),
        )
        .where(grants.c.account_id == account_id)
        .group_by(grants.c.period_start_ms)
    )
    async with billing.books.read() as conn:
        return {row[0]: (row[1], row[2]) for row in await conn.execute(query)}


@pytest.mark.parametrize("day", [1, 15, 28, 29, 30, 31])
async def test_periods_of_amended_contracts_tile_and_are_granted_once(billing: Billing, day: int) -> None:
    dice = random.Random(day)
    anchor = billing.clock.now = datetime(2024, 1, day, 23, 30, tzinfo=UTC)
    account_id = await billing.under()
    model = {1: CONTRACT}
    while billing.clock() < anchor + relativedelta(months=MONTHS):
        billing.clock.forward(days=dice.randrange(1, 300))
        if dice.random() < 0.6:
            committed = dice.randrange(1, 10) * 1_000 * CREDIT
            amended = replace(CONTRACT, period=dice.choice(list(BillingPeriod)), committed_millicredits=committed)
            agreed = await billing.contracts.agree(account_id, amended, reason="amended")
            model[agreed.version.version] = amended
        else:
            await current_terms(billing.books, SOLD, account_id, billing.clock())
    booked = await billing.booked(account_id)
    assert booked[0].start_ms == epoch_ms(anchor)
    assert booked[-1].end_ms > epoch_ms(billing.clock())
    assert all(one.end_ms == following.start_ms for one, following in pairwise(booked))
    granted = await allowances(billing, account_id)
    assert granted.keys() == {one.start_ms for one in booked}
    for one in booked:
        said = model[one.contract_version or 0]
        assert granted[one.start_ms] == (1, said.committed_millicredits)
        assert from_epoch_ms(one.end_ms) == anchor + _months(anchor, one.end_ms)
        assert _count(anchor, one.end_ms) - _count(anchor, one.start_ms) == said.period.months
    assert len({one.contract_version for one in booked}) > 1


def _count(anchor: datetime, at_ms: int) -> int:
    at = from_epoch_ms(at_ms)
    return (at.year - anchor.year) * 12 + at.month - anchor.month


def _months(anchor: datetime, at_ms: int) -> relativedelta:
    return relativedelta(months=_count(anchor, at_ms))
