"""`gateway key …`: API keys. A secret is shown once, when the key is made."""

from typing import TYPE_CHECKING, Annotated

import typer

from gateway.edges.cli.amounts import duration, names
from gateway.edges.cli.options import DEFAULT_CONFIG, AsJson, ConfigFile, OfAccount
from gateway.edges.cli.printing import print_facts, print_json, print_table
from gateway.edges.cli.running import keys, on_stores

if TYPE_CHECKING:
    from gateway.books.keys import KeyRecord
    from gateway.flows.keys import CreatedKey
    from gateway.stores import Stores

app = typer.Typer(no_args_is_help=True, help="API keys: each belongs to one project of one account.")

KeyId = Annotated[str, typer.Argument(metavar="KEY", help="The key's public id, key_…")]


@app.command("create")
def create(
    account: OfAccount,
    *,
    project: Annotated[str | None, typer.Option("--project", metavar="PROJECT", show_default="the first one")] = None,
    products: Annotated[
        str | None, typer.Option("--products", metavar="parse,split", help="What it may call.", show_default="all")
    ] = None,
    expires: Annotated[
        int | None,
        typer.Option("--expires", metavar="90d", help="For how long it holds.", parser=duration, show_default="ever"),
    ] = None,
    name: Annotated[str, typer.Option("--name", metavar="NAME", help="What people call it.")] = "",
    config: ConfigFile = DEFAULT_CONFIG,
    as_json: AsJson = False,
) -> None:
    """Make a key and print its secret, once."""

    async def work(stores: "Stores") -> "CreatedKey":
        from gateway.domain.instant import epoch_ms
        from gateway.flows.faults import CallerFault

        chosen = None if products is None else frozenset(names(products))
        known = stores.current.catalog.rate_card.products
        if chosen is not None and (unknown := sorted(chosen - known.keys())):
            raise CallerFault(f"there is no product {unknown[0]!r}; there are {', '.join(sorted(known))}")
        expires_ms = None if expires is None else epoch_ms(stores.clock()) + expires
        return await keys(stores).create(account, project_id=project, name=name, products=chosen, expires_ms=expires_ms)

    _print_created(on_stores(config, work), as_json=as_json)


@app.command("list")
def list_(account: OfAccount, config: ConfigFile = DEFAULT_CONFIG, as_json: AsJson = False) -> None:
    """An account's keys, oldest first, without their secrets."""

    async def work(stores: "Stores") -> "tuple[list[KeyRecord], int]":
        from gateway.domain.instant import epoch_ms

        return await keys(stores).of_account(account), epoch_ms(stores.clock())

    found, now_ms = on_stores(config, work)
    rows = [_row(key, now_ms) for key in found]
    if as_json:
        print_json({"account_id": account, "keys": rows})
        return
    columns = ("id", "name", "status", "project_id", "products", "created_at", "expires_at")
    for key, row in zip(found, rows, strict=True):
        row["products"] = "all" if key.products is None else ",".join(sorted(key.products))
    print_table(columns, [[row[column] for column in columns] for row in rows])


@app.command("rotate")
def rotate(
    key: KeyId,
    overlap: Annotated[str, typer.Option("--overlap", metavar="24h", help="How long the old key goes on.")] = "24h",
    config: ConfigFile = DEFAULT_CONFIG,
    as_json: AsJson = False,
) -> None:
    """Make a key like an old one, which then ends."""
    overlap_ms = duration(overlap)

    async def work(stores: "Stores") -> "CreatedKey":
        return await keys(stores).rotate(key, overlap_ms=overlap_ms)

    _print_created(on_stores(config, work), as_json=as_json)


@app.command("revoke")
def revoke(key: KeyId, config: ConfigFile = DEFAULT_CONFIG, as_json: AsJson = False) -> None:
    """End a key now, in every gateway process."""

    async def work(stores: "Stores") -> "tuple[KeyRecord, int]":
        from gateway.domain.instant import epoch_ms

        return await keys(stores).revoke(key), epoch_ms(stores.clock())

    revoked, now_ms = on_stores(config, work)
    if as_json:
        print_json({**_row(revoked, now_ms), "account_id": revoked.account_id})
    else:
        print(f"{revoked.id} is revoked.")


def _print_created(created: "CreatedKey", *, as_json: bool) -> None:
    document = {
        "id": created.id,
        "secret": created.secret,
        "account_id": created.account_id,
        "project_id": created.project_id,
    }
    if as_json:
        print_json(document)
        return
    print_facts(document)
    from gateway.edges.cli.faults import complain

    complain("Keep the secret now: it is stored nowhere and cannot be shown again.")


def _row(key: "KeyRecord", now_ms: int) -> dict[str, object]:
    from gateway.edges.api.usage_document import instant

    status = "revoked" if key.revoked_ms is not None else "active" if key.usable(now_ms) else "expired"
    return {
        "id": key.id,
        "name": key.name,
        "status": status,
        "project_id": key.project_id,
        "products": None if key.products is None else sorted(key.products),
        "created_at": instant(key.created_ms),
        "expires_at": None if key.expires_ms is None else instant(key.expires_ms),
        "revoked_at": None if key.revoked_ms is None else instant(key.revoked_ms),
        "replaced_by": key.replaced_by,
    }
