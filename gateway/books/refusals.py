"""Refused calls of late: kept for a while so that "why was I refused?" has an answer. Best effort, never usage."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from typing import Final

from sqlalchemy import delete, select
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.books.dialect import upsert
from gateway.books.tables import refusals


@dataclass(frozen=True, slots=True)
class Refusal:
    """One refused call. What it did not come to is empty or None: the price, the numbers of an admission."""

    request_id: str
    at_ms: int
    account_id: str
    project_id: str
    key_id: str
    method: str
    route: str
    status: int
    code: str
    product: str
    mode: str
    plan_id: str
    rate_card_version: str
    expected_units: int | None
    millicredits_per_unit: int | None
    required_millicredits: int | None
    available_millicredits: int | None
    limit_name: str
    retry_in_ms: int | None
    resets_at_ms: int | None


_COLUMNS: Final = tuple(refusals.c[field.name] for field in fields(Refusal))


async def add(conn: AsyncConnection, refused: Sequence[Refusal]) -> None:
    """Keep them; one that is kept already stays as it is."""
    if refused:
        await conn.execute(upsert(conn, refusals).on_conflict_do_nothing(), [asdict(one) for one in refused])


async def get(conn: AsyncConnection, request_id: str) -> Refusal | None:
    """The refused call, None where none of this id is kept."""
    row = (await conn.execute(select(*_COLUMNS).where(refusals.c.request_id == request_id))).one_or_none()
    return None if row is None else Refusal(*row)


async def first_to_keep_ms(conn: AsyncConnection, *, most: int) -> int:
    """The age at which the newest `most` end: what is older than this instant is too many. 0: there are fewer."""
    query = select(refusals.c.at_ms).order_by(refusals.c.at_ms.desc()).offset(most - 1).limit(1)
    return (await conn.execute(query)).scalar_one_or_none() or 0


async def trim(conn: AsyncConnection, *, before_ms: int, limit: int) -> int:
    """Forget the oldest before an instant, at most `limit`; how many those were."""
    oldest = (
        select(refusals.c.request_id)
        .where(refusals.c.at_ms < before_ms)
        .order_by(refusals.c.at_ms)
        .limit(limit)
        .scalar_subquery()
    )
    return (await conn.execute(delete(refusals).where(refusals.c.request_id.in_(oldest)))).rowcount
