"""Contracts at random against models: periods tile for 48 months and are granted once, graduated prices add up."""

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
from gateway.domain.money import rounded
from gateway.domain.plan import Tier
from gateway.domain.rating import in_tier, pay_as_you_go_cents
from gateway.flows.prove_invoices import prove_invoices
from gateway.flows.terms import current_terms
from tests.flows.contracted import CONTRACT, SOLD, Contracted, contracted_over, document
from tests.made_up import CREDIT, Clock

MONTHS = 48


@pytest.fixture
async def billing(sqlite_copy_url: str) -> AsyncIterator[Contracted]:
    books = await Books.open(sqlite_copy_url)
    yield contracted_over(books, Clock())
    await books.close()


async def allowances(billing: Contracted, account_id: str) -> dict[int, tuple[int, int]]:
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
async def test_periods_of_amended_contracts_tile_and_are_granted_once(billing: Contracted, day: int) -> None:
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


@pytest.mark.parametrize("seed", range(4))
async def test_graduated_usage_comes_to_the_model_however_it_is_settled(billing: Contracted, seed: int) -> None:
    """In several closings, late ones too: each tier's lines add up to its credits at its price, rounded once."""
    dice = random.Random(seed)
    ends = sorted(dice.sample(range(1, 4_000), dice.randrange(1, 4)))
    tiers = tuple(Tier(end, dice.randrange(1, 5_000)) for end in [*(end * CREDIT for end in ends), None])
    account_id = await billing.under(replace(CONTRACT, committed_millicredits=500 * CREDIT, tiers=tiers))
    first = await billing.running(account_id)
    used = 0
    for _ in range(4):
        calls = [(dice.choice(["parse", "extract"]), dice.randrange(1, 900)) for _ in range(dice.randrange(5))]
        await billing.use(account_id, *calls, period_start_ms=first.start_ms)
        used += sum(amount for _, amount in calls)
        await billing.pass_period(account_id)
    over = max(0, used - 500) * CREDIT
    charged: dict[str, list[int]] = {}
    for invoice in await billing.issued(account_id):
        for line in document(invoice)["lines"]:
            if line["kind"] == "pay_as_you_go":
                price = charged.setdefault(line["usd_per_1000_credits"], [0, 0])
                price[0] += int(line["credits"]) * CREDIT
                price[1] += line["amount_cents"]
    model = []
    for number, tier in enumerate(tiers):
        if amount := in_tier(over, tiers, number):
            model.append([amount, rounded(pay_as_you_go_cents(amount, tier.nanodollars_per_millicredit))])
    assert sorted(charged.values()) == sorted(model)
    assert await prove_invoices(billing.books) == []


def _count(anchor: datetime, at_ms: int) -> int:
    at = from_epoch_ms(at_ms)
    return (at.year - anchor.year) * 12 + at.month - anchor.month


def _months(anchor: datetime, at_ms: int) -> relativedelta:
    return relativedelta(months=_count(anchor, at_ms))
