"""The golden cases of billing, each from the opening of an account to the cents on its invoice, in books of both kinds.

The table of what the plans promise, row by row; contracts follow.
"""

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from gateway.books import invoices as booked_invoices
from gateway.books.books import Books
from gateway.domain.contract import BillingPeriod, OverageMode
from gateway.domain.instant import DAY_MS, epoch_ms, from_epoch_ms
from gateway.domain.plan import Tier
from gateway.flows.prove_invoices import prove_invoices
from tests.flows.contracted import CONTRACT, MILLION, Contracted, contracted_over, document, lines
from tests.made_up import CREDIT, Clock

FEE = ("plan_fee", 5_000)
COMMITMENT = ("plan_fee", 200_000)


@pytest.fixture
def billing(books: Books, clock: Clock) -> Contracted:
    return contracted_over(books, clock)


@pytest.mark.parametrize(
    ("used", "cents"),
    [
        pytest.param(40_004, 1, id="40,004 used: 4 credits over are half a cent: $0.01"),
        pytest.param(40_003, 0, id="40,003 used: 0.375 cents: $0.00, and the line is shown"),
        pytest.param(60_000, 2_500, id="60,000 used: $25.00"),
    ],
)
async def test_starter_goes_over(billing: Contracted, used: int, cents: int) -> None:
    account_id = await billing.open("starter")
    await billing.use(account_id, ("parse", used - 1_000), ("extract", 1_000))
    (closing,) = await billing.pass_period(account_id)
    assert lines(closing) == [("pay_as_you_go", cents), FEE]
    assert sum(part["amount_cents"] for part in document(closing)["lines"][0]["sub_lines"]) == cents


@pytest.mark.parametrize(
    ("plan", "used", "expected", "total"),
    [
        pytest.param("starter", 60_000, [("pay_as_you_go", 2_500), ("plan_fee", 50_000)], 52_500, id="60,000: $525.00"),
        pytest.param(
            "starter", 15_000, [("plan_fee", 50_000), ("unused_allowance", -3_125)], 46_875, id="25,000 left: $468.75"
        ),
        pytest.param(
            "starter", 0, [("plan_fee", 50_000), ("unused_allowance", -5_000)], 45_000, id="nothing used: $450.00"
        ),
        pytest.param("free", 3_000, [("plan_fee", 50_000)], 50_000, id="from Free: $500.00"),
    ],
)
async def test_then_pro(
    billing: Contracted, clock: Clock, plan: str, used: int, expected: list[tuple[str, int]], total: int
) -> None:
    account_id = await billing.open(plan)
    await billing.use(account_id, ("parse", used))
    clock.forward(days=3)
    change = await billing.accounts.change_plan(account_id, "pro")
    assert change.invoice is not None
    assert (lines(change.invoice), change.invoice.total_cents) == (expected, total)


async def test_12684_credits_over_are_1585_and_a_half_cents_shared_out_by_largest_remainder(
    billing: Contracted,
) -> None:
    account_id = await billing.open("starter")
    over = (("parse", 12_341), ("extract", 333), ("split", 3), ("classify", 7))
    await billing.use(account_id, ("index", 40_000), *over)
    (closing,) = await billing.pass_period(account_id)
    line = document(closing)["lines"][0]
    assert line["amount_cents"] == 1_586
    shown = {part["product"]: part["amount_cents"] for part in line["sub_lines"]}
    assert shown == {"parse": 1_543, "extract": 42, "split": 0, "classify": 1}


async def test_an_anchor_on_the_31st_is_never_forgotten(billing: Contracted, clock: Clock) -> None:
    clock.now = datetime(2024, 1, 31, 23, 30, tzinfo=UTC)
    account_id = await billing.open("starter")
    for _ in range(3):
        await billing.pass_period(account_id)
    spans = [document(one)["lines"][-1]["service_period"] for one in await billing.issued(account_id)]
    assert [span["start"][5:10] for span in spans] == ["01-31", "02-29", "03-31", "04-30"]
    assert [span["end"] for span in spans[:-1]] == [span["start"] for span in spans[1:]]


@pytest.mark.parametrize("days", [0, 3], ids=["in the instant it began", "later"])
async def test_two_downgrades_and_an_upgrade_within_a_second_make_one_plan_and_one_invoice(
    billing: Contracted, clock: Clock, days: int
) -> None:
    account_id = await billing.open("starter")
    clock.forward(days=days)
    await billing.accounts.change_plan(account_id, "free")
    await billing.accounts.change_plan(account_id, "free")
    await billing.accounts.change_plan(account_id, "pro")
    _, made = await billing.issued(account_id)
    assert made.total_cents == 45_000
    assert (await billing.running(account_id)).plan_id == "pro"
    assert await billing.closer.close_due() == []


async def test_graduated_overage_is_a_line_for_each_price(billing: Contracted) -> None:
    account_id = await billing.under()
    await billing.use(account_id, ("parse", 2_600_000), ("extract", 900_000))
    (closing,) = await billing.pass_period(account_id)
    assert lines(closing) == [("pay_as_you_go", 100_000), ("pay_as_you_go", 40_000), COMMITMENT]
    first, second, fee = document(closing)["lines"]
    assert [first["usd_per_1000_credits"], second["usd_per_1000_credits"]] == ["1.00", "0.80"]
    assert [first["credits"], second["credits"]] == ["1000000", "500000"]
    assert {part["product"]: part["amount_cents"] for part in first["sub_lines"]} == {
        "parse": 60_000,
        "extract": 40_000,
    }
    assert fee["description"] == "Enterprise plan by contract, 2,000,000 credits committed"
    async with billing.books.read() as conn:
        stamps = await booked_invoices.events_page(conn, closing.id, after="")
    charged = [(one.product, one.pay_as_you_go_millicredits, (one.line_id or "")[-1:]) for one in stamps]
    # The second call begins in the first tier and ends in the second: it is charged once, on two lines.
    assert charged == [
        ("parse", 600_000 * CREDIT, "1"),
        ("extract", 400_000 * CREDIT, "1"),
        ("extract", 500_000 * CREDIT, "2"),
    ]
    assert await prove_invoices(billing.books) == []


async def test_committed_credits_that_were_not_used_are_paid_for(billing: Contracted) -> None:
    account_id = await billing.under()
    (closing,) = await billing.pass_period(account_id)
    assert lines(closing) == [COMMITMENT]
    assert await billing.granted(account_id, (await billing.running(account_id)).start_ms) == 2 * MILLION


async def test_an_invoice_under_a_contract_is_due_after_its_net_days_and_any_other_at_once(billing: Contracted) -> None:
    by_contract, by_plan = await billing.under(), await billing.open("starter")
    (first,), (other,) = await billing.issued(by_contract), await billing.issued(by_plan)
    assert (first.due_ms - first.issued_ms, other.due_ms - other.issued_ms) == (30 * DAY_MS, 0)
    assert document(first)["due_at"] > document(first)["issued_at"]


async def test_annual_periods_from_a_leap_day(billing: Contracted, clock: Clock) -> None:
    clock.now = datetime(2024, 2, 29, 9, tzinfo=UTC)
    account_id = await billing.under(replace(CONTRACT, period=BillingPeriod.ANNUAL, price_cents=2_400_000))
    for _ in range(4):
        await billing.pass_period(account_id)
    starts = [f"{from_epoch_ms(one.start_ms):%Y-%m-%d}" for one in await billing.booked(account_id)]
    assert starts == ["2024-02-29", "2025-02-28", "2026-02-28", "2027-02-28", "2028-02-29"]
    assert [one.total_cents for one in await billing.issued(account_id)] == [2_400_000] * 5


async def test_a_new_version_begins_at_a_boundary_and_rates_nothing_that_was_before(
    billing: Contracted, clock: Clock
) -> None:
    account_id = await billing.under()
    first = await billing.running(account_id)
    clock.forward(days=10)
    dearer = replace(CONTRACT, price_cents=300_000, committed_millicredits=4 * MILLION, tiers=(Tier(None, 2_000),))
    agreed = await billing.contracts.agree(account_id, dearer, reason="C-2")
    assert (agreed.version.version, agreed.version.effective_ms, agreed.invoice) == (2, first.end_ms, None)
    assert (await billing.running(account_id)).price_cents == 200_000
    await billing.use(account_id, ("parse", 2_500_000))
    (closing,) = await billing.pass_period(account_id)
    assert lines(closing) == [("pay_as_you_go", 50_000), ("plan_fee", 300_000)]
    # What is settled late is charged by the version its period was sold under.
    await billing.use(account_id, ("parse", 100_000), period_start_ms=first.start_ms)
    await billing.use(account_id, ("parse", 4_100_000))
    (following,) = await billing.pass_period(account_id)
    assert lines(following) == [("pay_as_you_go", 10_000), ("pay_as_you_go", 20_000), ("plan_fee", 300_000)]
    assert document(following)["lines"][0]["corrects"] == closing.number
    assert [one.contract_version for one in await billing.booked(account_id)][:3] == [1, 2, 2]
    assert await prove_invoices(billing.books) == []


async def test_a_contract_that_refuses_overage_charges_none(billing: Contracted) -> None:
    account_id = await billing.under(replace(CONTRACT, overage=OverageMode.REFUSE, tiers=()))
    assert (await billing.running(account_id)).overage_millicredits == 0
    await billing.use(account_id, ("parse", 2_000_500))
    (closing,) = await billing.pass_period(account_id)
    assert lines(closing) == [COMMITMENT]


async def test_allow_and_alert_goes_on_without_a_ceiling_at_the_contracts_price(billing: Contracted) -> None:
    account_id = await billing.under(replace(CONTRACT, overage=OverageMode.ALLOW_AND_ALERT))
    await billing.use(account_id, ("parse", 102_000_000))
    (closing,) = await billing.pass_period(account_id)
    # A million at $1.00 and 99 million at $0.80.
    assert lines(closing) == [("pay_as_you_go", 100_000), ("pay_as_you_go", 7_920_000), COMMITMENT]


async def test_a_ceiling_in_money_is_kept_in_credits_across_the_tiers(billing: Contracted) -> None:
    account_id = await billing.under(replace(CONTRACT, max_cents_per_period=140_000))
    assert (await billing.running(account_id)).overage_millicredits == 1_500_000 * CREDIT
    await billing.use(account_id, ("parse", 4_000_000))
    (closing,) = await billing.pass_period(account_id)
    assert lines(closing) == [("pay_as_you_go", 100_000), ("pay_as_you_go", 40_000), COMMITMENT]


async def test_a_part_of_unused_credits_rolls_over_once(billing: Contracted, clock: Clock) -> None:
    account_id = await billing.under(replace(CONTRACT, rollover_parts_per_million=250_000))
    await billing.use(account_id, ("parse", 1_600_000))
    clock.forward(milliseconds=(await billing.running(account_id)).end_ms - epoch_ms(clock()))
    await billing.closer.close_due()
    await billing.contracts.show(account_id)
    start_ms = (await billing.running(account_id)).start_ms
    # Only once its calls are settled does anybody know what is unused.
    assert await billing.granted(account_id, start_ms) == 2 * MILLION
    clock.forward(hours=1)
    for _ in range(3):
        await billing.closer.close_due()
    assert await billing.granted(account_id, start_ms) == 2 * MILLION + 100_000 * CREDIT
