"""Changes of plan that are paid for before they are made: at which price, and what that assumed."""

from dataclasses import dataclass
from typing import Any

from sqlalchemy import insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.books.plan_previews import BookedPreview
from gateway.books.tables import plan_change_payments
from gateway.domain.payment import PlanChangeState


@dataclass(frozen=True, slots=True)
class PaidChange:
    """One change. `told` is what its price assumed; `fault` why it was not made."""

    id: str
    told: BookedPreview
    state: PlanChangeState
    actor: str
    reason: str
    fault: str | None
    started_ms: int
    ended_ms: int | None

    @property
    def account_id(self) -> str:
        """Whose plan is changed."""
        return self.told.account_id

    @property
    def plan_id(self) -> str:
        """The plan to be on."""
        return self.told.plan_id


async def add(conn: AsyncConnection, change: PaidChange) -> None:
    """Keep a new one; an account has one at a time that is being paid."""
    told = change.told
    await conn.execute(
        insert(plan_change_payments).values(
            id=change.id,
            account_id=told.account_id,
            plan_id=told.plan_id,
            period_start_ms=told.period_start_ms,
            up_to_seq=told.up_to_seq,
            held_millicredits=told.held_millicredits,
            price_cents=told.price_cents,
            total_cents=told.total_cents,
            told_ms=told.made_ms,
            state=change.state,
            actor=change.actor,
            reason=change.reason,
            fault=change.fault,
            started_ms=change.started_ms,
            ended_ms=change.ended_ms,
        )
    )


async def get(conn: AsyncConnection, change_id: str) -> PaidChange | None:
    """The change of this id."""
    row = (await conn.execute(_all().where(plan_change_payments.c.id == change_id))).one_or_none()
    return None if row is None else _change(row)


async def being_paid(conn: AsyncConnection, account_id: str) -> PaidChange | None:
    """The account's that is not decided yet."""
    table = plan_change_payments.c
    query = _all().where(table.account_id == account_id, table.state == PlanChangeState.PAYING)
    row = (await conn.execute(query)).one_or_none()
    return None if row is None else _change(row)


async def end(conn: AsyncConnection, change_id: str, state: PlanChangeState, *, fault: str | None, at_ms: int) -> None:
    """What became of it."""
    ended = update(plan_change_payments).where(plan_change_payments.c.id == change_id)
    await conn.execute(ended.values(state=state, fault=fault, ended_ms=at_ms))


def _all() -> Any:
    return select(plan_change_payments)


def _change(row: Any) -> PaidChange:
    told = BookedPreview(
        account_id=row.account_id,
        plan_id=row.plan_id,
        period_start_ms=row.period_start_ms,
        up_to_seq=row.up_to_seq,
        held_millicredits=row.held_millicredits,
        price_cents=row.price_cents,
        total_cents=row.total_cents,
        made_ms=row.told_ms,
    )
    state = PlanChangeState(row.state)
    return PaidChange(row.id, told, state, row.actor, row.reason, row.fault, row.started_ms, row.ended_ms)
