"""What an account limits itself to: in force at the next call, charged as it was, and the same after Redis was lost."""

from dataclasses import replace

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.books import accounts as booked_accounts
from gateway.books import audit, invoices, periods, usage
from gateway.books.books import Books
from gateway.domain.admission import Admitted, RefusalCode, Refused
from gateway.domain.instant import DAY_MS, HOUR_MS, epoch_ms
from gateway.domain.limits import GRACE_MS, CeilingBy, SpendLimits
from gateway.domain.quote import Quote
from gateway.domain.terms import AccountStatus, Terms
from gateway.flows.accounts import Accounts
from gateway.flows.admit import Admission, Allowed, Asked
from gateway.flows.authenticate import Directory, TermsOf
from gateway.flows.faults import CallerFault, NoSuchThing, WrongParameter
from gateway.flows.foresee import Foresight
from gateway.flows.issue_invoice import Closer
from gateway.flows.keys import Keys
from gateway.flows.limits import Limits
from gateway.flows.prove_invoices import prove_invoices
from gateway.flows.rebuild import Rebuilder
from gateway.flows.reconcile import reconcile
from gateway.flows.relay import Relay
from gateway.flows.tell_ledger import TellLedger
from gateway.ledger.answers import AdmitCall, NotProjected, Reproject
from gateway.ledger.connection import RedisConnection
from gateway.ledger.keys import account_prefix, period_key
from gateway.ledger.ledger import Ledger
from gateway.ledger.outbox import Outbox
from gateway.wire.call_facts import facts_json
from gateway.wire.route import Route
from tests.billing import billing_over
from tests.flows.calls import DELIVERED
from tests.flows.conftest import PEPPER
from tests.made_up import CREDIT, PLANS, Clock, event, facts

DOLLAR = 800 * CREDIT


@pytest.fixture
def limits(books: Books, tell: TellLedger, clock: Clock, ledger: Ledger) -> Limits:
    return Limits(billing_over(books, clock, ledger=ledger, tell=tell), ledger)


@pytest.fixture
def rebuilder(books: Books, ledger: Ledger, outbox: Outbox, terms_of: TermsOf, clock: Clock) -> Rebuilder:
    return Rebuilder(books=books, ledger=ledger, outbox=outbox, terms_of=terms_of, clock=clock)


@pytest.fixture
async def account_id(accounts: Accounts, rebuilder: Rebuilder) -> str:
    """A Starter account that Redis knows: 40,000 credits, then up to $500."""
    opened = await accounts.create("Acme", "starter")
    await rebuilder(opened.id)
    return opened.id


@pytest.fixture
async def project_id(accounts: Accounts, account_id: str) -> str:
    return (await accounts.projects(account_id))[0].id


class Calls:
    """Calls under the account's newest terms, each of an exact cost."""

    def __init__(self, ledger: Ledger, terms_of: TermsOf, clock: Clock, rebuilder: Rebuilder, account_id: str) -> None:
        self._ledger, self._terms_of, self._clock = ledger, terms_of, clock
        self._rebuilder, self._account_id = rebuilder, account_id
        self._number = 0

    async def terms(self) -> Terms:
        terms = await self._terms_of(self._account_id, self._clock())
        assert terms is not None
        return terms

    async def admit(self, cost: int, *, project_id: str = "prj_1", key_id: str = "key_1") -> Admitted | Refused:
        self._number += 1
        hold_id = f"req_{self._number:032x}"
        told = replace(facts(self._account_id, hold_id), project_id=project_id, key_id=key_id)
        asked = AdmitCall(hold_id, hold_id, await self.terms(), (), None, cost, cost, 60_000, facts_json(told))
        answer = await self._ledger.admit(asked)
        while isinstance(answer, NotProjected):
            assert answer.reason in {Reproject.UNCOUNTED, Reproject.UNKNOWN}
            await self._rebuilder(self._account_id)
            answer = await self._ledger.admit(asked)
        return answer

    async def run(self, cost: int, *, project_id: str = "prj_1", key_id: str = "key_1") -> None:
        assert isinstance(await self.admit(cost, project_id=project_id, key_id=key_id), Admitted)
        hold_id = f"req_{self._number:032x}"
        await self._ledger.capture(hold_id, self._account_id, cost_millicredits=None, cap=False, settlement=DELIVERED)


@pytest.fixture
def calls(ledger: Ledger, terms_of: TermsOf, clock: Clock, rebuilder: Rebuilder, account_id: str) -> Calls:
    return Calls(ledger, terms_of, clock, rebuilder, account_id)


async def refused(calls: Calls, cost: int, **whose: str) -> tuple[RefusalCode, str]:
    answer = await calls.admit(cost, **whose)
    assert isinstance(answer, Refused), answer
    return answer.code, answer.limit_name


async def test_the_switch_and_the_own_limit_count_at_the_next_call(
    limits: Limits, calls: Calls, account_id: str, terms_of: TermsOf
) -> None:
    await calls.run(40_000 * CREDIT)
    view = await limits.change(account_id, lambda own: replace(own, max_cents=100))
    assert (view.ceiling.millicredits, view.ceiling.by) == (DOLLAR, CeilingBy.ACCOUNT)
    await calls.run(DOLLAR)
    assert await refused(calls, 1) == (RefusalCode.SPEND_LIMIT_REACHED, "account")
    await limits.change(account_id, lambda own: replace(own, pay_as_you_go=False))
    assert await refused(calls, 1) == (RefusalCode.CREDITS_EXHAUSTED, "pay_as_you_go_off")
    await limits.change(account_id, lambda _: SpendLimits())
    await calls.run(499 * DOLLAR)
    assert await refused(calls, 1) == (RefusalCode.SPEND_LIMIT_REACHED, "plan")


async def test_a_failed_payment_is_what_is_told_while_pay_as_you_go_would_go_on(
    calls: Calls, account_id: str, books: Books, tell: TellLedger
) -> None:
    await calls.run(40_000 * CREDIT)
    async with books.begin() as conn:
        await booked_accounts.set_status(conn, account_id, AccountStatus.PAYMENT_FAILED, 1)
        await booked_accounts.raise_terms_version(conn, account_id)
    await tell(account_id)
    assert await refused(calls, 1) == (RefusalCode.PAYMENT_REQUIRED, "")


async def _close(books: Books, ledger: Ledger, clock: Clock, account_id: str) -> list[tuple[str, int]]:
    async with books.read() as conn:
        last = await periods.latest(conn, account_id)
        assert last is not None
    clock.forward(milliseconds=last.end_ms - epoch_ms(clock()) + HOUR_MS)
    closer = Closer(billing_over(books, clock, ledger=ledger), longest_hold_ms=lambda: HOUR_MS)
    await closer.close_due()
    assert await prove_invoices(books) == []
    async with books.read() as conn:
        newest = (await invoices.of_account(conn, account_id))[0]
        return await _lines(conn, newest.id)


async def _lines(conn: AsyncConnection, invoice_id: str) -> list[tuple[str, int]]:
    query = text("SELECT kind, amount_cents FROM invoice_lines WHERE invoice_id = :id ORDER BY position")
    return [(row[0], row[1]) for row in await conn.execute(query, {"id": invoice_id})]


async def _use(books: Books, account_id: str, number: int, credits_: int, at_ms: int) -> None:
    async with books.begin() as conn:
        period = await periods.latest(conn, account_id)
        assert period is not None
        used = event(
            account_id,
            number,
            captured=credits_ * CREDIT,
            period_start_ms=period.start_ms,
            admitted_at_ms=at_ms,
        )
        await usage.book(conn, [used])


async def test_what_was_used_before_pay_as_you_go_was_switched_off_stays_charged(
    limits: Limits, books: Books, ledger: Ledger, clock: Clock, account_id: str
) -> None:
    await _use(books, account_id, 1, 60_000, epoch_ms(clock()))
    clock.forward(days=1)
    await limits.change(account_id, lambda own: replace(own, pay_as_you_go=False))
    # A job that ran on is charged under what counted when it began; one that began later, beyond its hold, is not.
    await _use(books, account_id, 2, 800, epoch_ms(clock()) - DAY_MS)
    await _use(books, account_id, 3, 1600, epoch_ms(clock()) + GRACE_MS)
    assert await _close(books, ledger, clock, account_id) == [("pay_as_you_go", 2_600), ("plan_fee", 5_000)]
    async with books.read() as conn:
        query = text("SELECT SUM(written_off_millicredits) FROM closed_usage WHERE account_id = :id")
        assert (await conn.execute(query, {"id": account_id})).scalar_one() == 1600 * CREDIT


async def test_what_was_used_under_a_raised_ceiling_is_charged(
    limits: Limits, books: Books, ledger: Ledger, clock: Clock, account_id: str
) -> None:
    until_ms = epoch_ms(clock()) + DAY_MS
    await limits.raise_ceiling(account_id, max_cents=60_000, until_ms=until_ms, reason="a big batch")
    await _use(books, account_id, 1, 40_000 + 472_000, epoch_ms(clock()) + HOUR_MS)
    await _use(books, account_id, 2, 100_000, until_ms + HOUR_MS)
    assert await _close(books, ledger, clock, account_id) == [("pay_as_you_go", 59_000), ("plan_fee", 5_000)]


async def test_a_raise_counts_at_once_and_ends_by_itself(
    limits: Limits, calls: Calls, account_id: str, clock: Clock, ledger: Ledger
) -> None:
    await calls.run(40_000 * CREDIT + 500 * DOLLAR)
    assert await refused(calls, 1) == (RefusalCode.SPEND_LIMIT_REACHED, "plan")
    until_ms = epoch_ms(clock()) + DAY_MS
    view = await limits.raise_ceiling(account_id, max_cents=60_000, until_ms=until_ms, reason="a big batch")
    assert (view.ceiling.by, view.raised is not None) == (CeilingBy.RAISE, True)
    assert isinstance(await calls.admit(DOLLAR), Admitted)
    (period,) = (await calls.terms()).periods
    assert period.change is not None
    assert (period.ceiling_at(until_ms - 1).millicredits, period.ceiling_at(until_ms).millicredits) == (
        600 * DOLLAR,
        500 * DOLLAR,
    )
    clock.forward(days=1)
    (plain,) = (await calls.terms()).periods
    assert (plain.overage_millicredits, plain.change) == (500 * DOLLAR, None)
    assert (await limits.get(account_id)).raised is None


async def test_a_raise_that_is_ended_early_counts_no_more(
    limits: Limits, calls: Calls, account_id: str, clock: Clock
) -> None:
    await calls.run(40_000 * CREDIT + 500 * DOLLAR)
    until_ms = epoch_ms(clock()) + DAY_MS
    await limits.raise_ceiling(account_id, max_millicredits=501 * DOLLAR, until_ms=until_ms, reason="a little")
    await calls.run(CREDIT)
    await limits.end_raise(account_id, reason="done")
    assert await refused(calls, 1) == (RefusalCode.SPEND_LIMIT_REACHED, "plan")


async def test_a_budget_counts_what_its_project_used_before_and_survives_the_loss_of_redis(
    limits: Limits,
    calls: Calls,
    account_id: str,
    project_id: str,
    books: Books,
    ledger: Ledger,
    outbox: Outbox,
    redis: RedisConnection,
) -> None:
    await calls.run(30 * CREDIT, project_id=project_id)
    await Relay(outbox=outbox, books=books, consumer="one", block_ms=0).drain_once()
    await calls.run(20 * CREDIT, project_id=project_id)
    await calls.run(500 * CREDIT, project_id="prj_else")
    await limits.set_budget(account_id, project_id, 100 * CREDIT)
    assert isinstance(await calls.admit(10 * CREDIT, project_id=project_id), Admitted)
    (budget,) = (await limits.get(account_id)).budgets
    assert (budget.captured_millicredits, budget.held_millicredits) == (50 * CREDIT, 10 * CREDIT)
    assert await refused(calls, 60 * CREDIT, project_id=project_id) == (RefusalCode.SPEND_LIMIT_REACHED, project_id)
    assert (await reconcile(books, ledger)).ok
    await Relay(outbox=outbox, books=books, consumer="one", block_ms=0).drain_once()
    await redis.execute("FLUSHALL", key="any")
    assert isinstance(await calls.admit(50 * CREDIT, project_id=project_id), Admitted)
    assert await refused(calls, 1, project_id=project_id) == (RefusalCode.CREDITS_HELD, project_id)
    assert (await reconcile(books, ledger)).ok
    await limits.remove_budget(account_id, project_id)
    assert isinstance(await calls.admit(60 * CREDIT, project_id=project_id), Admitted)


async def test_reconcile_shows_a_budget_that_redis_counts_wrong(
    limits: Limits,
    calls: Calls,
    account_id: str,
    project_id: str,
    books: Books,
    ledger: Ledger,
    redis: RedisConnection,
) -> None:
    await limits.set_budget(account_id, project_id, 100 * CREDIT)
    await calls.run(10 * CREDIT, project_id=project_id)
    start_ms = (await calls.terms()).periods[0].start_ms
    key = period_key(account_prefix(account_id), account_id, start_ms)
    for field in (f"captured:{project_id}", f"held:{project_id}", f"limit:{project_id}"):
        await redis.execute("HINCRBY", key, field, 7, key=key)
    report = await reconcile(books, ledger)
    assert [(one.what.partition(" of ")[0], one.found - one.expected) for one in report.differences] == [
        ("captured on the budget", 7),
        ("held on the budget", 7),
        ("the budget", 7),
    ]


async def test_a_key_that_is_rotated_takes_its_budget_along(limits: Limits, keys: Keys, account_id: str) -> None:
    key = await keys.create(account_id)
    await limits.set_budget(account_id, key.id, 5 * CREDIT)
    rotated = await keys.rotate(key.id, overlap_ms=0)
    budgets = (await limits.get(account_id)).budgets
    assert {one.subject_id: one.limit_millicredits for one in budgets} == {key.id: 5 * CREDIT, rotated.id: 5 * CREDIT}


async def test_changes_are_in_the_audit_log_with_what_was_before(
    limits: Limits, account_id: str, project_id: str, books: Books, clock: Clock
) -> None:
    await limits.change(account_id, lambda own: replace(own, max_cents=100), actor="ada")
    await limits.change(account_id, lambda own: replace(own, max_cents=100), actor="ada")
    await limits.set_budget(account_id, project_id, 5500)
    await limits.remove_budget(account_id, project_id)
    until_ms = epoch_ms(clock()) + DAY_MS
    await limits.raise_ceiling(account_id, max_cents=60_000, until_ms=until_ms, reason="why", actor="op")
    async with books.read() as conn:
        found = [entry for entry in await audit.of_account(conn, account_id) if entry.action != "account.create"]
    by_action = {entry.action: entry for entry in found}
    assert len(found) == 4
    said = by_action["account.limits"]
    assert (said.actor, said.detail["before"]["max_cents"], said.detail["after"]["max_cents"]) == ("ada", None, 100)
    assert by_action["budget.set"].detail == {"before": None, "after": {"credits": "5.5"}}
    assert by_action["budget.remove"].subject_id == project_id
    assert by_action["account.raise"].detail["reason"] == "why"


async def test_what_makes_no_sense_is_refused_and_changes_nothing(
    limits: Limits, accounts: Accounts, account_id: str, clock: Clock
) -> None:
    at_ms = epoch_ms(clock())
    for wrong in (
        SpendLimits(max_cents=-1),
        SpendLimits(max_cents=10**10),
        SpendLimits(alert_percents=(0,)),
        SpendLimits(alert_cents=tuple(range(1, 30))),
    ):
        with pytest.raises(WrongParameter):
            await limits.change(account_id, lambda _, wrong=wrong: wrong)  # type: ignore[misc]
    with pytest.raises(NoSuchThing):
        await limits.set_budget(account_id, "prj_of_another", 5)
    with pytest.raises(NoSuchThing):
        await limits.change("acc_none", lambda own: own)
    for until_ms, cents, reason in ((at_ms, 60_000, "x"), (at_ms + 1, 60_000, " "), (at_ms + 1, 50_000, "x")):
        with pytest.raises(CallerFault):
            await limits.raise_ceiling(account_id, max_cents=cents, until_ms=until_ms, reason=reason)
    free = await accounts.create("Ada", "free")
    with pytest.raises(CallerFault, match="no pay-as-you-go"):
        await limits.raise_ceiling(free.id, max_cents=100, until_ms=at_ms + DAY_MS, reason="x")
    assert (await limits.get(account_id)).own == SpendLimits()


async def test_every_process_keeps_a_budget_from_the_next_call_on(
    limits: Limits,
    keys: Keys,
    account_id: str,
    books: Books,
    ledger: Ledger,
    terms_of: TermsOf,
    rebuilder: Rebuilder,
    clock: Clock,
) -> None:
    key = await keys.create(account_id)
    route = Route("parse", "POST", "/parse", "parse", limit=None)
    quote = Quote("parse", "fast", "page", 10, 10, (), "1", CREDIT, CREDIT)
    processes = []
    for _ in range(2):
        directory = Directory(books=books, terms_of=terms_of, pepper=PEPPER, clock=clock)
        admission = Admission(ledger, directory, load=rebuilder, plans=lambda: PLANS, clock=clock)
        foresight = Foresight(ledger, directory, load=rebuilder, clock=clock)
        caller = await directory.find(key.secret.encode())
        assert caller is not None
        processes.append((caller, admission, foresight))

    async def ask(number: int) -> Allowed | Refused:
        caller, admission, _ = processes[number % 2]
        return await admission.admit(caller, Asked(f"req_{number:032x}", route, quote))

    assert isinstance(await ask(0), Allowed)
    await limits.set_budget(account_id, key.id, 30 * CREDIT)
    assert [isinstance(await ask(number), Allowed) for number in range(1, 4)] == [True, True, False]
    for caller, _, foresight in processes:
        assert await foresight.of_call(caller, quote) == (RefusalCode.CREDITS_HELD, 0)
    await limits.set_budget(account_id, key.id, 5 * CREDIT)
    refusal = await ask(4)
    assert isinstance(refusal, Refused)
    assert (refusal.code, refusal.limit_name) == (RefusalCode.SPEND_LIMIT_REACHED, key.id)
    await limits.remove_budget(account_id, key.id)
    assert isinstance(await ask(5), Allowed)
