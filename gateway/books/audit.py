"""The audit log: who changed what, when, and why. Added to in the transaction of the change; holds no secret."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import insert, select, tuple_
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.books.ids import new_id
from gateway.books.tables import audit_log


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """One change."""

    at_ms: int
    actor: str
    action: str
    account_id: str
    subject_id: str
    detail: Mapping[str, Any]


async def write(conn: AsyncConnection, entry: AuditEntry) -> None:
    """Add the entry."""
    await conn.execute(
        insert(audit_log).values(
            id=new_id("aud"),
            at_ms=entry.at_ms,
            actor=entry.actor,
            action=entry.action,
            account_id=entry.account_id,
            subject_id=entry.subject_id,
            detail=json.dumps(entry.detail, sort_keys=True),
        )
    )


async def of_account(conn: AsyncConnection, account_id: str, *, limit: int = 100) -> list[AuditEntry]:
    """The newest entries about an account, newest first."""
    table = audit_log
    query = (
        select(table.c.at_ms, table.c.actor, table.c.action, table.c.account_id, table.c.subject_id, table.c.detail)
        .where(table.c.account_id == account_id)
        .order_by(table.c.at_ms.desc(), table.c.id.desc())
        .limit(limit)
    )
    return [AuditEntry(*row[:-1], detail=json.loads(row[-1])) for row in await conn.execute(query)]


async def page(
    conn: AsyncConnection, *, account_id: str | None, before: tuple[int, str] | None, limit: int
) -> list[tuple[str, AuditEntry]]:
    """Entries behind `before`, newest first, each with its id; `account_id` None: about all accounts."""
    table = audit_log.c
    columns = (table.id, table.at_ms, table.actor, table.action, table.account_id, table.subject_id, table.detail)
    query = select(*columns)
    if account_id is not None:
        query = query.where(table.account_id == account_id)
    if before is not None:
        query = query.where(tuple_(table.at_ms, table.id) < before)
    rows = await conn.execute(query.order_by(table.at_ms.desc(), table.id.desc()).limit(limit))
    return [(row[0], AuditEntry(*row[1:-1], detail=json.loads(row[-1]))) for row in rows]
