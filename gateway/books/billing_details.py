"""Who stands on invoices: the seller, and each account's own name, address and tax. Invoices issued keep what was."""

from dataclasses import asdict, dataclass
from typing import Final

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.books.dialect import upsert
from gateway.books.tables import billing_details

SELLER: Final = "seller"


@dataclass(frozen=True, slots=True)
class BillingDetails:
    """One party. `address` has line breaks. The tax is the one its invoices bear; the seller's is for accounts that
    have none of their own.
    """

    party: str
    name: str = ""
    address: str = ""
    email: str = ""
    tax_id: str = ""
    tax_name: str = ""
    tax_parts_per_million: int = 0


async def get(conn: AsyncConnection, party: str) -> BillingDetails | None:
    """The party's details; None where nothing was said."""
    row = (await conn.execute(select(billing_details).where(billing_details.c.party == party))).one_or_none()
    return None if row is None else BillingDetails(*row)


async def of_parties(conn: AsyncConnection, *parties: str) -> dict[str, BillingDetails]:
    """The details of several parties; those of whom nothing was said are left out."""
    query = select(billing_details).where(billing_details.c.party.in_(parties))
    return {row[0]: BillingDetails(*row) for row in await conn.execute(query)}


async def put(conn: AsyncConnection, details: BillingDetails) -> None:
    """Keep these in place of what was."""
    values = asdict(details)
    statement = upsert(conn, billing_details).values(**values)
    await conn.execute(statement.on_conflict_do_update(index_elements=["party"], set_=values))
