"""The tree of verbs. A verb's module knows its options; what it runs is imported when it is called."""

from pathlib import Path
from typing import Annotated

import typer

from gateway.edges.cli import (
    account,
    account_clock,
    account_contract,
    account_ledger,
    account_limits,
    doctor,
    explain,
    invoice,
    key,
    payment_method,
    plans,
    project,
    reconcile,
    usage,
)
from gateway.edges.cli import config as config_verbs
from gateway.edges.cli import webhook as webhook_verbs
from gateway.edges.cli.faults import exit_for_faults
from gateway.edges.cli.options import DEFAULT_CONFIG, ConfigFile

app = typer.Typer(
    name="gateway",
    help="Credit Gateway: authenticates, rate limits, holds and takes credits, books usage.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
account.app.command("contract")(account_contract.contract)
account.app.add_typer(payment_method.app, name="payment-method")
invoice.app.command("collect")(payment_method.collect)
account.app.command("clock")(account_clock.clock)
account.app.command("ledger")(account_ledger.ledger)
account.app.command("limits")(account_limits.limits)
account.app.command("budget")(account_limits.budget)
account.app.command("raise")(account_limits.raise_)
app.add_typer(account.app, name="account")
app.add_typer(project.app, name="project")
app.add_typer(key.app, name="key")
app.add_typer(invoice.app, name="invoice")
app.add_typer(webhook_verbs.app, name="webhook")
app.add_typer(plans.app, name="plans")
app.command("usage")(usage.usage)
app.command("explain")(explain.explain)
app.command("reconcile")(reconcile.reconcile)
app.add_typer(config_verbs.app, name="config")
app.command("doctor")(doctor.doctor)


def _version(wanted: bool) -> None:
    if wanted:
        from gateway import __version__

        print(f"gateway {__version__}")
        raise typer.Exit


@app.callback()
def _gateway(
    *,
    _version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Say which version this is.")
    ] = False,
) -> None:
    """Every verb has its own --help."""


@app.command("serve")
def _serve(
    config: ConfigFile = DEFAULT_CONFIG,
    workers: Annotated[int | None, typer.Option(min=1, max=256, help="Processes that serve.")] = None,
    no_background: Annotated[
        bool, typer.Option("--no-background", help="Only serve; relay, expiry and job following run elsewhere.")
    ] = False,
) -> None:
    """Serve the gateway: proxy, API, dashboard and, unless told otherwise, the background work."""
    with exit_for_faults():
        from gateway.edges.cli.serve import serve

        serve(config=config, workers=workers, no_background=no_background)


@app.command("background")
def _background(config: ConfigFile = DEFAULT_CONFIG) -> None:
    """Run only the background work; any number of processes may."""
    with exit_for_faults():
        from gateway.edges.cli.serve import background

        background(config=config)


@app.command("demo")
def _demo(
    data: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="Where the demo keeps its stores.", show_default="its own")
    ] = None,
    port: Annotated[
        int | None, typer.Option(min=0, max=65_535, help="Where it listens, in place of GATEWAY_PORT.")
    ] = None,
) -> None:
    """Run the whole product on this machine: stores, stand-in services, accounts with a history, dashboard."""
    with exit_for_faults():
        from gateway.edges.cli.demo import demo

        demo(data=data, port=port)
