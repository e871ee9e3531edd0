"""Customers and payment methods as the books know them: what can be shown, which one is the default.

The provider is the truth about what can be charged; this is what was last heard of it. Holds no card number.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.books.dialect import upsert
from gateway.books.ids import new_id
from gateway.books.tables import payment_customers, payment_methods
from gateway.domain.payment import MethodKind


@dataclass(frozen=True, slots=True)
class BookedCustomer:
    """An account as a provider knows it."""

    account_id: str
    ref: str
    adding_since_ms: int | None


@dataclass(frozen=True, slots=True)
class BookedMethod:
    """One payment method; `ref` is the provider's name for it."""

    id: str
    account_id: str
    provider: str
    ref: str
    kind: MethodKind
    brand: str
    last4: str
    exp_month: int | None
    exp_year: int | None
    is_default: bool
    added_ms: int
    removed_ms: int | None


async def customer(conn: AsyncConnection, account_id: str, provider: str) -> BookedCustomer | None:
    """None where the provider was never told of the account."""
    table = payment_customers.c
    query = select(table.account_id, table.ref, table.adding_since_ms)
    row = (await conn.execute(query.where(table.account_id == account_id, table.provider == provider))).one_or_none()
    return None if row is None else BookedCustomer(*row)


async def account_of(conn: AsyncConnection, provider: str, ref: str) -> str | None:
    """Whose customer this is."""
    table = payment_customers.c
    query = select(table.account_id).where(table.provider == provider, table.ref == ref).limit(1)
    found: str | None = (await conn.execute(query)).scalar_one_or_none()
    return found


async def add_customer(conn: AsyncConnection, account_id: str, provider: str, ref: str) -> None:
    """Keep the provider's name for an account; the first one stays."""
    adding = upsert(conn, payment_customers).values(
        account_id=account_id, provider=provider, ref=ref, adding_since_ms=None
    )
    await conn.execute(adding.on_conflict_do_nothing())


async def set_adding(conn: AsyncConnection, account_id: str, provider: str, since_ms: int | None) -> None:
    """That the owner is adding a method at the provider, or (None) that nothing is expected any more."""
    table = payment_customers.c
    await conn.execute(
        update(payment_customers)
        .where(table.account_id == account_id, table.provider == provider)
        .values(adding_since_ms=since_ms)
    )


async def of_account(conn: AsyncConnection, account_id: str, provider: str) -> list[BookedMethod]:
    """Those that were not removed, oldest first."""
    table = payment_methods.c
    query = select(payment_methods).where(
        table.account_id == account_id, table.provider == provider, table.removed_ms.is_(None)
    )
    return [_method(row) for row in await conn.execute(query.order_by(table.added_ms, table.id))]


async def default(conn: AsyncConnection, account_id: str, provider: str) -> BookedMethod | None:
    """What the account is charged by; None where there is nothing."""
    return next((one for one in await of_account(conn, account_id, provider) if one.is_default), None)


async def of_ref(conn: AsyncConnection, provider: str, refs: Sequence[str]) -> dict[str, BookedMethod]:
    """The methods of these names, removed ones too."""
    table = payment_methods.c
    query = select(payment_methods).where(table.provider == provider, table.ref.in_(refs))
    return {row.ref: _method(row) for row in await conn.execute(query)}


async def add(conn: AsyncConnection, method: BookedMethod) -> None:
    """A new one."""
    await conn.execute(
        insert(payment_methods).values(
            id=method.id,
            account_id=method.account_id,
            provider=method.provider,
            ref=method.ref,
            kind=method.kind,
            brand=method.brand,
            last4=method.last4,
            exp_month=method.exp_month,
            exp_year=method.exp_year,
            is_default=method.is_default,
            added_ms=method.added_ms,
            removed_ms=method.removed_ms,
        )
    )


async def revise(conn: AsyncConnection, method: BookedMethod) -> None:
    """What the provider says of it now: a bank renews cards by itself."""
    await conn.execute(
        update(payment_methods)
        .where(payment_methods.c.id == method.id)
        .values(
            brand=method.brand,
            last4=method.last4,
            exp_month=method.exp_month,
            exp_year=method.exp_year,
            removed_ms=None,
        )
    )


async def set_default(conn: AsyncConnection, account_id: str, provider: str, method_id: str | None) -> None:
    """This one and no other."""
    table = payment_methods.c
    mine = (table.account_id == account_id, table.provider == provider)
    await conn.execute(update(payment_methods).where(*mine, table.is_default).values(is_default=False))
    if method_id is not None:
        await conn.execute(update(payment_methods).where(*mine, table.id == method_id).values(is_default=True))


async def remove(conn: AsyncConnection, method_id: str, at_ms: int) -> None:
    """It can be charged no more; attempts still name it."""
    gone = update(payment_methods).where(payment_methods.c.id == method_id)
    await conn.execute(gone.values(removed_ms=at_ms, is_default=False))


def new_method_id() -> str:
    """`pm_…`."""
    return new_id("pm")


def _method(row: Any) -> BookedMethod:
    method_id, account_id, provider, ref, kind, *rest = row
    return BookedMethod(method_id, account_id, provider, ref, MethodKind(kind), *rest)
