"""Lists that are read page by page, in either store: nothing is missed, nothing comes twice."""

from collections.abc import Awaitable, Callable
from typing import Any

from gateway.books.books import Books
from gateway.domain.terms import AccountStatus
from gateway.flows.accounts import Accounts
from gateway.flows.audit_trail import AuditTrail
from gateway.flows.invoices import Invoices
from tests.billing import billing_over
from tests.made_up import Clock

Place = tuple[int, str]


async def everything(page: Callable[[Place | None], Awaitable[tuple[Any, Place | None]]]) -> list[Any]:
    """All pages in a row; each but the last is full."""
    found: list[Any] = []
    after: Place | None = None
    while True:
        shown, after = await page(after)
        found += shown
        if after is None:
            return found


async def test_accounts_made_in_one_millisecond_are_all_found(accounts: Accounts) -> None:
    made = [(await accounts.create(f"Acme_{n} 100%", "starter" if n % 2 else "free")).id for n in range(5)]
    await accounts.close(made[4])

    async def ids(size: int, **asked: Any) -> list[str]:
        listed = await everything(lambda after: accounts.page(after=after, size=size, **asked))
        return [one.account.id for one in listed]

    for size in (1, 2, 5, 6):
        assert await ids(size) == made
    assert await ids(1, plan_id="starter") == [made[1], made[3]]
    assert await ids(2, status=AccountStatus.CLOSED) == made[4:]
    assert await ids(2, name="ACME_1") == [made[1]]
    assert await ids(2, name="e_") == made  # what stands for anything in SQL stands for itself
    assert await ids(2, name="100%") == made
    assert await ids(2, name="%1") == []
    assert await ids(2, name=made[2]) == [made[2]]


async def test_invoices_and_the_audit_log_come_whole_page_by_page(
    accounts: Accounts, books: Books, clock: Clock
) -> None:
    invoices = Invoices(billing_over(books, clock))
    trail = AuditTrail(books=books)
    opened = await accounts.create("Acme", "starter")
    other = await accounts.create("Other", "starter")
    await accounts.change_plan(opened.id, "pro")
    whole, _ = await invoices.page(opened.id, size=100)
    for size in (1, 2, 3):

        async def some(after: Place | None, size: int = size) -> tuple[Any, Place | None]:
            return await invoices.page(opened.id, after=after, size=size)

        found = await everything(some)
        assert [one.id for one in found] == [one.id for one in whole]
    issued = await everything(lambda after: invoices.page(None, after=after, size=1))
    assert sorted(one.document["number"] for one in issued) == [f"{clock().year}-00000{each}" for each in (1, 2, 3)]
    entries = await everything(lambda before: trail.page(opened.id, before=before, size=1))
    assert [entry.action for _, entry in entries] == ["account.plan", "account.create"]
    everybodys = await everything(lambda before: trail.page(None, before=before, size=2))
    assert {entry.account_id for _, entry in everybodys} == {opened.id, other.id}
    assert len(everybodys) == 3
