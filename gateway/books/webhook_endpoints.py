"""Webhook endpoints as booked: where an account wants to hear of what, and the seeds of the secrets that sign it."""

import json
from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import delete, func, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.books.ids import new_id
from gateway.books.tables import webhook_attempts, webhook_deliveries, webhook_endpoints
from gateway.domain.webhook import EventType


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One endpoint. `event_types` None: all, also those to come.

    `disabled_ms` None: it is in use. `failing_since_ms` None: the last delivery succeeded, or there was none yet.
    """

    id: str
    account_id: str
    url: str
    description: str
    event_types: frozenset[str] | None
    seed: str = field(repr=False)
    previous_seed: str | None = field(repr=False)
    previous_until_ms: int | None
    created_ms: int
    disabled_ms: int | None
    disabled_reason: str
    failing_since_ms: int | None

    def seeds_at(self, at_ms: int) -> tuple[str, ...]:
        """Those whose secrets sign at that instant, the current one first."""
        if self.previous_seed is None or (self.previous_until_ms or 0) <= at_ms:
            return (self.seed,)
        return self.seed, self.previous_seed


async def add(
    conn: AsyncConnection,
    *,
    account_id: str,
    url: str,
    description: str,
    event_types: Collection[EventType] | None,
    seed: str,
    at_ms: int,
) -> str:
    """A new endpoint; its id."""
    endpoint_id = new_id("whk")
    await conn.execute(
        insert(webhook_endpoints).values(
            id=endpoint_id,
            account_id=account_id,
            url=url,
            description=description,
            event_types=_as_json(event_types),
            seed=seed,
            created_ms=at_ms,
            disabled_reason="",
        )
    )
    return endpoint_id


async def get(conn: AsyncConnection, endpoint_id: str, *, lock: bool = False) -> Endpoint | None:
    """The endpoint. With `lock`, nobody else changes it before this transaction ends."""
    query = select(webhook_endpoints).where(webhook_endpoints.c.id == endpoint_id)
    # Rows that point to it may come meanwhile: whoever adds one may hold the account that we are about to note.
    locked = query.with_for_update(key_share=True)
    return _endpoint((await conn.execute(locked if lock else query)).one_or_none())


async def of_account(conn: AsyncConnection, account_id: str) -> list[Endpoint]:
    """The account's endpoints, oldest first."""
    table = webhook_endpoints
    query = select(table).where(table.c.account_id == account_id).order_by(table.c.created_ms, table.c.id)
    found = (_endpoint(row) for row in await conn.execute(query))
    return [one for one in found if one is not None]


async def in_use(conn: AsyncConnection, account_id: str) -> list[Endpoint]:
    """Those of the account that are not disabled; none of them is removed before this transaction ends."""
    table = webhook_endpoints
    query = select(table).where(table.c.account_id == account_id, table.c.disabled_ms.is_(None)).order_by(table.c.id)
    found = (_endpoint(row) for row in await conn.execute(query.with_for_update(read=True, key_share=True)))
    return [one for one in found if one is not None]


async def count(conn: AsyncConnection, account_id: str) -> int:
    """How many the account has, disabled ones too."""
    query = select(func.count()).where(webhook_endpoints.c.account_id == account_id)
    return int((await conn.execute(query)).scalar_one())


async def describe(
    conn: AsyncConnection,
    endpoint_id: str,
    *,
    url: str,
    description: str,
    event_types: Collection[EventType] | None,
) -> None:
    """Another address, description or choice of events."""
    await _set(conn, endpoint_id, url=url, description=description, event_types=_as_json(event_types))


async def rotate(
    conn: AsyncConnection, endpoint_id: str, *, seed: str, previous_seed: str, previous_until_ms: int
) -> None:
    """Another secret; the one before signs too until `previous_until_ms`."""
    await _set(conn, endpoint_id, seed=seed, previous_seed=previous_seed, previous_until_ms=previous_until_ms)


async def enable(conn: AsyncConnection, endpoint_id: str) -> None:
    """In use, with a clean sheet."""
    await _set(conn, endpoint_id, disabled_ms=None, disabled_reason="", failing_since_ms=None)


async def disable(conn: AsyncConnection, endpoint_id: str, *, reason: str, at_ms: int) -> None:
    """Out of use; what waits for it is for the caller to end."""
    await _set(conn, endpoint_id, disabled_ms=at_ms, disabled_reason=reason)


async def note_success(conn: AsyncConnection, endpoint_id: str) -> None:
    """It took a delivery. Writes nothing where that is no news."""
    table = webhook_endpoints.c
    await conn.execute(
        update(webhook_endpoints)
        .where(table.id == endpoint_id, table.failing_since_ms.is_not(None))
        .values(failing_since_ms=None)
    )


async def note_failure(conn: AsyncConnection, endpoint_id: str, at_ms: int) -> None:
    """It took none. Only the first of a row of failures is noted."""
    table = webhook_endpoints.c
    await conn.execute(
        update(webhook_endpoints)
        .where(table.id == endpoint_id, table.failing_since_ms.is_(None))
        .values(failing_since_ms=at_ms)
    )


async def remove(conn: AsyncConnection, endpoint_id: str) -> None:
    """It and its delivery log."""
    mine = select(webhook_deliveries.c.id).where(webhook_deliveries.c.endpoint_id == endpoint_id)
    await conn.execute(delete(webhook_attempts).where(webhook_attempts.c.delivery_id.in_(mine)))
    await conn.execute(delete(webhook_deliveries).where(webhook_deliveries.c.endpoint_id == endpoint_id))
    await conn.execute(delete(webhook_endpoints).where(webhook_endpoints.c.id == endpoint_id))


async def _set(conn: AsyncConnection, endpoint_id: str, **values: object) -> None:
    await conn.execute(update(webhook_endpoints).where(webhook_endpoints.c.id == endpoint_id).values(**values))


def _as_json(event_types: Collection[EventType] | None) -> str | None:
    return None if event_types is None else json.dumps(sorted(event_types))


def _endpoint(row: Any) -> Endpoint | None:
    if row is None:
        return None
    endpoint_id, account_id, url, description, event_types, *rest = row
    chosen = None if event_types is None else frozenset(json.loads(event_types))
    return Endpoint(endpoint_id, account_id, url, description, chosen, *rest)
