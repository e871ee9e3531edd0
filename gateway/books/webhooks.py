"""Events on their way to webhook endpoints: what is due, who is delivering it, and what became of each try.

A delivery is leased by writing a lease and moving its time ahead: a process that dies leaves it due again a minute
later, and one that was too slow finds its lease gone. Sends nothing.
"""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import delete, func, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.books.ids import new_id
from gateway.books.tables import webhook_attempts, webhook_deliveries, webhook_endpoints, webhook_messages
from gateway.domain.webhook import DeliveryStatus

# Longer than the longest try may take.
LEASE_MS: Final = 60_000


@dataclass(frozen=True, slots=True)
class DueDelivery:
    """One delivery, leased. `tries` counts those before, since it was first due or replayed."""

    id: str
    message_id: str
    endpoint_id: str
    attempts: int
    tries: int
    lease: str
    body: str


@dataclass(frozen=True, slots=True)
class Delivery:
    """One line of the delivery log. `last_status` and `last_fault` are of the last try."""

    id: str
    message_id: str
    endpoint_id: str
    type: str
    status: DeliveryStatus
    attempts: int
    next_ms: int | None
    created_ms: int
    ended_ms: int | None
    last_status: int | None
    last_fault: str


@dataclass(frozen=True, slots=True)
class Attempt:
    """One try. `status` None: there was no answer, and `fault` says why. `reply` is how its body begins."""

    number: int
    at_ms: int
    status: int | None
    duration_ms: int
    fault: str
    reply: str


async def add_message(
    conn: AsyncConnection,
    *,
    message_id: str,
    account_id: str,
    event_type: str,
    body: bytes,
    endpoint_ids: Collection[str],
    at_ms: int,
) -> list[str]:
    """Something that happened, due at once at each endpoint; the deliveries' ids."""
    await conn.execute(
        insert(webhook_messages).values(
            id=message_id, account_id=account_id, type=event_type, body=body.decode(), created_ms=at_ms
        )
    )
    rows = [
        {
            "id": new_id("dlv"),
            "message_id": message_id,
            "endpoint_id": endpoint_id,
            "status": DeliveryStatus.WAITING,
            "attempts": 0,
            "tries": 0,
            "next_ms": at_ms,
            "created_ms": at_ms,
        }
        for endpoint_id in endpoint_ids
    ]
    await conn.execute(insert(webhook_deliveries), rows)
    return [str(row["id"]) for row in rows]


async def sent_since(conn: AsyncConnection, endpoint_id: str, event_type: str, since_ms: int) -> int:
    """How many events of a type an endpoint was to hear of since an instant."""
    table = webhook_deliveries.c
    query = (
        select(func.count())
        .select_from(webhook_deliveries.join(webhook_messages, webhook_messages.c.id == table.message_id))
        .where(table.endpoint_id == endpoint_id, table.created_ms >= since_ms, webhook_messages.c.type == event_type)
    )
    return int((await conn.execute(query)).scalar_one())


async def due_endpoints(
    conn: AsyncConnection, at_ms: int, *, apart_from: Collection[str] = (), limit: int = 50
) -> list[str]:
    """Endpoints for which something is due, those that have waited longest first."""
    table = webhook_deliveries.c
    query = (
        select(table.endpoint_id)
        .where(table.next_ms.is_not(None), table.next_ms <= at_ms, table.endpoint_id.not_in(list(apart_from)))
        .group_by(table.endpoint_id)
        .order_by(func.min(table.next_ms))
        .limit(limit)
    )
    return list((await conn.execute(query)).scalars())


async def lease(conn: AsyncConnection, endpoint_id: str, at_ms: int, *, limit: int) -> list[DueDelivery]:
    """Take what is due at one endpoint, for `LEASE_MS`. What another process takes meanwhile is left out."""
    table = webhook_deliveries.c
    due = (
        select(table.id)
        .where(table.endpoint_id == endpoint_id, table.next_ms.is_not(None), table.next_ms <= at_ms)
        .order_by(table.next_ms, table.id)
        .limit(limit)
        .with_for_update(skip_locked=True)
    )
    ids = list((await conn.execute(due)).scalars())
    if not ids:
        return []
    token = new_id("lse")
    await conn.execute(
        update(webhook_deliveries).where(table.id.in_(ids)).values(lease=token, next_ms=at_ms + LEASE_MS)
    )
    query = (
        select(table.id, table.message_id, table.endpoint_id, table.attempts, table.tries, table.lease)
        .add_columns(webhook_messages.c.body)
        .join(webhook_messages, webhook_messages.c.id == table.message_id)
        .where(table.id.in_(ids))
        .order_by(table.id)
    )
    return [DueDelivery(*row) for row in await conn.execute(query)]


async def finish(
    conn: AsyncConnection, due: DueDelivery, attempt: Attempt, status: DeliveryStatus, *, next_ms: int | None
) -> bool:
    """Note a try and what follows from it; False, and nothing noted, where the lease was lost."""
    table = webhook_deliveries.c
    ended_ms = None if status is DeliveryStatus.WAITING else attempt.at_ms + attempt.duration_ms
    changed = await conn.execute(
        update(webhook_deliveries)
        .where(table.id == due.id, table.lease == due.lease)
        .values(
            status=status,
            attempts=attempt.number,
            tries=due.tries + 1,
            next_ms=next_ms,
            lease=None,
            ended_ms=ended_ms,
        )
    )
    if not changed.rowcount:
        return False
    await conn.execute(
        insert(webhook_attempts).values(
            delivery_id=due.id,
            number=attempt.number,
            at_ms=attempt.at_ms,
            status=attempt.status,
            duration_ms=attempt.duration_ms,
            fault=attempt.fault,
            reply=attempt.reply,
        )
    )
    return True


async def give_up(conn: AsyncConnection, endpoint_id: str, at_ms: int) -> None:
    """End whatever still waits for the endpoint, as failed."""
    table = webhook_deliveries.c
    await conn.execute(
        update(webhook_deliveries)
        .where(table.endpoint_id == endpoint_id, table.next_ms.is_not(None))
        .values(status=DeliveryStatus.FAILED, next_ms=None, lease=None, ended_ms=at_ms)
    )


async def replay(conn: AsyncConnection, delivery_id: str, at_ms: int) -> None:
    """Due again now, with all its tries. One that is just being delivered goes on."""
    table = webhook_deliveries.c
    await conn.execute(_made_due(at_ms).where(table.id == delivery_id, table.lease.is_(None)))


async def replay_failed(conn: AsyncConnection, endpoint_id: str, *, since_ms: int, at_ms: int) -> int:
    """Everything of the endpoint that happened since then and failed, due again now; how many that is."""
    table = webhook_deliveries.c
    chosen = _made_due(at_ms).where(
        table.endpoint_id == endpoint_id, table.status == DeliveryStatus.FAILED, table.created_ms >= since_ms
    )
    return int((await conn.execute(chosen)).rowcount)


def _made_due(at_ms: int) -> Any:
    return update(webhook_deliveries).values(status=DeliveryStatus.WAITING, tries=0, next_ms=at_ms, ended_ms=None)


async def of_endpoint(
    conn: AsyncConnection, endpoint_id: str, *, status: DeliveryStatus | None = None, before: str = "", limit: int = 50
) -> list[Delivery]:
    """The endpoint's delivery log, newest first; `before` the delivery of this id."""
    query = _deliveries().where(webhook_deliveries.c.endpoint_id == endpoint_id)
    if status is not None:
        query = query.where(webhook_deliveries.c.status == status)
    if before:
        query = query.where(webhook_deliveries.c.id < before)
    rows = await conn.execute(query.order_by(webhook_deliveries.c.id.desc()).limit(limit))
    return [_delivery(row) for row in rows]


async def get(conn: AsyncConnection, delivery_id: str) -> Delivery | None:
    """One delivery."""
    row = (await conn.execute(_deliveries().where(webhook_deliveries.c.id == delivery_id))).one_or_none()
    return None if row is None else _delivery(row)


async def account_of(conn: AsyncConnection, delivery_id: str) -> str | None:
    """Whose delivery it is."""
    query = (
        select(webhook_endpoints.c.account_id)
        .join(webhook_deliveries, webhook_deliveries.c.endpoint_id == webhook_endpoints.c.id)
        .where(webhook_deliveries.c.id == delivery_id)
    )
    return (await conn.execute(query)).scalar_one_or_none()


async def attempts_of(conn: AsyncConnection, delivery_id: str, *, limit: int = 100) -> list[Attempt]:
    """The delivery's tries, the latest first."""
    table = webhook_attempts.c
    query = (
        select(table.number, table.at_ms, table.status, table.duration_ms, table.fault, table.reply)
        .where(table.delivery_id == delivery_id)
        .order_by(table.number.desc())
        .limit(limit)
    )
    return [Attempt(*row) for row in await conn.execute(query)]


async def body_of(conn: AsyncConnection, message_id: str) -> str | None:
    """What is sent, in JSON."""
    query = select(webhook_messages.c.body).where(webhook_messages.c.id == message_id)
    return (await conn.execute(query)).scalar_one_or_none()


async def trim(conn: AsyncConnection, *, before_ms: int, limit: int = 500) -> int:
    """Forget what happened before then, the oldest first, with its deliveries; how many events that was."""
    table = webhook_messages.c
    old = select(table.id).where(table.created_ms < before_ms).order_by(table.created_ms).limit(limit)
    ids = list((await conn.execute(old)).scalars())
    if ids:
        mine = select(webhook_deliveries.c.id).where(webhook_deliveries.c.message_id.in_(ids))
        await conn.execute(delete(webhook_attempts).where(webhook_attempts.c.delivery_id.in_(mine)))
        await conn.execute(delete(webhook_deliveries).where(webhook_deliveries.c.message_id.in_(ids)))
        await conn.execute(delete(webhook_messages).where(table.id.in_(ids)))
    return len(ids)


def _deliveries() -> Any:
    table, last = webhook_deliveries.c, webhook_attempts.c
    return (
        select(table.id, table.message_id, table.endpoint_id, webhook_messages.c.type, table.status, table.attempts)
        .add_columns(table.next_ms, table.created_ms, table.ended_ms, last.status, func.coalesce(last.fault, ""))
        .join(webhook_messages, webhook_messages.c.id == table.message_id)
        .outerjoin(webhook_attempts, (last.delivery_id == table.id) & (last.number == table.attempts))
    )


def _delivery(row: Any) -> Delivery:
    delivery_id, message_id, endpoint_id, event_type, status, *rest = row
    return Delivery(delivery_id, message_id, endpoint_id, event_type, DeliveryStatus(status), *rest)
