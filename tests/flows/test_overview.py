"""What operators are told of all accounts together, on either store."""

from dataclasses import replace
from functools import partial

import pytest
from sqlalchemy import event as sql_event

from gateway.books import audit, invoices, refusals, running_jobs, usage
from gateway.books.accounts import set_clock
from gateway.books.books import Books
from gateway.books.overview import Owed
from gateway.books.refusals import Refusal
from gateway.domain.credit_summary import CreditSummary
from gateway.domain.instant import DAY_MS, epoch_ms
from gateway.domain.invoice import InvoiceStatus
from gateway.domain.terms import AccountStatus, Terms
from gateway.domain.usage import JobAttached
from gateway.flows.accounts import Accounts
from gateway.flows.authenticate import TermsOf
from gateway.flows.faults import NoSuchThing
from gateway.flows.keys import Keys
from gateway.flows.look_in import LookIns
from gateway.flows.look_up import Kind, LookUp
from gateway.flows.overview import Overviews
from gateway.flows.reconcile_runs import ReconcileRuns
from gateway.flows.usage_report import UsageReports
from gateway.ledger.connection import RedisConnection
from gateway.ledger.ledger import Ledger
from gateway.ledger.outbox import Outbox
from gateway.ledger.server_state import ServerState
from tests.flows.calls import capture, hold
from tests.made_up import CREDIT, Clock, event


@pytest.fixture
def overviews(books: Books, redis: RedisConnection, ledger: Ledger, outbox: Outbox, clock: Clock) -> Overviews:
    return Overviews(books=books, server=ServerState(redis), lag=outbox.lag, usage=ledger.usage, clock=clock)


async def test_an_empty_gateway_has_nothing_to_tell(overviews: Overviews) -> None:
    found = await overviews.look()
    assert (found.accounts, found.refused, found.owed) == ([], [], Owed(0, 0, 0, 0))
    assert (found.captured_today_millicredits, found.captured_week_millicredits) == (0, 0)
    assert (found.jobs.count, found.jobs.oldest_ms) == (0, None)
    assert found.redis is not None
    assert (found.redis.holds.count, found.redis.holds.oldest_ms, found.redis.lag.records) == (0, None, 0)
    assert found.books_version.split()[0] in {"SQLite", "PostgreSQL"}
    assert found.redis.version.split()[0] in {"Valkey", "Redis"}
    assert abs(found.redis.ahead_ms) < DAY_MS


async def test_accounts_are_counted_by_plan_and_status(overviews: Overviews, accounts: Accounts) -> None:
    for name in ("One", "Two"):
        await accounts.create(name, "starter")
    closed = await accounts.create("Three", "starter")
    await accounts.close(closed.id)
    counted = {(plan_id, status): count for plan_id, status, count in (await overviews.look()).accounts}
    assert counted == {("starter", AccountStatus.ACTIVE): 2, (None, AccountStatus.CLOSED): 1}


async def test_a_sandbox_is_counted_on_the_plan_it_has_by_its_own_clock(
    overviews: Overviews, accounts: Accounts, books: Books, clock: Clock
) -> None:
    sandbox = await accounts.create("One", "starter", sandbox=True)
    await accounts.change_plan(sandbox.id, "free")
    async with books.begin() as conn:
        await set_clock(conn, sandbox.id, 40 * DAY_MS)
    assert (await overviews.look()).accounts == [("free", AccountStatus.ACTIVE, 1)]


async def test_credits_are_of_today_and_of_seven_days(
    overviews: Overviews, accounts: Accounts, books: Books, clock: Clock
) -> None:
    one, two = await accounts.create("One", "starter"), await accounts.create("Two", "starter")
    today_ms = epoch_ms(clock()) // DAY_MS * DAY_MS
    captured = [(one, today_ms, 5), (two, today_ms, 7), (one, today_ms - 1, 11), (two, today_ms - 6 * DAY_MS, 13)]
    captured.append((one, today_ms - 6 * DAY_MS - 1, 1_000))
    events = [
        event(account.id, number, captured=amount * CREDIT, admitted_at_ms=at_ms, period_start_ms=today_ms - 9 * DAY_MS)
        for number, (account, at_ms, amount) in enumerate(captured, 1)
    ]
    async with books.begin() as conn:
        await usage.book(conn, events)
    found = await overviews.look()
    assert found.captured_today_millicredits == 12 * CREDIT
    assert found.captured_week_millicredits == 36 * CREDIT


async def test_refusals_of_the_last_day_are_told_by_code(overviews: Overviews, books: Books, clock: Clock) -> None:
    now_ms = epoch_ms(clock())
    blank = Refusal(
        *("req_0", now_ms, "acc_1", "prj_1", "key_1", "POST", "parse.upload", 429, "rate_limited", "", "", "", ""),
        *(None, None, None, None, "", None, None),
    )
    kept = [replace(blank, request_id=f"req_{number}") for number in range(3)]
    kept.append(replace(blank, request_id="req_3", code="credits_exhausted"))
    kept.append(replace(blank, request_id="req_4", at_ms=now_ms - DAY_MS - 1))
    async with books.begin() as conn:
        await refusals.add(conn, kept)
    assert (await overviews.look()).refused == [("rate_limited", 3), ("credits_exhausted", 1)]


async def test_what_is_owed_is_told_of_all_and_of_each(
    overviews: Overviews, accounts: Accounts, books: Books, clock: Clock
) -> None:
    one, two = await accounts.create("One", "starter"), await accounts.create("Two", "starter")
    assert await overviews.due([one.id, two.id, "acc_nobody"]) == {one.id: (1, 5_000), two.id: (1, 5_000)}
    clock.forward(seconds=1)
    owed = (await overviews.look()).owed
    assert (owed.open, owed.open_cents, owed.overdue, owed.overdue_cents) == (2, 10_000, 2, 10_000)
    async with books.begin() as conn:
        (paid,) = await invoices.of_account(conn, one.id)
        await invoices.set_status(conn, paid.id, InvoiceStatus.PAID, paid_cents=5_000, settled_ms=1)
    assert await overviews.due([one.id, two.id]) == {two.id: (1, 5_000)}
    assert await overviews.due([]) == {}


async def test_running_jobs_and_what_they_hold_are_counted(overviews: Overviews, books: Books) -> None:
    facts = event("acc_1", 1, captured=CREDIT).facts
    jobs = [
        JobAttached(replace(facts, request_id=f"req_{n}"), "parse", "parse", f"job_{n}", n * CREDIT, 0, 0, 0, 50 + n, n)
        for n in (1, 2)
    ]
    async with books.begin() as conn:
        await running_jobs.begin(conn, jobs)
    found = (await overviews.look()).jobs
    assert (found.count, found.held_millicredits, found.oldest_ms) == (2, 3 * CREDIT, 51)


async def test_ids_and_numbers_lead_to_what_they_name(
    accounts: Accounts, keys: Keys, books: Books, clock: Clock
) -> None:
    one = await accounts.create("One", "starter")
    key = await keys.create(one.id)
    async with books.read() as conn:
        (invoice,) = await invoices.of_account(conn, one.id)
    find = LookUp(books=books).find
    for said, kind, found_id in (
        (one.id, Kind.ACCOUNT, one.id),
        (f" {key.id}\n", Kind.KEY, key.id),
        (invoice.number, Kind.INVOICE, invoice.id),
        ("req_" + "0" * 32, Kind.CALL, "req_" + "0" * 32),
    ):
        (found,) = await find(said)
        assert (found.kind, found.id) == (kind, found_id)
    for nothing in ("", " ", "nobody", "x" * 300, "' OR 1=1 --"):
        assert await find(nothing) == []


async def test_looking_in_is_noted_once_an_hour_of_each_sign_in(accounts: Accounts, books: Books, clock: Clock) -> None:
    one = await accounts.create("One", "starter")
    look_ins = LookIns(books=books, clock=clock)
    enter = partial(look_ins.enter, one.id, actor="ada")
    for session_id in ("ses_1", "ses_1", "ses_2"):
        assert (await enter(session_id=session_id)).name == "One"
    clock.forward(hours=1)
    await enter(session_id="ses_1")
    async with books.read() as conn:
        noted = [entry for entry in await audit.of_account(conn, one.id) if entry.action == "account.looked_at"]
    assert len(noted) == 3
    with pytest.raises(NoSuchThing):
        await look_ins.enter("acc_nobody", session_id="ses_1", actor="ada")


async def test_a_run_looks_at_every_account_and_tells_how_far_it_is(
    accounts: Accounts, books: Books, ledger: Ledger, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.flows.reconcile_runs.PAGE", 2)
    for name in ("One", "Two", "Three"):
        await accounts.create(name, "starter")
    runs = ReconcileRuns(books=books, ledger=ledger, clock=clock)
    await runs.turn()
    before = runs.last
    assert before is None, "nobody asked"
    assert runs.start("ada")
    assert not runs.start("bob"), "one at a time"
    await runs.turn()
    assert runs.last is not None
    assert (runs.last.accounts, runs.last.total, runs.last.ok, runs.running) == (3, 3, True, False)
    assert runs.start("bob")


async def test_a_page_of_accounts_is_told_by_two_questions_what_each_ones_own_report_tells(
    overviews: Overviews,
    accounts: Accounts,
    terms: Terms,
    terms_of: TermsOf,
    ledger: Ledger,
    books: Books,
    clock: Clock,
) -> None:
    reports = UsageReports(books=books, ledger=ledger, terms_of=terms_of)
    other = await accounts.create("Booked alone", "free")
    sandbox = await accounts.create("Ahead", "starter", sandbox=True)
    async with books.begin() as conn:
        await usage.book(conn, [event(other.id, 99, period_start_ms=epoch_ms(clock()), captured=11_000 * CREDIT)])
        await set_clock(conn, sandbox.id, 40 * DAY_MS)
    await capture(ledger, terms, await hold(ledger, terms, 1))
    await hold(ledger, terms, 2)
    ids = [terms.account_id, other.id, sandbox.id]
    asked: list[str] = []
    listener = ("before_cursor_execute", lambda *given: asked.append(given[2]))
    sql_event.listen(books._engine.sync_engine, *listener)
    found = await overviews.standing(ids)
    sql_event.remove(books._engine.sync_engine, *listener)
    assert len([one for one in asked if one.startswith("SELECT")]) == 2
    # Nobody has asked about the sandbox since its clock went on, so its period is not booked.
    assert found[sandbox.id].credits is None
    assert [(await reports.of_account(each, clock())).credits for each in ids[:2]] == [
        found[each].credits for each in ids[:2]
    ]
    assert found[other.id].credits == CreditSummary(10_000 * CREDIT, 11_000 * CREDIT, 0)
    assert (found[terms.account_id].due, found[other.id].due) == (1, 0)
    await reports.of_account(sandbox.id, clock())
    assert (await overviews.standing([sandbox.id]))[sandbox.id].credits == CreditSummary(40_000 * CREDIT, 0, 0)


async def test_with_redis_away_a_page_of_accounts_tells_what_is_booked(
    overviews: Overviews, redis: RedisConnection, terms: Terms, books: Books, clock: Clock
) -> None:
    async with books.begin() as conn:
        used = event(terms.account_id, 1, period_start_ms=terms.periods[0].start_ms, captured=7 * CREDIT)
        await usage.book(conn, [used])
    await redis.close()
    found = await overviews.standing([terms.account_id])
    assert found[terms.account_id].credits == CreditSummary(40_000 * CREDIT, 7 * CREDIT, 0)
