"""Invoices whose payment failed: how often, when they are tried again, and which invoices are due to be collected.

The schedule is `domain.payment`'s. An invoice that was never tried has no row here.
"""

from dataclasses import dataclass
from typing import Any

from sqlalchemy import and_, func, or_, select, union_all, update
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.books.dialect import upsert
from gateway.books.tables import accounts, invoice_collections, invoices, payment_attempts, payment_methods
from gateway.domain.invoice import InvoiceStatus
from gateway.domain.payment import UNDER_WAY, CollectionState


@dataclass(frozen=True, slots=True)
class Collection:
    """One invoice's. `asked_ms`: to be tried at once, beside the schedule."""

    invoice_id: str
    account_id: str
    state: CollectionState
    failures: int
    first_failed_ms: int
    next_try_ms: int | None
    asked_ms: int | None
    reason: str


@dataclass(frozen=True, slots=True)
class DueInvoice:
    """An invoice to be collected now. `by_schedule`: its failure counts towards the last."""

    invoice_id: str
    account_id: str
    by_schedule: bool


async def get(conn: AsyncConnection, invoice_id: str) -> Collection | None:
    """None where no payment of it has failed."""
    query = select(invoice_collections).where(invoice_collections.c.invoice_id == invoice_id)
    row = (await conn.execute(query)).mappings().one_or_none()
    return None if row is None else _collection(row)


async def put(conn: AsyncConnection, collection: Collection) -> None:
    """Keep it as it stands now."""
    values = {name: getattr(collection, name) for name in invoice_collections.c.keys()}  # noqa: SIM118 - columns
    putting = upsert(conn, invoice_collections).values(values)
    await conn.execute(putting.on_conflict_do_update(index_elements=["invoice_id"], set_=values))


async def past_due(conn: AsyncConnection, account_id: str) -> list[Collection]:
    """The account's that are past due, oldest first."""
    table = invoice_collections.c
    query = select(invoice_collections).where(table.account_id == account_id, table.state == CollectionState.PAST_DUE)
    return [
        _collection(row)
        for row in (await conn.execute(query.order_by(table.first_failed_ms, table.invoice_id))).mappings()
    ]


async def ask(conn: AsyncConnection, account_id: str, at_ms: int) -> None:
    """Have everything that is past due tried at once."""
    table = invoice_collections.c
    past = (table.account_id == account_id, table.state == CollectionState.PAST_DUE)
    await conn.execute(update(invoice_collections).where(*past).values(asked_ms=at_ms))


async def settled_meanwhile(conn: AsyncConnection, *, limit: int) -> list[tuple[str, str]]:
    """Invoices noted here as past due that are not any more (paid by hand, voided, credited): with their accounts."""
    table = invoice_collections.c
    query = (
        select(table.invoice_id, table.account_id)
        .join(invoices, invoices.c.id == table.invoice_id)
        .where(table.state == CollectionState.PAST_DUE, invoices.c.status != InvoiceStatus.ISSUED)
        .limit(limit)
    )
    return [(row[0], row[1]) for row in await conn.execute(query)]


async def due(
    conn: AsyncConnection,
    provider: str,
    *,
    at_ms: int,
    least_cents: int,
    account_id: str | None = None,
    only_past_due: bool = False,
    after: str = "",
    limit: int = 500,
) -> list[DueInvoice]:
    """Issued invoices to be collected now, by id: those never tried whose account has a default method of the provider,
    and those past due whose next try has come, or was asked for. Not those with an attempt under way.
    """
    table, tried = invoices.c, invoice_collections.c
    left = table.total_cents - table.paid_cents - table.credited_cents
    under_way = (
        select(payment_attempts.c.id)
        .where(payment_attempts.c.invoice_id == table.id, payment_attempts.c.state.in_(UNDER_WAY))
        .exists()
    )
    has_method = (
        select(payment_methods.c.id)
        .where(
            payment_methods.c.account_id == table.account_id,
            payment_methods.c.provider == provider,
            payment_methods.c.is_default,
            payment_methods.c.removed_ms.is_(None),
        )
        .exists()
    )
    retry = and_(tried.state == CollectionState.PAST_DUE, or_(tried.next_try_ms <= at_ms, tried.asked_ms.is_not(None)))
    query = (
        select(table.id, table.account_id, func.coalesce(tried.next_try_ms <= at_ms, tried.invoice_id.is_(None)))
        .outerjoin(invoice_collections, tried.invoice_id == table.id)
        .where(
            table.status == InvoiceStatus.ISSUED,
            left >= max(least_cents, 1),
            table.due_ms <= at_ms,
            retry if only_past_due else or_(and_(tried.invoice_id.is_(None), has_method), retry),
            ~under_way,
            table.id > after,
        )
        .order_by(table.id)
        .limit(limit)
    )
    if account_id is not None:
        query = query.where(table.account_id == account_id)
    return [DueInvoice(row[0], row[1], bool(row[2])) for row in await conn.execute(query)]


async def sandboxes(conn: AsyncConnection, *, after: str, limit: int) -> list[str]:
    """Accounts with a clock of their own and invoices to pay, by id."""
    owing = select(invoices.c.id).where(
        invoices.c.account_id == accounts.c.id, invoices.c.status == InvoiceStatus.ISSUED
    )
    query = select(accounts.c.id).where(accounts.c.clock_offset_ms.is_not(None), accounts.c.id > after, owing.exists())
    return list((await conn.execute(query.order_by(accounts.c.id).limit(limit))).scalars())


async def next_ms(conn: AsyncConnection, account_id: str, after_ms: int) -> int | None:
    """When something of the account's is next to be collected, or tried again, after an instant; None for nothing."""
    table, tried = invoices.c, invoice_collections.c
    owed = (table.account_id == account_id, table.status == InvoiceStatus.ISSUED)
    due = select(table.due_ms.label("at")).where(*owed, table.due_ms > after_ms)
    again = (
        select(tried.next_try_ms.label("at"))
        .join(invoices, table.id == tried.invoice_id)
        .where(*owed, tried.state == CollectionState.PAST_DUE, tried.next_try_ms > after_ms)
    )
    found: int | None = (await conn.execute(select(func.min(union_all(due, again).subquery().c.at)))).scalar_one()
    return found


def _collection(row: Any) -> Collection:
    return Collection(**{**row, "state": CollectionState(row["state"])})
