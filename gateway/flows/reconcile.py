"""Proving that books and Redis agree, account by account, while traffic runs. Changes nothing.

Per account and period: captured in Redis = booked events + events still in the outbox; held = the sum of open holds;
granted = the sum of grants in the books. Of each budget that Redis counts: captured = the events of its project or key,
held = their open holds, and its limit is the one in the books. And within the books: events = rollups = ledger. Redis
is read at one instant, then the books up to that instant's `seq`, each event once by id.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.books import accounts, grants, ledger_entries, limits, usage
from gateway.books.books import Books
from gateway.books.ledger_entries import LedgerAccount
from gateway.books.tables import (
    usage_daily,
    usage_daily_by_mode,
    usage_hourly,
    usage_hourly_by_mode,
    usage_stretches,
)
from gateway.domain.instant import from_epoch_ms
from gateway.flows.faults import NoSuchThing
from gateway.ledger.answers import Counters
from gateway.ledger.ledger import Ledger


@dataclass(frozen=True, slots=True)
class Difference:
    """One disagreement; `expected` is what the books (or the parts) say. Millicredits, where it is `in_credits`.

    `in_redis`: Redis has it wrong, and has it right once the account is rebuilt.
    """

    account_id: str
    what: str
    expected: int
    found: int
    in_credits: bool = True
    in_redis: bool = False


@dataclass(frozen=True, slots=True)
class Report:
    """What was looked at and what disagreed."""

    accounts: int
    differences: tuple[Difference, ...] = ()

    @property
    def ok(self) -> bool:
        """Everything agrees."""
        return not self.differences


@dataclass(slots=True)
class _Check:
    """The differences of one account as they are found."""

    account_id: str
    found: list[Difference] = field(default_factory=list)

    def equal(self, what: str, *, expected: int, found: int, in_credits: bool = True, in_redis: bool = False) -> None:
        if expected != found:
            self.found.append(Difference(self.account_id, what, expected, found, in_credits, in_redis))


async def reconcile(books: Books, ledger: Ledger, account_ids: Sequence[str] | None = None) -> Report:
    """Compare the accounts named, or all. NoSuchThing, BooksUnavailable, StoreUnavailable."""
    async with books.read() as conn:
        known = [account.id for account in await accounts.every(conn)]
    if account_ids is not None and (unknown := sorted(set(account_ids) - set(known))):
        raise NoSuchThing("account", unknown[0])
    chosen = known if account_ids is None else list(account_ids)
    differences: list[Difference] = []
    for account_id in chosen:
        differences += await differences_of(books, ledger, account_id)
    return Report(len(chosen), tuple(differences))


async def differences_of(books: Books, ledger: Ledger, account_id: str) -> list[Difference]:
    """What disagrees about one account. BooksUnavailable, StoreUnavailable."""
    check = _Check(account_id)
    counters = await ledger.counters(account_id)
    async with books.read() as conn:
        await _compare_captured(conn, check, counters)
        await _compare_granted(conn, check, counters)
        await _compare_budgets(conn, check, counters)
        await _compare_books(conn, check)
        booked_seq = await accounts.booked_seq(conn, account_id)
    _compare_held(check, counters)
    if counters.epoch is not None and counters.seq < booked_seq:
        # Either it moved on since it was read, or it came back older than the books.
        later = await ledger.counters(account_id)
        if later.seq < booked_seq:
            expected, found = booked_seq, later.seq
            check.equal("highest sequence number", expected=expected, found=found, in_credits=False, in_redis=True)
    return check.found


async def _compare_captured(conn: AsyncConnection, check: _Check, counters: Counters) -> None:
    starts = list(counters.periods)
    captured = await usage.captured_by_period(conn, check.account_id, up_to_seq=counters.seq, periods=starts)
    booked = await usage.booked_ids(conn, list(counters.unbooked))
    for event in counters.unbooked.values():
        if event.id not in booked:
            captured[event.period_start_ms] = captured.get(event.period_start_ms, 0) + event.captured_millicredits
    for start_ms, period in counters.periods.items():
        what, found = f"captured in {_period(start_ms)}", period.captured_millicredits
        check.equal(what, expected=captured.get(start_ms, 0), found=found, in_redis=True)


async def _compare_budgets(conn: AsyncConnection, check: _Check, counters: Counters) -> None:
    if not counters.budgets:
        return
    booked = await usage.booked_ids(conn, list(counters.unbooked))
    unbooked = [event for event in counters.unbooked.values() if event.id not in booked]
    account = await accounts.get(conn, check.account_id)
    told = account is not None and account.terms_version == counters.terms_version
    agreed = dict(await limits.budgets_of(conn, check.account_id))
    captured: dict[int, dict[str, int]] = {}
    for budget in counters.budgets:
        start_ms, subject_id = budget.period_start_ms, budget.subject_id
        if start_ms not in captured:
            captured[start_ms] = await usage.captured_by_spender(
                conn, check.account_id, start_ms, up_to_seq=counters.seq
            )
        expected = captured[start_ms].get(subject_id, 0) + sum(
            event.captured_millicredits
            for event in unbooked
            if event.period_start_ms == start_ms and subject_id in {event.facts.project_id, event.facts.key_id}
        )
        what = f"{{}} of {subject_id} in {_period(start_ms)}"
        found = budget.captured_millicredits
        check.equal(what.format("captured on the budget"), expected=expected, found=found, in_redis=True)
        expected, found = budget.open_millicredits, budget.held_millicredits
        check.equal(what.format("held on the budget"), expected=expected, found=found, in_redis=True)
        if told and (limit := agreed.get(subject_id)) is not None:
            check.equal(what.format("the budget"), expected=limit, found=budget.limit_millicredits)


async def _compare_granted(conn: AsyncConnection, check: _Check, counters: Counters) -> None:
    """Only where Redis has been told the newest terms: before that it is behind by design."""
    account = await accounts.get(conn, check.account_id)
    if account is None or counters.terms_version is None:
        return
    if counters.terms_version > account.terms_version:
        expected = account.terms_version
        check.equal("terms version", expected=expected, found=counters.terms_version, in_credits=False)
    if counters.terms_version != account.terms_version:
        return
    for start_ms, period in counters.periods.items():
        expected = await grants.granted(conn, check.account_id, start_ms)
        check.equal(f"granted for {_period(start_ms)}", expected=expected, found=period.granted_millicredits)


async def _compare_books(conn: AsyncConnection, check: _Check) -> None:
    """The books with themselves, as of one moment."""
    events = await usage.captured_by_period(conn, check.account_id)
    rollups = {
        what: await usage.rolled_up_by_period(conn, check.account_id, rollup=rollup)
        for what, rollup in (
            ("rolled up", usage_hourly),
            ("rolled up by day", usage_daily),
            ("rolled up by hour and mode", usage_hourly_by_mode),
            ("rolled up by day and mode", usage_daily_by_mode),
            ("rolled up in the order of settlement", usage_stretches),
        )
    }
    for start_ms in sorted(set(events).union(*rollups.values())):
        expected = events.get(start_ms, 0)
        for what, sums in rollups.items():
            check.equal(f"{what} for {_period(start_ms)}", expected=expected, found=sums.get(start_ms, 0))
        balances = await ledger_entries.balances(conn, check.account_id, start_ms)
        check.equal(f"ledger of {_period(start_ms)}", expected=expected, found=balances[LedgerAccount.USED])
        granted = await grants.granted(conn, check.account_id, start_ms)
        found = -balances[LedgerAccount.ISSUED]
        check.equal(f"ledger of grants for {_period(start_ms)}", expected=granted, found=found)


def _compare_held(check: _Check, counters: Counters) -> None:
    held: dict[int, int] = dict.fromkeys(counters.periods, 0)
    for hold in counters.open_holds:
        held[hold.period_start_ms] = held.get(hold.period_start_ms, 0) + hold.amount_millicredits
    for start_ms, expected in held.items():
        period = counters.periods.get(start_ms)
        found = 0 if period is None else period.held_millicredits
        check.equal(f"held in {_period(start_ms)}", expected=expected, found=found, in_redis=True)


def _period(start_ms: int) -> str:
    return f"the period from {from_epoch_ms(start_ms).isoformat(timespec='milliseconds')}"
