"""What changes of an account's payment methods in the books, within a transaction that holds the account's lock.

Each with its line in the audit log. Asks no provider.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.books import audit, invoice_collections, payment_methods
from gateway.books.audit import AuditEntry
from gateway.books.payment_methods import BookedMethod, new_method_id
from gateway.payments.provider import ProviderMethod


def booked(account_id: str, provider: str, method_id: str, method: ProviderMethod, at_ms: int) -> BookedMethod:
    """A provider's method as the books keep it."""
    return BookedMethod(
        id=method_id,
        account_id=account_id,
        provider=provider,
        ref=method.ref,
        kind=method.kind,
        brand=method.brand,
        last4=method.last4,
        exp_month=method.exp_month,
        exp_year=method.exp_year,
        is_default=False,
        added_ms=at_ms,
        removed_ms=None,
    )


async def take_over(
    conn: AsyncConnection, account_id: str, provider: str, there: Sequence[ProviderMethod], at_ms: int
) -> list[BookedMethod]:
    """Book what the provider has; those that are new here, oldest first as the provider lists newest first."""
    known = await payment_methods.of_ref(conn, provider, [one.ref for one in there])
    new = []
    for one in reversed(there):
        before = known.get(one.ref)
        if before is not None and before.account_id != account_id:
            continue
        now = booked(account_id, provider, new_method_id(), one, at_ms)
        if before is not None:
            await payment_methods.revise(conn, replace(now, id=before.id))
            continue
        await payment_methods.add(conn, now)
        new.append(now)
    return new


async def make_default(
    conn: AsyncConnection,
    method: BookedMethod,
    known: Sequence[BookedMethod],
    *,
    at_ms: int,
    actor: str,
    action: str = "payment_method.default",
) -> None:
    """Charge this one; what is past due is to be tried with it at once. `known`: the methods as they were before."""
    before = next((one for one in known if one.is_default), None)
    await payment_methods.set_default(conn, method.account_id, method.provider, method.id)
    if before is None or before.id != method.id:
        await invoice_collections.ask(conn, method.account_id, at_ms)
    said = {"default_before": None if before is None else before.id, "brand": method.brand, "last4": method.last4}
    await _note(conn, method, action, said, actor=actor, at_ms=at_ms)


async def remove(conn: AsyncConnection, method: BookedMethod, *, at_ms: int, actor: str) -> None:
    """Forget it. Whether another becomes the default is the caller's to decide."""
    await payment_methods.remove(conn, method.id, at_ms)
    await _note(conn, method, "payment_method.remove", {"last4": method.last4}, actor=actor, at_ms=at_ms)


async def keep_after_all(conn: AsyncConnection, method: BookedMethod, *, at_ms: int, actor: str) -> None:
    """Take a removal back: the provider could not be told, so it still has the method."""
    await payment_methods.revise(conn, method)
    said = {"last4": method.last4, "reason": "the provider could not be told that it was removed"}
    await _note(conn, method, "payment_method.add", said, actor=actor, at_ms=at_ms)
    if method.is_default:
        known = await payment_methods.of_account(conn, method.account_id, method.provider)
        await make_default(conn, method, known, at_ms=at_ms, actor=actor)


async def _note(
    conn: AsyncConnection, method: BookedMethod, action: str, detail: Mapping[str, Any], *, actor: str, at_ms: int
) -> None:
    await audit.write(conn, AuditEntry(at_ms, actor, action, method.account_id, method.id, detail))
