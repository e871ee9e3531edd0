"""`gateway account contract`: agreeing a contract from a file, ending it, and showing its versions."""

from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gateway.edges.cli.options import DEFAULT_CONFIG, AccountId, AsJson, ConfigFile
from gateway.edges.cli.printing import print_facts, print_json, print_table
from gateway.edges.cli.running import contracts, on_stores

if TYPE_CHECKING:
    from gateway.domain.contract import Contract, ContractVersion
    from gateway.flows.contracts import AgreedContract, ContractState, ContractView
    from gateway.stores import Stores


def _day(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError as error:
        raise typer.BadParameter(f"{text!r} is no date such as 2026-12-01") from error


def contract(
    account: AccountId,
    *,
    file: Annotated[
        Path | None, typer.Option("--file", metavar="FILE", help="Agree what this YAML file says; see docs/billing.md.")
    ] = None,
    show: Annotated[bool, typer.Option("--show", help="Show every version; so does giving no option.")] = False,
    end: Annotated[bool, typer.Option("--end", help="End it when the running period does.")] = False,
    end_on: Annotated[
        date | None,
        typer.Option("--end-on", metavar="DATE", parser=_day, help="End it with the first period from this day on."),
    ] = None,
    reason: Annotated[str, typer.Option("--reason", metavar="TEXT", help="Why, or where it was signed.")] = "",
    config: ConfigFile = DEFAULT_CONFIG,
    as_json: AsJson = False,
) -> None:
    """Agree a contract, amend or end it, or show its versions. The first begins at once, all others with a period."""
    ending = end or end_on is not None
    if (file is not None) + ending + show > 1:
        raise typer.BadParameter("--file, --end and --show are three different things")

    async def work(stores: "Stores") -> "tuple[ContractView, AgreedContract | None]":
        from gateway.config_files.contract_file import day_ms

        flow, made = contracts(stores), None
        if file is not None:
            made = await _agree(stores, account, file, reason)
        elif ending:
            await flow.end(account, reason=reason, ends_ms=None if end_on is None else day_ms(end_on))
        return await flow.show(account), made

    view, made = on_stores(config, work)
    from gateway.edges.documents.contract_json import contract_json

    invoice = None if made is None or made.invoice is None else made.invoice
    if as_json:
        print_json({**contract_json(view), "invoice": None if invoice is None else invoice.number})
        return
    _print(view)
    if invoice is not None:
        from gateway.domain.money import dollars_text

        print(f"Invoice {invoice.number} over {dollars_text(invoice.total_cents)} is issued.")


async def _agree(stores: "Stores", account: str, file: Path, reason: str) -> "AgreedContract":
    from gateway.config_files.contract_file import contract as of_domain
    from gateway.config_files.contract_file import day_ms
    from gateway.configuration import contract_file

    said = contract_file(file, stores.current.plans())
    starts_ms = None if said.starts is None else day_ms(said.starts)
    return await contracts(stores).agree(account, of_domain(said), starts_ms=starts_ms, reason=reason)


def _print(view: "ContractView") -> None:
    from gateway.domain.credits import credits_text
    from gateway.domain.money import dollars_text
    from gateway.edges.documents.contract_json import rate_text
    from gateway.flows.invoice_document import instant_text

    columns = ("version", "state", "from", "period", "price", "credits", "overage", "agreed by", "reason")
    rows = [
        [
            *(one.version, _standing(one, state), instant_text(one.effective_ms)[:16].replace("T", " ")),
            *(one.contract.period.value, dollars_text(one.contract.price_cents)),
            *(f"{int(credits_text(one.contract.committed_millicredits).partition('.')[0]):,}", _overage(one.contract)),
            *(one.actor, one.reason),
        ]
        for one, state in view.versions
    ]
    if not rows:
        print(f"{view.account_id} has no contract: it is on plan {view.plan_id} as that is sold.")
        return
    print_table(columns, rows, numbers=("price", "credits"))
    if (running := view.in_force) is not None:
        said = running.contract
        limits = ", ".join(f"{name} {rate_text(limit)}" for name, limit in said.rate_limits.items())
        print_facts(
            {
                "limits": limits or "the plan's",
                "concurrent calls": said.concurrent_calls or "the plan's",
                "rolls over": f"{said.rollover_parts_per_million / 10_000:g} %",
                "due after": f"{said.net_days} days",
                "next boundary": instant_text(view.next_ms),
            }
        )


def _standing(version: "ContractVersion", state: "ContractState") -> str:
    ends_ms = version.contract.ends_ms
    if ends_ms is not None and ends_ms <= version.effective_ms:
        return f"{state.value} end"
    return state.value.replace("_", " ")


def _overage(contract: "Contract") -> str:
    from gateway.domain.contract import OverageMode

    if contract.overage is OverageMode.REFUSE:
        return "refused"
    prices = " then ".join(f"${tier.nanodollars_per_millicredit / 1000:.2f}" for tier in contract.tiers)
    alert = ", alert" if contract.overage is OverageMode.ALLOW_AND_ALERT else ""
    return f"{prices} per 1,000{alert}"
