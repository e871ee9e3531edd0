"""The account that somebody named, within their transaction: one that there is, or one that may still be changed."""

from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.books import accounts
from gateway.books.accounts import Account
from gateway.domain.terms import AccountStatus
from gateway.flows.faults import CallerFault, NoSuchThing


async def known_account(conn: AsyncConnection, account_id: str, *, lock: bool = False) -> Account:
    """The account, closed or not. NoSuchThing."""
    account = await accounts.get(conn, account_id, lock=lock)
    if account is None:
        raise NoSuchThing("account", account_id)
    return account


async def open_account(conn: AsyncConnection, account_id: str) -> Account:
    """The account, locked until the transaction ends. NoSuchThing, CallerFault where it was closed."""
    account = await known_account(conn, account_id, lock=True)
    if account.status is AccountStatus.CLOSED:
        raise CallerFault(f"account {account_id} is closed")
    return account
