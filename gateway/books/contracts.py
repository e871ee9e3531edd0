"""Contracts as booked: every version as it was agreed. Which one is in force is for the domain."""

import json
from typing import Any

from sqlalchemy import insert, select
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.books.tables import contracts
from gateway.domain.contract import BillingPeriod, Contract, ContractVersion, OverageMode
from gateway.domain.plan import RateLimit, Tier


async def add(conn: AsyncConnection, agreed: ContractVersion) -> None:
    """Book a version. IntegrityError where there is one of that number."""
    await conn.execute(
        insert(contracts).values(
            account_id=agreed.account_id,
            version=agreed.version,
            subscription_id=agreed.subscription_id,
            effective_ms=agreed.effective_ms,
            terms=json.dumps(terms_document(agreed.contract), sort_keys=True),
            agreed_ms=agreed.agreed_ms,
            actor=agreed.actor,
            reason=agreed.reason,
        )
    )


async def of_account(conn: AsyncConnection, account_id: str) -> list[ContractVersion]:
    """All versions, oldest first."""
    query = select(contracts).where(contracts.c.account_id == account_id).order_by(contracts.c.version)
    return [_version(row) for row in await conn.execute(query)]


async def get(conn: AsyncConnection, account_id: str, version: int) -> ContractVersion | None:
    """One version."""
    query = select(contracts).where(contracts.c.account_id == account_id, contracts.c.version == version)
    row = (await conn.execute(query)).one_or_none()
    return None if row is None else _version(row)


def terms_document(contract: Contract) -> dict[str, Any]:
    """A contract in JSON's words: whole millicredits, cents, nano-dollars, milliseconds."""
    return {
        "committed_millicredits": contract.committed_millicredits,
        "price_cents": contract.price_cents,
        "period": contract.period.value,
        "overage": contract.overage.value,
        "tiers": [[tier.up_to_millicredits, tier.nanodollars_per_millicredit] for tier in contract.tiers],
        "max_cents_per_period": contract.max_cents_per_period,
        "rate_limits": {
            name: None if limit is None else [limit.calls, limit.window_ms]
            for name, limit in contract.rate_limits.items()
        },
        "concurrent_calls": contract.concurrent_calls,
        "rollover_parts_per_million": contract.rollover_parts_per_million,
        "net_days": contract.net_days,
        "ends_ms": contract.ends_ms,
    }


def contract_of(terms: str) -> Contract:
    """A contract as its row holds it."""
    said = json.loads(terms)
    return Contract(
        committed_millicredits=said["committed_millicredits"],
        price_cents=said["price_cents"],
        period=BillingPeriod(said["period"]),
        overage=OverageMode(said["overage"]),
        tiers=tuple(Tier(*tier) for tier in said["tiers"]),
        max_cents_per_period=said["max_cents_per_period"],
        rate_limits={
            name: None if limit is None else RateLimit(name, *limit) for name, limit in said["rate_limits"].items()
        },
        concurrent_calls=said["concurrent_calls"],
        rollover_parts_per_million=said["rollover_parts_per_million"],
        net_days=said["net_days"],
        ends_ms=said["ends_ms"],
    )


def _version(row: Any) -> ContractVersion:
    account_id, version, subscription_id, effective_ms, terms, agreed_ms, actor, reason = row
    return ContractVersion(
        account_id, version, subscription_id, effective_ms, contract_of(terms), agreed_ms, actor, reason
    )
