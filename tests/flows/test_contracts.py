"""Contracts of accounts: when a version begins, what it changes of what was agreed before, and who learns of it."""

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial

import pytest
from sqlalchemy import func, select, text
from sqlalchemy.exc import DBAPIError

from gateway.books import audit, limits
from gateway.books.books import Books
from gateway.books.tables import grants
from gateway.domain.admission import RefusalCode, Refused
from gateway.domain.contract import BillingPeriod, Contract, OverageMode
from gateway.domain.instant import DAY_MS, epoch_ms
from gateway.domain.limits import SpendLimits
from gateway.domain.plan import RateLimit
from gateway.domain.quote import Quote
from gateway.flows.admit import Admission, Allowed, Asked
from gateway.flows.alerts import AlertWatch
from gateway.flows.authenticate import Directory
from gateway.flows.change_plan import ChangeAt
from gateway.flows.contracts import Contracts, ContractState
from gateway.flows.faults import CallerFault, NoSuchThing
from gateway.flows.issue_invoice import Closer
from gateway.flows.keys import Keys
from gateway.flows.preview_plan import TakesEffect, foresee_plan
from gateway.flows.prove_invoices import prove_invoices
from gateway.flows.rebuild import Rebuilder
from gateway.flows.reconcile import reconcile
from gateway.flows.tell_ledger import TellLedger
from gateway.flows.terms import current_terms
from gateway.ledger.ledger import Ledger
from gateway.ledger.outbox import Outbox
from gateway.wire.route import Route
from tests.billing import billing_over
from tests.flows import calls
from tests.flows.conftest import PEPPER
from tests.flows.contracted import CONTRACT, MILLION, SOLD, Contracted, contracted_over, lines
from tests.made_up import CREDIT, Clock


@pytest.fixture
def billing(books: Books, clock: Clock) -> Contracted:
    return contracted_over(books, clock)


async def test_the_first_contract_begins_at_once_and_charges_its_price(billing: Contracted, clock: Clock) -> None:
    account_id = await billing.open("enterprise")
    clock.forward(days=3)
    agreed = await billing.contracts.agree(account_id, CONTRACT, reason="C-1")
    running = await billing.running(account_id)
    assert agreed.version.effective_ms == epoch_ms(clock()) == running.start_ms
    assert agreed.invoice is not None
    assert lines(agreed.invoice) == [("plan_fee", 200_000)]
    assert (running.allowance_millicredits, running.contract_version) == (2 * MILLION, 1)


async def test_an_account_without_a_contract_is_on_the_plan_as_it_is_sold(billing: Contracted) -> None:
    account_id = await billing.open("enterprise")
    assert (await billing.running(account_id)).allowance_millicredits == 0
    view = await billing.contracts.show(account_id)
    assert (view.plan_id, view.in_force, view.versions) == ("enterprise", None, ())


async def test_an_account_of_another_plan_is_put_on_its_contract_like_an_upgrade(
    billing: Contracted, clock: Clock
) -> None:
    account_id = await billing.open("starter")
    await billing.use(account_id, ("parse", 15_000))
    clock.forward(days=3)
    agreed = await billing.contracts.agree(account_id, CONTRACT, reason="C-1")
    assert agreed.invoice is not None
    assert lines(agreed.invoice) == [("plan_fee", 200_000), ("unused_allowance", -3_125)]
    assert (await billing.running(account_id)).plan_id == "enterprise"


async def test_an_account_of_another_plan_can_wait_for_its_contract_until_its_period_ends(
    billing: Contracted, clock: Clock
) -> None:
    account_id = await billing.open("starter")
    end_ms = (await billing.running(account_id)).end_ms
    # A day before the boundary the next period is booked already: it is given the contract's terms.
    clock.forward(milliseconds=end_ms - DAY_MS // 2 - epoch_ms(clock()))
    await current_terms(billing.books, SOLD, account_id, clock())
    starts_ms = epoch_ms(clock()) + 1
    await billing.contracts.agree(account_id, CONTRACT, reason="C-1", starts_ms=starts_ms)
    quarterly = replace(CONTRACT, period=BillingPeriod.QUARTERLY)
    agreed = await billing.contracts.agree(account_id, quarterly, reason="C-2", starts_ms=starts_ms)
    assert (agreed.version.effective_ms, agreed.invoice) == (end_ms, None)
    ahead = (await billing.booked(account_id))[-1]
    assert (ahead.plan_id, ahead.contract_version, ahead.allowance_millicredits) == ("enterprise", 2, 2 * MILLION)
    assert await billing.granted(account_id, end_ms) == 2 * MILLION
    assert 89 * DAY_MS <= ahead.end_ms - ahead.start_ms <= 92 * DAY_MS
    with pytest.raises(CallerFault, match="can start now or when"):
        await billing.contracts.agree(account_id, CONTRACT, reason="C-3", starts_ms=end_ms + DAY_MS)


async def test_a_version_can_begin_at_a_later_boundary_and_be_replaced_before_it_does(
    billing: Contracted, clock: Clock
) -> None:
    clock.now = datetime(2026, 1, 31, 9, tzinfo=UTC)
    account_id = await billing.under()
    spring = epoch_ms(datetime(2026, 4, 1, tzinfo=UTC))
    later = await billing.contracts.agree(account_id, replace(CONTRACT, price_cents=1), reason="C-2", starts_ms=spring)
    assert later.version.effective_ms == epoch_ms(datetime(2026, 4, 30, 9, tzinfo=UTC))
    await billing.contracts.agree(account_id, replace(CONTRACT, price_cents=2), reason="C-3")
    for _ in range(4):
        await billing.pass_period(account_id)
    booked = await billing.booked(account_id)
    assert [one.contract_version for one in booked] == [1, 3, 3, 3, 3]
    states = [state for _, state in (await billing.contracts.show(account_id)).versions]
    assert states == [ContractState.IN_FORCE, ContractState.PAST, ContractState.PAST]


async def test_a_replaced_version_says_so(billing: Contracted) -> None:
    account_id = await billing.under()
    for number in (2, 3):
        await billing.contracts.agree(account_id, CONTRACT, reason=f"C-{number}")
    states = [state for _, state in (await billing.contracts.show(account_id)).versions]
    assert states == [ContractState.PLANNED, ContractState.REPLACED, ContractState.IN_FORCE]


async def test_a_contract_ends_with_a_period_and_the_plans_own_terms_go_on(billing: Contracted, clock: Clock) -> None:
    account_id = await billing.under()
    clock.forward(days=2)
    ended = await billing.contracts.end(account_id, reason="left")
    assert ended.effective_ms == (await billing.running(account_id)).end_ms
    assert await billing.pass_period(account_id) == []
    running = await billing.running(account_id)
    assert (running.plan_id, running.contract_version, running.allowance_millicredits) == ("enterprise", None, 0)
    with pytest.raises(CallerFault, match="has no contract"):
        await billing.contracts.end(account_id, reason="again")


async def test_a_contract_with_an_end_runs_until_the_first_boundary_at_or_after_it(
    billing: Contracted, clock: Clock
) -> None:
    clock.now = datetime(2026, 1, 31, 9, tzinfo=UTC)
    ends_ms = epoch_ms(datetime(2026, 3, 1, tzinfo=UTC))
    account_id = await billing.under(replace(CONTRACT, ends_ms=ends_ms))
    for _ in range(3):
        await billing.pass_period(account_id)
    assert [one.contract_version for one in await billing.booked(account_id)] == [1, 1, None, None]
    with pytest.raises(CallerFault, match="would end before it starts"):
        await billing.contracts.agree(account_id, replace(CONTRACT, ends_ms=ends_ms), reason="too late")


async def test_a_contract_is_left_at_period_end_and_taking_that_back_keeps_it(
    billing: Contracted, clock: Clock
) -> None:
    account_id = await billing.under(replace(CONTRACT, period=BillingPeriod.QUARTERLY))
    end_ms = (await billing.running(account_id)).end_ms
    clock.forward(milliseconds=end_ms - DAY_MS // 2 - epoch_ms(clock()))
    await current_terms(billing.books, SOLD, account_id, clock())
    told = await foresee_plan(billing_over(billing.books, clock, plans=SOLD), account_id, "pro", when=None)
    assert (told.takes_effect, told.effective_ms) == (TakesEffect.PERIOD_END, end_ms)
    await billing.accounts.change_plan(account_id, "pro")
    ahead = (await billing.booked(account_id))[-1]
    assert (ahead.plan_id, ahead.contract_version, ahead.end_ms - end_ms < 32 * DAY_MS) == ("pro", None, True)
    with pytest.raises(CallerFault, match="take that back first"):
        await billing.contracts.agree(account_id, CONTRACT, reason="C-2")
    await billing.accounts.change_plan(account_id, "enterprise")
    ahead = (await billing.booked(account_id))[-1]
    assert (ahead.plan_id, ahead.contract_version, ahead.end_ms - end_ms > 88 * DAY_MS) == ("enterprise", 1, True)
    assert await billing.granted(account_id, end_ms) == 2 * MILLION


async def test_whoever_comes_back_to_the_plan_agrees_anew(billing: Contracted, clock: Clock) -> None:
    account_id = await billing.under()
    clock.forward(days=1)
    await billing.accounts.change_plan(account_id, "free", when=ChangeAt.NOW, reason="asked for it")
    clock.forward(days=1)
    await billing.accounts.change_plan(account_id, "enterprise", when=ChangeAt.NOW)
    assert (await billing.running(account_id)).contract_version is None


async def test_every_version_is_in_the_audit_log_with_what_was_before(billing: Contracted) -> None:
    account_id = await billing.under()
    await billing.contracts.agree(account_id, replace(CONTRACT, price_cents=5), reason="C-2", actor="ada")
    async with billing.books.read() as conn:
        amended, first = [one for one in await audit.of_account(conn, account_id) if one.action.startswith("contract.")]
    assert (amended.actor, amended.detail["reason"], amended.detail["version"]) == ("ada", "C-2", 2)
    assert (amended.detail["before"]["price_cents"], amended.detail["after"]["price_cents"]) == (200_000, 5)
    assert first.detail["before"] is None


async def test_a_version_that_was_agreed_never_changes(billing: Contracted) -> None:
    await billing.under()
    for statement in ("UPDATE contracts SET effective_ms = 0", "DELETE FROM contracts"):
        with pytest.raises(DBAPIError):
            async with billing.books.begin() as conn:
                await conn.execute(text(statement))


@pytest.mark.parametrize("wrong", ["reason", "account", "closed"])
async def test_what_makes_no_sense_is_refused_and_changes_nothing(billing: Contracted, wrong: str) -> None:
    account_id = await billing.open("enterprise")
    if wrong == "closed":
        await billing.accounts.close(account_id)
    named = "acc_none" if wrong == "account" else account_id
    with pytest.raises(NoSuchThing if wrong == "account" else CallerFault):
        await billing.contracts.agree(named, CONTRACT, reason=" " if wrong == "reason" else "C-1")
    async with billing.books.read() as conn:
        assert (await conn.execute(text("SELECT COUNT(*) FROM contracts"))).scalar_one() == 0


async def test_two_who_agree_at_once_make_two_versions(billing: Contracted) -> None:
    account_id = await billing.under()
    made = await asyncio.gather(
        *(billing.contracts.agree(account_id, CONTRACT, reason=f"C-{number}") for number in range(3))
    )
    assert sorted(one.version.version for one in made) == [2, 3, 4]


async def test_a_contracts_limits_are_those_of_the_very_next_call_in_every_process(
    billing: Contracted, books: Books, ledger: Ledger, outbox: Outbox, clock: Clock
) -> None:
    terms_of = partial(current_terms, books, SOLD)
    directory = Directory(books=books, terms_of=terms_of, pepper=PEPPER, clock=clock)
    rebuild = Rebuilder(books=books, ledger=ledger, outbox=outbox, terms_of=terms_of, clock=clock)
    admission = Admission(ledger, directory, load=rebuild, plans=lambda: SOLD, clock=clock)
    tell = TellLedger(books=books, ledger=ledger, plans=lambda: SOLD, clock=clock)
    account_id = await billing.open("enterprise")
    secret = (await Keys(books=books, tell=tell, pepper=PEPPER, clock=clock).create(account_id)).secret
    caller = await directory.find(secret.encode())
    assert caller is not None
    route = Route("parse", "POST", "/parse", "parse", limit="requests")
    quote = Quote("parse", "fast", "page", 100, 100, (), "1", CREDIT, CREDIT)
    asked = [Asked(f"req_{number:032x}", route, quote) for number in range(9)]
    assert isinstance(await admission.admit(caller, asked[0]), Refused)
    contracts = Contracts(billing_over(books, clock, plans=SOLD, tell=tell))
    limited = replace(CONTRACT, rate_limits={"requests": RateLimit("requests", 2, 60_000)}, concurrent_calls=1)
    await contracts.agree(account_id, limited, reason="C-1")
    # What this process knows of the account is from before.
    allowed = await admission.admit(caller, asked[1])
    assert isinstance(allowed, Allowed)
    second = await admission.admit(caller, asked[2])
    assert isinstance(second, Refused)
    assert second.code is RefusalCode.TOO_MANY_CONCURRENT_CALLS
    await ledger.release(asked[1].hold_id, account_id, settlement=calls.DELIVERED)
    assert isinstance(await admission.admit(caller, asked[3]), Allowed)
    await ledger.release(asked[3].hold_id, account_id, settlement=calls.DELIVERED)
    third = await admission.admit(caller, asked[4])
    assert isinstance(third, Refused)
    assert third.code is RefusalCode.RATE_LIMITED


async def test_rolled_over_credits_can_be_used_at_the_very_next_call(
    billing: Contracted, books: Books, ledger: Ledger, outbox: Outbox, clock: Clock
) -> None:
    rolling = Contract(1_000 * CREDIT, 100, rollover_parts_per_million=500_000)
    account_id = await billing.under(rolling)
    tell = TellLedger(books=books, ledger=ledger, plans=lambda: SOLD, clock=clock)
    closer = Closer(billing_over(books, clock, plans=SOLD, tell=tell), longest_hold_ms=lambda: 0)
    end_ms = (await billing.running(account_id)).end_ms
    clock.forward(milliseconds=end_ms - epoch_ms(clock()))
    rebuild = Rebuilder(
        books=books, ledger=ledger, outbox=outbox, terms_of=partial(current_terms, books, SOLD), clock=clock
    )
    await rebuild(account_id)
    clock.forward(hours=1)
    await closer.close_due()
    counters = await ledger.counters(account_id)
    assert counters.periods[end_ms].granted_millicredits == 1_500 * CREDIT
    assert (await reconcile(books, ledger)).ok


async def test_overage_without_a_ceiling_raises_an_alert_whatever_the_account_wants_to_hear(
    billing: Contracted, clock: Clock
) -> None:
    account_id = await billing.under(replace(CONTRACT, overage=OverageMode.ALLOW_AND_ALERT))
    async with billing.books.begin() as conn:
        await limits.set_own(conn, account_id, SpendLimits(alert_percents=()), epoch_ms(clock()))
    watch = AlertWatch(books=billing.books, clock=clock)
    start_ms = (await billing.running(account_id)).start_ms
    await billing.use(account_id, ("parse", 1_999_999))
    assert await watch.notice([(account_id, start_ms)]) == []
    await billing.use(account_id, ("parse", 1_000))
    (raised,) = await watch.notice([(account_id, start_ms)])
    assert raised.threshold == 100
    assert await watch.notice([(account_id, start_ms)]) == []


async def test_credits_roll_over_once_whoever_closes_and_however_often(billing: Contracted, clock: Clock) -> None:
    account_id = await billing.under(Contract(1_000 * CREDIT, 100, rollover_parts_per_million=1_000_000))
    clock.now += timedelta(days=100)
    closers = [Closer(billing_over(billing.books, clock, plans=SOLD), longest_hold_ms=lambda: 0) for _ in range(3)]
    await asyncio.gather(*(closer.close_due() for closer in closers))
    await closers[0].close_due()
    granted = [await billing.granted(account_id, one.start_ms) for one in await billing.booked(account_id)]
    assert granted == [1_000 * CREDIT, 2_000 * CREDIT, 3_000 * CREDIT, 4_000 * CREDIT]
    async with billing.books.read() as conn:
        query = select(func.count()).where(grants.c.account_id == account_id, grants.c.kind == "rollover")
        assert (await conn.execute(query)).scalar_one() == 3
    assert await prove_invoices(billing.books) == []


async def test_nothing_rolls_over_from_a_period_that_an_upgrade_cut_short(billing: Contracted, clock: Clock) -> None:
    account_id = await billing.under(Contract(1_000 * CREDIT, 100, rollover_parts_per_million=1_000_000))
    clock.forward(days=3)
    await billing.accounts.change_plan(account_id, "pro", when=ChangeAt.NOW)
    await billing.closer.close_due()
    running = await billing.running(account_id)
    assert await billing.granted(account_id, running.start_ms) == 400_000 * CREDIT
