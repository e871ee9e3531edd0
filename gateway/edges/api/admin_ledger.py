"""An account's credit ledger for the operator, as it stands or stood."""

from pydantic import Field

from gateway.domain.instant import epoch_ms
from gateway.edges.api.endpoint import Area, Ask, Document, Endpoint, Strict
from gateway.edges.api.instants import NearInstant
from gateway.edges.api.replies.admin import CreditLedger
from gateway.edges.desk import Desk
from gateway.edges.documents.ledger_json import ledger_json
from gateway.wire.problems import Fault


class LedgerQuery(Strict):
    """As of when."""

    as_of: NearInstant | None = Field(None, description="What had been booked by then; else now")


def ledger_endpoints(desk: Desk, area: Area) -> list[Endpoint]:
    """Read only: the ledger is added to by grants and usage alone."""

    async def shown(ask: Ask) -> Document:
        wanted: LedgerQuery = ask.query
        account_id = area.account_of(ask)
        as_of_ms = None if wanted.as_of is None else epoch_ms(wanted.as_of)
        return ledger_json(account_id, as_of_ms, await desk.ledger.balances(account_id, as_of_ms=as_of_ms))

    return [
        Endpoint(
            "GET",
            f"{area.base}/ledger",
            shown,
            "What stands in the credit ledger, or stood at any time",
            "accounts",
            reply=CreditLedger,
            query=LedgerQuery,
            problems=(Fault.NO_SUCH_RESOURCE,),
        )
    ]
