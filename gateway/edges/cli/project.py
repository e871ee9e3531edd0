"""`gateway project …`: the parts of an account that usage is booked under."""

from typing import TYPE_CHECKING, Annotated

import typer

from gateway.edges.cli.options import DEFAULT_CONFIG, AsJson, ConfigFile, OfAccount
from gateway.edges.cli.printing import print_facts, print_json, print_table
from gateway.edges.cli.running import accounts, on_stores

if TYPE_CHECKING:
    from gateway.books.accounts import Project
    from gateway.stores import Stores

app = typer.Typer(no_args_is_help=True, help="Projects: parts of an account that usage is booked under.")


@app.command("create")
def create(
    account: OfAccount,
    name: Annotated[str, typer.Option("--name", metavar="NAME", help="Unique within the account.")],
    config: ConfigFile = DEFAULT_CONFIG,
    as_json: AsJson = False,
) -> None:
    """Add a project to an account."""

    async def work(stores: "Stores") -> "Project":
        return await accounts(stores).create_project(account, name)

    project = on_stores(config, work)
    document = {"id": project.id, "name": project.name, "account_id": project.account_id}
    (print_json if as_json else print_facts)(document)


@app.command("list")
def list_(account: OfAccount, config: ConfigFile = DEFAULT_CONFIG, as_json: AsJson = False) -> None:
    """An account's projects, the default one first."""

    async def work(stores: "Stores") -> "list[Project]":
        return await accounts(stores).projects(account)

    projects = on_stores(config, work)
    from gateway.edges.api.usage_document import instant

    rows = [{"id": project.id, "name": project.name, "created_at": instant(project.created_ms)} for project in projects]
    if as_json:
        print_json({"account_id": account, "projects": rows})
    else:
        print_table(("id", "name", "created_at"), [list(row.values()) for row in rows])
