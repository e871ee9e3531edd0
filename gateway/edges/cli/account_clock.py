"""`gateway account clock`: what a sandbox account's own clock shows, and walking the account through months."""

from typing import TYPE_CHECKING, Annotated

import typer

from gateway.edges.cli.amounts import duration, instant
from gateway.edges.cli.options import DEFAULT_CONFIG, AccountId, AsJson, ConfigFile
from gateway.edges.cli.printing import print_json
from gateway.edges.cli.running import on_stores, own_clocks

if TYPE_CHECKING:
    from gateway.flows.own_clock import OwnClock
    from gateway.stores import Stores


def clock(
    account: AccountId,
    *,
    advance: Annotated[
        int | None, typer.Option("--advance", metavar="31d", help="Go on by so much.", parser=duration)
    ] = None,
    to: Annotated[
        int | None, typer.Option("--to", metavar="2027-01-31T12:00", help="Go on to this instant.", parser=instant)
    ] = None,
    show: Annotated[bool, typer.Option("--show", help="Only tell what it shows.")] = False,
    config: ConfigFile = DEFAULT_CONFIG,
    as_json: AsJson = False,
) -> None:
    """Advance the clock of an account that was opened with --sandbox; all that is due on the way is done there.

    Periods are closed, invoices issued and collected, plans changed, as they would be if the time had passed.
    """
    if sum((advance is not None, to is not None, show)) != 1:
        raise typer.BadParameter("name one of --advance, --to and --show")

    async def work(stores: "Stores") -> "OwnClock":
        from gateway.flows.faults import CallerFault, InvoicingStopped

        if show:
            return await own_clocks(stores).show(account)
        try:
            return await own_clocks(stores).advance(account, by_ms=advance, to_ms=to)
        except InvoicingStopped as stopped:
            raise CallerFault(str(stopped)) from stopped

    shown = on_stores(config, work)
    from gateway.edges.documents.clock_json import clock_json

    document = clock_json(shown)
    if as_json:
        print_json(document)
        return
    kind = "a sandbox" if document["sandbox"] else "a real account"
    print(f"{account} is {kind}; its clock shows {document['now']}.")
    for invoice in shown.issued:
        from gateway.domain.money import dollars_text

        print(f"Invoice {invoice.number} over {dollars_text(invoice.total_cents)} was issued.")
