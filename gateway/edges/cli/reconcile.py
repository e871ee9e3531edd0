"""`gateway reconcile`: books and Redis, account by account, while traffic runs. Changes nothing."""

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from gateway.edges.cli.options import DEFAULT_CONFIG, AsJson, ConfigFile
from gateway.edges.cli.printing import print_json, print_table
from gateway.edges.cli.running import on_stores

if TYPE_CHECKING:
    from gateway.flows.reconcile import Difference, Report
    from gateway.stores import Stores

# So many accounts between two lines of progress.
BATCH = 100


def reconcile(
    account: Annotated[str | None, typer.Argument(metavar="[ACCOUNT]", help="One account; left out: all.")] = None,
    config: ConfigFile = DEFAULT_CONFIG,
    as_json: AsJson = False,
) -> None:
    """Prove that books, outbox, open holds and Redis's counters agree; exit 1 where they do not."""

    async def work(stores: "Stores") -> "Report":
        return await _reconcile(stores, account)

    report = on_stores(config, work)
    if as_json:
        print_json(
            {"ok": report.ok, "accounts": report.accounts, "differences": [_shown(one) for one in report.differences]}
        )
    elif report.ok:
        print(f"ok: {report.accounts} account{'s' if report.accounts != 1 else ''} agree, books and Redis")
    else:
        columns = ("account_id", "what", "expected", "found")
        shown = [_shown(one) for one in report.differences]
        print_table(columns, [[_plain(row[name]) for name in columns] for row in shown], numbers=columns[2:])
    if not report.ok:
        raise typer.Exit(1)


async def _reconcile(stores: "Stores", account: str | None) -> "Report":
    from gateway.books import accounts
    from gateway.flows.reconcile import Report, reconcile

    if account is not None:
        return await reconcile(stores.books, stores.ledger, [account])
    async with stores.books.read() as conn:
        account_ids = [known.id for known in await accounts.every(conn)]
    differences: list[Difference] = []
    for first in range(0, len(account_ids), BATCH):
        if first and sys.stderr.isatty():
            print(f"\r{first} of {len(account_ids)} accounts", end="", file=sys.stderr, flush=True)
        found = await reconcile(stores.books, stores.ledger, account_ids[first : first + BATCH])
        differences += found.differences
    if len(account_ids) > BATCH and sys.stderr.isatty():
        print("\r\x1b[K", end="", file=sys.stderr, flush=True)
    return Report(len(account_ids), tuple(differences))


def _shown(difference: "Difference") -> dict[str, object]:
    from gateway.edges.api.usage_document import amount

    show = amount if difference.in_credits else int
    return {
        "account_id": difference.account_id,
        "what": difference.what,
        "expected": show(difference.expected),
        "found": show(difference.found),
    }


def _plain(value: object) -> str:
    import orjson

    return orjson.dumps(value).decode() if isinstance(value, orjson.Fragment) else str(value)
