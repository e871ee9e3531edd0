"""`gateway explain`: why one call was charged that much, or refused, step by step, whosever it is."""

from typing import TYPE_CHECKING, Annotated

import typer

from gateway.edges.cli.options import DEFAULT_CONFIG, AsJson, ConfigFile
from gateway.edges.cli.printing import print_json
from gateway.edges.cli.running import on_stores

if TYPE_CHECKING:
    from gateway.books.refusals import Refusal
    from gateway.flows.explain import Receipt
    from gateway.stores import Stores


def explain(
    request: Annotated[str, typer.Argument(metavar="REQUEST_ID", help="The call's X-Request-Id, req_…")],
    config: ConfigFile = DEFAULT_CONFIG,
    as_json: AsJson = False,
) -> None:
    """Say what a call was quoted, held and charged, on what evidence and by which versions, or why it was refused."""

    async def work(stores: "Stores") -> "Receipt | Refusal":
        from gateway.flows.explain import Explain
        from gateway.flows.faults import CallerFault, NoSuchThing
        from gateway.ledger.holds import Holds

        holds = Holds(stores.store, shards=stores.ledger.shards)
        try:
            return await Explain(books=stores.books, holds=holds, parts_of=stores.parts_of).of_anyone(request)
        except NoSuchThing as missing:
            raise CallerFault(
                f"{missing}: take the id from the call's X-Request-Id. Free calls leave nothing behind, refusals are "
                "kept for 30 days at most"
            ) from None

    found = on_stores(config, work)
    if as_json:
        from gateway.edges.api.receipt_document import explained

        print_json(explained(found))
        return
    from gateway.edges.cli.explain_words import sentences

    for number, sentence in enumerate(sentences(found), 1):
        print(f"{number}. {sentence}")
