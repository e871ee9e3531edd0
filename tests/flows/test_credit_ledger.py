from collections import defaultdict

import pytest
from sqlalchemy import insert

from gateway.books.books import Books
from gateway.books.ledger_entries import LedgerAccount
from gateway.books.tables import ledger_entries
from gateway.flows.accounts import Accounts
from gateway.flows.credit_ledger import CreditLedger
from gateway.flows.faults import NoSuchThing
from tests.made_up import CREDIT, Clock

MOVES = [
    (1_000, LedgerAccount.ISSUED, LedgerAccount.ALLOWANCE, 500),
    (2_000, LedgerAccount.ALLOWANCE, LedgerAccount.USED, 120),
    (2_000, LedgerAccount.ALLOWANCE, LedgerAccount.USED, 30),
    (3_000, LedgerAccount.ALLOWANCE, LedgerAccount.USED, 700),
    (4_000, LedgerAccount.ALLOWANCE, LedgerAccount.ISSUED, 40),
]


async def test_as_of_any_time_it_is_the_sum_of_what_was_booked_by_then(
    books: Books, accounts: Accounts, clock: Clock
) -> None:
    opened = await accounts.create("Acme", "free")
    columns = [column.name for column in ledger_entries.columns]
    async with books.begin() as conn:
        for number, (at_ms, debit, credit, amount) in enumerate(MOVES):
            row = (f"move-{number}", 0, opened.id, 77, debit, credit, amount, at_ms)
            await conn.execute(insert(ledger_entries).values(**dict(zip(columns, row, strict=True))))
    ledger = CreditLedger(books=books)
    for as_of_ms in (999, 1_000, 1_999, 2_000, 3_000, 4_000, 5_000):
        expected: dict[LedgerAccount, int] = defaultdict(int)
        for at_ms, debit, credit, amount in MOVES:
            if at_ms <= as_of_ms:
                expected[debit] -= amount
                expected[credit] += amount
        found = {one.start_ms: dict(one.balances) for one in await ledger.balances(opened.id, as_of_ms=as_of_ms)}
        assert found == ({77: {name: expected[name] for name in LedgerAccount}} if expected else {})
        assert all(sum(balances.values()) == 0 for balances in found.values())


async def test_a_correction_adds_to_it_and_changes_nothing_of_before(books: Books, accounts: Accounts) -> None:
    opened = await accounts.create("Acme", "starter")
    ledger = CreditLedger(books=books)
    (first,) = await ledger.balances(opened.id)
    await accounts.adjust(opened.id, -5 * CREDIT, reason="given by mistake")
    (now,) = await ledger.balances(opened.id)
    assert first.balances[LedgerAccount.ALLOWANCE] == 40_000 * CREDIT
    assert now.balances[LedgerAccount.ALLOWANCE] == 39_995 * CREDIT
    assert now.balances[LedgerAccount.ISSUED] == -39_995 * CREDIT


async def test_an_account_that_is_not_there_has_no_ledger(books: Books) -> None:
    with pytest.raises(NoSuchThing, match="acc_none"):
        await CreditLedger(books=books).balances("acc_none")
