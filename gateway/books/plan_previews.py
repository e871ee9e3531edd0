"""What upgrades were said to cost, and what that assumed, so that it can be honoured. One for each plan is kept."""

from dataclasses import dataclass

from sqlalchemy import delete, insert, select
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.books.ids import new_id
from gateway.books.tables import plan_previews


@dataclass(frozen=True, slots=True)
class BookedPreview:
    """The price of `plan_id` as told at `made_ms`: for usage up to `up_to_seq`, what was held counted as used."""

    account_id: str
    plan_id: str
    period_start_ms: int
    up_to_seq: int
    held_millicredits: int
    price_cents: int
    total_cents: int
    made_ms: int


async def add(conn: AsyncConnection, preview: BookedPreview) -> None:
    """Keep a preview in place of what was told before: the newest is what is honoured, and asking fills no disk."""
    told = plan_previews.c
    before = (told.account_id == preview.account_id, told.plan_id == preview.plan_id, told.made_ms <= preview.made_ms)
    await conn.execute(delete(plan_previews).where(*before))
    await conn.execute(
        insert(plan_previews).values(
            id=new_id("pvw"),
            account_id=preview.account_id,
            plan_id=preview.plan_id,
            period_start_ms=preview.period_start_ms,
            up_to_seq=preview.up_to_seq,
            held_millicredits=preview.held_millicredits,
            price_cents=preview.price_cents,
            total_cents=preview.total_cents,
            made_ms=preview.made_ms,
        )
    )


async def newest(
    conn: AsyncConnection, account_id: str, *, plan_id: str, period_start_ms: int, since_ms: int
) -> BookedPreview | None:
    """The last one made for this plan in this period, at or after `since_ms`."""
    table = plan_previews.c
    columns = (
        *(table.account_id, table.plan_id, table.period_start_ms, table.up_to_seq, table.held_millicredits),
        *(table.price_cents, table.total_cents, table.made_ms),
    )
    query = (
        select(*columns)
        .where(
            table.account_id == account_id,
            table.plan_id == plan_id,
            table.period_start_ms == period_start_ms,
            table.made_ms >= since_ms,
        )
        .order_by(table.made_ms.desc(), table.id.desc())
        .limit(1)
    )
    row = (await conn.execute(query)).one_or_none()
    return None if row is None else BookedPreview(*row)
