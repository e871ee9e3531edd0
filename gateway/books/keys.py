"""API keys as booked: the HMAC of the secret, never the secret, and what the key may be used for.

The caller of each change raises the account's terms version in the same transaction.
"""

import json
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Select, func, insert, select, tuple_, update
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.books.ids import new_id
from gateway.books.tables import accounts, api_keys

PEPPER_VERSION = 1


@dataclass(frozen=True, slots=True)
class KeyRecord:
    """One key. `products` None: all. `terms_version` is the account's at the moment of reading."""

    id: str
    account_id: str
    project_id: str
    name: str
    products: frozenset[str] | None
    created_ms: int
    expires_ms: int | None
    revoked_ms: int | None
    replaced_by: str | None
    terms_version: int

    def usable(self, at_ms: int) -> bool:
        """Neither revoked nor expired."""
        return self.revoked_ms is None and (self.expires_ms is None or at_ms < self.expires_ms)


async def add(
    conn: AsyncConnection,
    *,
    account_id: str,
    project_id: str,
    digest: bytes,
    name: str,
    products: frozenset[str] | None,
    expires_ms: int | None,
    at_ms: int,
) -> str:
    """A new key; its public id."""
    key_id = new_id("key")
    await conn.execute(
        insert(api_keys).values(
            id=key_id,
            account_id=account_id,
            project_id=project_id,
            digest=digest,
            pepper_version=PEPPER_VERSION,
            name=name,
            products=None if products is None else json.dumps(sorted(products)),
            created_ms=at_ms,
            expires_ms=expires_ms,
            revoked_ms=None,
            replaced_by=None,
        )
    )
    return key_id


async def find(conn: AsyncConnection, digest: bytes) -> KeyRecord | None:
    """The key with this digest, whether usable or not."""
    return _record((await conn.execute(_select().where(api_keys.c.digest == digest))).one_or_none())


async def get(conn: AsyncConnection, key_id: str) -> KeyRecord | None:
    """The key with this public id."""
    return _record((await conn.execute(_select().where(api_keys.c.id == key_id))).one_or_none())


async def of_account(conn: AsyncConnection, account_id: str) -> list[KeyRecord]:
    """All keys of the account, used up ones too, oldest first."""
    query = _select().where(api_keys.c.account_id == account_id).order_by(api_keys.c.created_ms, api_keys.c.id)
    records = (_record(row) for row in await conn.execute(query))
    return [record for record in records if record is not None]


async def page(conn: AsyncConnection, account_id: str, *, after: tuple[int, str] | None, limit: int) -> list[KeyRecord]:
    """Keys of the account behind `after`, used up ones too, oldest first."""
    table = api_keys.c
    query = _select().where(table.account_id == account_id)
    if after is not None:
        query = query.where(tuple_(table.created_ms, table.id) > after)
    records = (_record(row) for row in await conn.execute(query.order_by(table.created_ms, table.id).limit(limit)))
    return [record for record in records if record is not None]


async def count_usable(conn: AsyncConnection, account_id: str, at_ms: int) -> int:
    """How many keys of the account are neither revoked nor expired."""
    table = api_keys.c
    query = select(func.count()).where(
        table.account_id == account_id,
        table.revoked_ms.is_(None),
        table.expires_ms.is_(None) | (table.expires_ms > at_ms),
    )
    return (await conn.execute(query)).scalar_one()


async def replace(conn: AsyncConnection, key_id: str, *, replaced_by: str, expires_ms: int) -> None:
    """Let the key end at `expires_ms`, in favour of another."""
    await conn.execute(
        update(api_keys).where(api_keys.c.id == key_id).values(replaced_by=replaced_by, expires_ms=expires_ms)
    )


async def revoke(conn: AsyncConnection, key_id: str, at_ms: int) -> None:
    """End the key now."""
    await conn.execute(update(api_keys).where(api_keys.c.id == key_id).values(revoked_ms=at_ms))


def _select() -> Select[Any]:
    table = api_keys
    return select(
        table.c.id,
        table.c.account_id,
        table.c.project_id,
        table.c.name,
        table.c.products,
        table.c.created_ms,
        table.c.expires_ms,
        table.c.revoked_ms,
        table.c.replaced_by,
        accounts.c.terms_version,
    ).join(accounts, accounts.c.id == table.c.account_id)


def _record(row: Any) -> KeyRecord | None:
    if row is None:
        return None
    key_id, account_id, project_id, name, products, *rest = row
    allowed = None if products is None else frozenset(json.loads(products))
    return KeyRecord(key_id, account_id, project_id, name, allowed, *rest)
