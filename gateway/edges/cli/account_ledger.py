"""`gateway account ledger`: what stands in an account's credit ledger, or stood at any time."""

from typing import TYPE_CHECKING, Annotated

import typer

from gateway.edges.cli.amounts import instant
from gateway.edges.cli.options import DEFAULT_CONFIG, AccountId, AsJson, ConfigFile
from gateway.edges.cli.printing import print_json, print_table
from gateway.edges.cli.running import on_stores

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gateway.flows.credit_ledger import PeriodBalances
    from gateway.stores import Stores


def ledger(
    account: AccountId,
    *,
    as_of: Annotated[
        int | None,
        typer.Option("--as-of", metavar="2026-11-23T12:00", help="What had been booked by then.", parser=instant),
    ] = None,
    config: ConfigFile = DEFAULT_CONFIG,
    as_json: AsJson = False,
) -> None:
    """Show the credit ledger by billing period: what was issued, what is left of it, what was used. It sums to zero."""

    async def work(stores: "Stores") -> "Sequence[PeriodBalances]":
        from gateway.flows.credit_ledger import CreditLedger

        return await CreditLedger(books=stores.books).balances(account, as_of_ms=as_of)

    periods = on_stores(config, work)
    if as_json:
        from gateway.edges.documents.ledger_json import ledger_json

        print_json(ledger_json(account, as_of, periods))
        return
    from gateway.books.ledger_entries import LedgerAccount
    from gateway.domain.credits import credits_text
    from gateway.domain.instant import from_epoch_ms

    names = list(LedgerAccount)
    rows = [
        [
            from_epoch_ms(one.start_ms).isoformat(sep=" ", timespec="minutes"),
            *(credits_text(one.balances[name]) for name in names),
        ]
        for one in periods
    ]
    print_table(["period", *(name.value for name in names)], rows, numbers=[name.value for name in names])
