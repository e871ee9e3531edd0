"""Every attempt to take money: kept before the provider is asked, and what became of it.

Which move is legal is `domain.payment`'s; asking the provider is for the flows.
"""

from dataclasses import dataclass
from typing import Any

from sqlalchemy import func, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.books.tables import payment_attempts
from gateway.domain.payment import HOLDS_THE_INVOICE, UNDER_WAY, AttemptState, Trigger


@dataclass(frozen=True, slots=True)
class Attempt:
    """One attempt, for an invoice or a change of plan. `id` is the idempotency key, `look_ms` when to ask again."""

    id: str
    account_id: str
    invoice_id: str | None
    change_id: str | None
    provider: str
    customer_ref: str
    method_id: str
    method_ref: str
    amount_cents: int
    description: str
    trigger: Trigger
    on_session: bool
    return_url: str | None
    state: AttemptState
    provider_ref: str | None
    reason: str | None
    action_url: str | None
    started_ms: int
    look_ms: int
    looks: int
    ended_ms: int | None


async def add(conn: AsyncConnection, attempt: Attempt) -> None:
    """Keep a new one. The index lets one live attempt per invoice in, so hold the account's lock and look first."""
    columns = payment_attempts.c.keys()
    await conn.execute(insert(payment_attempts).values({name: getattr(attempt, name) for name in columns}))


async def get(conn: AsyncConnection, attempt_id: str) -> Attempt | None:
    """The attempt of this id."""
    row = (await conn.execute(_all().where(payment_attempts.c.id == attempt_id))).mappings().one_or_none()
    return None if row is None else _attempt(row)


async def holding(conn: AsyncConnection, invoice_id: str) -> Attempt | None:
    """The one that is under way for the invoice, or has paid it."""
    table = payment_attempts.c
    query = _all().where(table.invoice_id == invoice_id, table.state.in_(HOLDS_THE_INVOICE))
    row = (await conn.execute(query)).mappings().one_or_none()
    return None if row is None else _attempt(row)


async def of_change(conn: AsyncConnection, change_id: str) -> Attempt | None:
    """The attempt that pays for a change of plan."""
    row = (await conn.execute(_all().where(payment_attempts.c.change_id == change_id))).mappings().one_or_none()
    return None if row is None else _attempt(row)


async def of_account(conn: AsyncConnection, account_id: str, *, limit: int = 100) -> list[Attempt]:
    """The newest, newest first."""
    table = payment_attempts.c
    query = _all().where(table.account_id == account_id).order_by(table.started_ms.desc(), table.id.desc())
    return [_attempt(row) for row in (await conn.execute(query.limit(limit))).mappings()]


async def asked_since(conn: AsyncConnection, account_id: str, since_ms: int) -> int:
    """How often somebody had the account's money tried since an instant, beside the schedule."""
    table = payment_attempts.c
    query = select(func.count()).where(
        table.account_id == account_id, table.started_ms >= since_ms, table.trigger != Trigger.SCHEDULE
    )
    return int((await conn.execute(query)).scalar_one())


async def to_look_at(conn: AsyncConnection, provider: str, *, at_ms: int, limit: int) -> list[Attempt]:
    """Those that are not decided and whose time to ask again has come."""
    table = payment_attempts.c
    undecided = table.state.in_((*UNDER_WAY, AttemptState.REFUNDING))
    query = _all().where(undecided, table.provider == provider, table.look_ms <= at_ms).order_by(table.look_ms)
    return [_attempt(row) for row in (await conn.execute(query.limit(limit))).mappings()]


async def lease(conn: AsyncConnection, attempt: Attempt, look_ms: int) -> bool:
    """Take the next look for oneself; False where another process has."""
    table = payment_attempts.c
    taken = (
        update(payment_attempts)
        .where(table.id == attempt.id, table.looks == attempt.looks, table.state == attempt.state)
        .values(look_ms=look_ms, looks=attempt.looks + 1)
        .returning(table.id)
    )
    return (await conn.execute(taken)).scalar_one_or_none() is not None


async def change(conn: AsyncConnection, attempt_id: str, old: AttemptState, new: AttemptState, **values: Any) -> bool:
    """Another state, where it is still in the old one."""
    table = payment_attempts.c
    moved = (
        update(payment_attempts)
        .where(table.id == attempt_id, table.state == old)
        .values(state=new, **values)
        .returning(table.id)
    )
    return (await conn.execute(moved)).scalar_one_or_none() is not None


async def name_invoice(conn: AsyncConnection, attempt_id: str, invoice_id: str) -> None:
    """Which invoice the payment for a change of plan came to pay."""
    named = update(payment_attempts).where(payment_attempts.c.id == attempt_id)
    await conn.execute(named.values(invoice_id=invoice_id))


def _all() -> Any:
    return select(payment_attempts)


def _attempt(row: Any) -> Attempt:
    return Attempt(**{**row, "trigger": Trigger(row["trigger"]), "state": AttemptState(row["state"])})
