"""Opening, changing, correcting and closing accounts: what the books then say, and that Redis is told."""

from itertools import pairwise

import pytest

from gateway.books import audit, grants, ledger_entries, periods
from gateway.books.books import Books
from gateway.books.ledger_entries import LedgerAccount
from gateway.domain.instant import epoch_ms
from gateway.domain.terms import AccountStatus, Terms
from gateway.flows.accounts import Accounts
from gateway.flows.authenticate import TermsOf
from gateway.flows.change_plan import ChangeAt
from gateway.flows.faults import CallerFault, NoSuchThing
from gateway.flows.rebuild import rebuild
from gateway.flows.reconcile import reconcile
from gateway.ledger.ledger import Ledger
from gateway.ledger.outbox import Outbox
from tests.billing import billing_over
from tests.made_up import CREDIT, PLANS, Clock


async def _terms(terms_of: TermsOf, account_id: str, clock: Clock) -> Terms:
    terms = await terms_of(account_id, clock())
    assert terms is not None
    return terms


async def _periods_tile(books: Books, account_id: str) -> None:
    async with books.read() as conn:
        booked = await periods.of_account(conn, account_id)
        for one, following in pairwise(booked):
            assert one.end_ms == following.start_ms
        for period in booked:
            granted = await grants.granted(conn, account_id, period.start_ms)
            balances = await ledger_entries.balances(conn, account_id, period.start_ms)
            assert balances[LedgerAccount.ISSUED] == -granted
            assert sum(balances.values()) == 0


async def test_a_new_account_can_be_shown_at_once(accounts: Accounts, clock: Clock) -> None:
    opened = await accounts.create("Acme", "starter")
    view = await accounts.show(opened.id)
    assert view.account.name == "Acme"
    assert (view.plan_id, view.pending_plan_id, view.booked_millicredits) == ("starter", None, 0)
    assert view.period.start_ms == epoch_ms(clock())
    assert [(project.id, project.name) for project in view.projects] == [(opened.project_id, "default")]
    (listed,) = await accounts.every()
    assert (listed.account.id, listed.plan_id) == (opened.id, "starter")


@pytest.mark.parametrize(("name", "plan"), [("", "free"), ("a\nb", "free"), ("x" * 201, "free"), ("Acme", "gold")])
async def test_what_is_no_account_is_not_opened(accounts: Accounts, name: str, plan: str) -> None:
    with pytest.raises(CallerFault):
        await accounts.create(name, plan)
    assert await accounts.every() == []


async def test_an_upgrade_takes_effect_at_once_with_the_whole_new_allowance(
    accounts: Accounts, terms_of: TermsOf, clock: Clock, books: Books
) -> None:
    opened = await accounts.create("Acme", "free")
    clock.forward(days=10)
    change = await accounts.change_plan(opened.id, "pro")
    assert (change.previous_plan_id, change.effective_ms) == ("free", epoch_ms(clock()))
    terms = await _terms(terms_of, opened.id, clock)
    (period,) = terms.periods
    assert (period.plan_id, period.start_ms) == ("pro", epoch_ms(clock()))
    assert period.granted_millicredits == 400_000 * CREDIT
    assert terms.version == 2
    await _periods_tile(books, opened.id)
    # The anchor has moved: the next period starts a month after the upgrade.
    clock.forward(days=40)
    assert (await _terms(terms_of, opened.id, clock)).periods[0].start_ms == period.end_ms


async def test_a_downgrade_waits_for_the_period_end_and_keeps_the_anchor(
    accounts: Accounts, terms_of: TermsOf, clock: Clock, books: Books
) -> None:
    opened = await accounts.create("Acme", "pro")
    before = await _terms(terms_of, opened.id, clock)
    change = await accounts.change_plan(opened.id, "free")
    assert change.effective_ms == before.periods[0].end_ms
    view = await accounts.show(opened.id)
    assert (view.plan_id, view.pending_plan_id) == ("pro", "free")
    clock.forward(days=32)
    after = await accounts.show(opened.id)
    assert (after.plan_id, after.pending_plan_id) == ("free", None)
    assert after.period.granted_millicredits == 10_000 * CREDIT
    assert after.period.start_ms == change.effective_ms
    await _periods_tile(books, opened.id)


@pytest.mark.parametrize("day", [1, 30.5])
async def test_a_downgrade_taken_back_changes_nothing(
    accounts: Accounts, terms_of: TermsOf, clock: Clock, books: Books, day: float
) -> None:
    opened = await accounts.create("Acme", "pro")
    # On the last day of some months the next period is granted already; there too.
    clock.forward(days=day)
    before = await _terms(terms_of, opened.id, clock)
    await accounts.change_plan(opened.id, "free")
    await accounts.change_plan(opened.id, "starter")
    await accounts.change_plan(opened.id, "pro")
    after = await _terms(terms_of, opened.id, clock)
    assert after.periods == before.periods
    assert (await accounts.show(opened.id)).pending_plan_id is None
    clock.forward(days=32)
    assert (await _terms(terms_of, opened.id, clock)).periods[0].plan_id == "pro"
    await _periods_tile(books, opened.id)


async def _last_hours(accounts: Accounts, terms_of: TermsOf, clock: Clock, plan: str) -> tuple[str, Terms]:
    """An account whose next period is booked already."""
    opened = await accounts.create("Acme", plan)
    end_ms = (await _terms(terms_of, opened.id, clock)).periods[0].end_ms
    clock.forward(milliseconds=end_ms - epoch_ms(clock()) - 6 * 3_600_000)
    terms = await _terms(terms_of, opened.id, clock)
    assert len(terms.periods) == 2
    return opened.id, terms


async def test_a_downgrade_in_the_last_hours_revises_what_was_granted_ahead(
    accounts: Accounts, terms_of: TermsOf, clock: Clock, books: Books
) -> None:
    account_id, before = await _last_hours(accounts, terms_of, clock, "pro")
    await accounts.change_plan(account_id, "free")
    after = await _terms(terms_of, account_id, clock)
    assert after.version > before.version
    assert after.periods[0] == before.periods[0]
    assert (after.periods[1].plan_id, after.periods[1].granted_millicredits) == ("free", 10_000 * CREDIT)
    assert after.periods[1].overage_millicredits == 0
    await _periods_tile(books, account_id)


async def test_an_upgrade_in_the_last_hours_withdraws_what_was_granted_ahead(
    accounts: Accounts, terms_of: TermsOf, clock: Clock, books: Books, ledger: Ledger, outbox: Outbox
) -> None:
    account_id, before = await _last_hours(accounts, terms_of, clock, "free")
    await accounts.change_plan(account_id, "starter")
    after = await _terms(terms_of, account_id, clock)
    (period,) = after.periods
    assert (period.plan_id, period.granted_millicredits) == ("starter", 40_000 * CREDIT)
    async with books.read() as conn:
        assert await grants.granted(conn, account_id, before.periods[1].start_ms) == 0
    await _periods_tile(books, account_id)
    await rebuild(books, ledger, outbox, after)
    assert (await reconcile(books, ledger)).ok


async def test_two_downgrades_and_an_upgrade_in_one_instant_leave_one_plan(
    accounts: Accounts, terms_of: TermsOf, clock: Clock, books: Books
) -> None:
    opened = await accounts.create("Acme", "starter")
    await accounts.change_plan(opened.id, "free")
    await accounts.change_plan(opened.id, "free")
    await accounts.change_plan(opened.id, "pro")
    view = await accounts.show(opened.id)
    assert (view.plan_id, view.pending_plan_id) == ("pro", None)
    await _periods_tile(books, opened.id)
    clock.forward(days=70)
    assert (await accounts.show(opened.id)).plan_id == "pro"


async def test_an_operator_may_say_when(accounts: Accounts) -> None:
    opened = await accounts.create("Acme", "pro")
    await accounts.change_plan(opened.id, "free", when=ChangeAt.NOW, reason="asked for it")
    assert (await accounts.show(opened.id)).plan_id == "free"
    await accounts.change_plan(opened.id, "pro", when=ChangeAt.PERIOD_END)
    view = await accounts.show(opened.id)
    assert (view.plan_id, view.pending_plan_id) == ("free", "pro")


async def test_an_adjustment_is_granted_once_and_says_why(
    accounts: Accounts, terms_of: TermsOf, clock: Clock, books: Books
) -> None:
    opened = await accounts.create("Acme", "free")
    adjusted = await accounts.adjust(opened.id, 500 * CREDIT, reason="sorry for the outage")
    assert adjusted.granted_millicredits == 10_500 * CREDIT
    await accounts.adjust(opened.id, -10_500 * CREDIT, reason="that was too much")
    terms = await _terms(terms_of, opened.id, clock)
    assert (terms.periods[0].granted_millicredits, terms.version) == (0, 3)
    await _periods_tile(books, opened.id)
    async with books.read() as conn:
        newest, *_ = await audit.of_account(conn, opened.id)
    assert newest.action == "account.adjust"
    assert newest.detail["credits"] == "-10500"
    assert newest.detail["reason"] == "that was too much"


@pytest.mark.parametrize(("amount", "reason"), [(0, "nothing"), (-10_001 * CREDIT, "too much"), (1, " "), (2**53, "?")])
async def test_an_adjustment_that_makes_no_sense_is_refused(accounts: Accounts, amount: int, reason: str) -> None:
    opened = await accounts.create("Acme", "free")
    with pytest.raises(CallerFault):
        await accounts.adjust(opened.id, amount, reason=reason)
    assert (await accounts.show(opened.id)).period.granted_millicredits == 10_000 * CREDIT


async def test_a_closed_account_stays_closed(accounts: Accounts, terms_of: TermsOf, clock: Clock) -> None:
    opened = await accounts.create("Acme", "pro")
    await accounts.change_plan(opened.id, "free")
    await accounts.close(opened.id, reason="asked for it")
    await accounts.close(opened.id)
    terms = await _terms(terms_of, opened.id, clock)
    assert (terms.status, terms.version) == (AccountStatus.CLOSED, 3)
    with pytest.raises(CallerFault, match="is closed"):
        await accounts.change_plan(opened.id, "pro")
    clock.forward(days=100)
    late = await _terms(terms_of, opened.id, clock)
    assert late.periods == terms.periods
    (listed,) = await accounts.every()
    assert (listed.account.status, listed.plan_id) == (AccountStatus.CLOSED, None)


async def test_ids_that_do_not_exist_are_said(accounts: Accounts) -> None:
    for asked in (
        accounts.show("acc_none"),
        accounts.projects("acc_none"),
        accounts.change_plan("acc_none", "pro"),
        accounts.adjust("acc_none", 1, reason="why"),
        accounts.close("acc_none"),
        accounts.create_project("acc_none", "one"),
    ):
        with pytest.raises(NoSuchThing, match="acc_none"):
            await asked


async def test_projects_have_names_of_their_own(accounts: Accounts) -> None:
    opened = await accounts.create("Acme", "free")
    await accounts.create_project(opened.id, "invoices")
    with pytest.raises(CallerFault, match="already"):
        await accounts.create_project(opened.id, "invoices")
    assert [project.name for project in await accounts.projects(opened.id)] == ["default", "invoices"]


async def test_redis_is_told_of_a_change_at_once(
    accounts: Accounts, terms_of: TermsOf, clock: Clock, ledger: Ledger, outbox: Outbox, books: Books
) -> None:
    opened = await accounts.create("Acme", "free")
    # An account that Redis does not know is rebuilt when it is first called, never made by being told of.
    assert (await ledger.counters(opened.id)).epoch is None
    await rebuild(books, ledger, outbox, await _terms(terms_of, opened.id, clock))
    await accounts.adjust(opened.id, CREDIT, reason="one more")
    counters = await ledger.counters(opened.id)
    assert counters.terms_version == 2
    assert [period.granted_millicredits for period in counters.periods.values()] == [10_001 * CREDIT]


async def test_the_books_change_though_redis_is_away(books: Books, clock: Clock) -> None:
    from gateway.flows.tell_ledger import TellLedger
    from gateway.ledger.connection import RedisConnection

    away = RedisConnection("redis://127.0.0.1:1")
    await away.open()
    tell = TellLedger(books=books, ledger=Ledger(away), plans=lambda: PLANS, clock=clock)
    accounts = Accounts(billing_over(books, clock, tell=tell))
    opened = await accounts.create("Acme", "free")
    await accounts.change_plan(opened.id, "pro")
    await away.close()
    assert not await tell(opened.id)
    assert (await accounts.show(opened.id)).plan_id == "pro"
