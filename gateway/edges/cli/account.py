"""`gateway account …`: opening accounts, changing their plan, correcting their credits, showing them."""

from typing import TYPE_CHECKING, Annotated

import typer

from gateway.edges.cli.amounts import signed_millicredits
from gateway.edges.cli.options import DEFAULT_CONFIG, AccountId, AsJson, ConfigFile
from gateway.edges.cli.printing import print_facts, print_json, print_table
from gateway.edges.cli.running import accounts, on_stores, usage_reports

if TYPE_CHECKING:
    from gateway.flows.accounts import AccountView, Adjusted, ListedAccount, OpenedAccount
    from gateway.flows.change_plan import PlanChange
    from gateway.flows.preview_plan import PlanPreview
    from gateway.flows.usage_report import UsageReport
    from gateway.stores import Stores

app = typer.Typer(no_args_is_help=True, help="Accounts: who pays, and on which plan.")

Reason = Annotated[str, typer.Option("--reason", metavar="TEXT", help="Why; the account's owner will read it.")]


def _when(text: str) -> str:
    if text not in {"now", "period_end"}:
        raise typer.BadParameter(f"{text!r} is neither 'now' nor 'period_end'")
    return text


@app.command("create")
def create(
    name: Annotated[str, typer.Option("--name", metavar="NAME", help="Need not be unique.")],
    plan: Annotated[str, typer.Option("--plan", metavar="PLAN", help="A plan of plans.yaml.")],
    *,
    sandbox: Annotated[
        bool, typer.Option("--sandbox", help="For tests: with a clock of its own, which `account clock` advances.")
    ] = False,
    config: ConfigFile = DEFAULT_CONFIG,
    as_json: AsJson = False,
) -> None:
    """Open an account, its billing period starting now, with a project `default`."""

    async def work(stores: "Stores") -> "OpenedAccount":
        return await accounts(stores).create(name, plan, sandbox=sandbox)

    opened = on_stores(config, work)
    document = {"id": opened.id, "name": opened.name, "plan": opened.plan_id, "project_id": opened.project_id}
    (print_json if as_json else print_facts)(document)


@app.command("list")
def list_(config: ConfigFile = DEFAULT_CONFIG, as_json: AsJson = False) -> None:
    """All accounts, oldest first."""

    async def work(stores: "Stores") -> "list[ListedAccount]":
        return await accounts(stores).every()

    listed = on_stores(config, work)
    from gateway.edges.api.usage_document import instant

    rows = [
        {
            "id": one.account.id,
            "name": one.account.name,
            "plan": one.plan_id,
            "status": one.account.status.value,
            "created_at": instant(one.account.created_ms),
        }
        for one in listed
    ]
    if as_json:
        print_json({"accounts": rows})
    else:
        columns = ("id", "name", "plan", "status", "created_at")
        print_table(columns, [[row[column] for column in columns] for row in rows])


@app.command("show")
def show(account: AccountId, config: ConfigFile = DEFAULT_CONFIG, as_json: AsJson = False) -> None:
    """One account: plan, period, credits, projects."""

    async def work(stores: "Stores") -> "tuple[AccountView, UsageReport]":
        view = await accounts(stores).show(account)
        return view, await usage_reports(stores).of_account(account, stores.clock())

    view, report = on_stores(config, work)
    from gateway.edges.api.usage_document import instant, usage_document

    usage = usage_document(report)
    document = {
        "id": view.account.id,
        "name": view.account.name,
        "status": view.account.status.value,
        "created_at": instant(view.account.created_ms),
        "sandbox": view.account.sandbox,
        "plan": view.plan_id,
        "pending_plan": view.pending_plan_id,
        "period": usage["period"],
        "credits": usage["credits"],
        "live": report.live,
        "projects": [{"id": project.id, "name": project.name} for project in view.projects],
    }
    if as_json:
        print_json(document)
        return
    from gateway.edges.cli.usage import credit_facts

    facts = {name: document[name] for name in ("id", "name", "status", "created_at", "sandbox", "plan", "pending_plan")}
    facts["period"] = f"{instant(report.period.start_ms)} to {instant(report.period.end_ms)}"
    facts |= credit_facts(report)
    facts["projects"] = ", ".join(f"{project.name} ({project.id})" for project in view.projects)
    print_facts(facts)


@app.command("plan")
def plan(
    account: AccountId,
    plan: Annotated[str, typer.Argument(metavar="PLAN", help="The plan to be on.")],
    *,
    at: Annotated[
        str | None,
        typer.Option(
            "--at",
            metavar="now|period_end",
            help="When it takes effect. Left out: a dearer plan now, any other when the period ends.",
            parser=_when,
        ),
    ] = None,
    preview: Annotated[bool, typer.Option("--preview", help="Only tell what would happen.")] = False,
    reason: Annotated[str, typer.Option("--reason", metavar="TEXT", help="Kept in the audit log.")] = "",
    config: ConfigFile = DEFAULT_CONFIG,
    as_json: AsJson = False,
) -> None:
    """Put an account on another plan; the plan it is on takes a pending change back."""

    async def work(stores: "Stores") -> "tuple[PlanPreview, PlanChange | None]":
        from gateway.flows.change_plan import ChangeAt
        from gateway.flows.preview_plan import foresee_plan

        when = None if at is None else ChangeAt(at)
        if preview:
            return await accounts(stores).preview(account, plan, when=when), None
        foreseen = await foresee_plan(stores.billing, account, plan, when=when)
        return foreseen, await accounts(stores).change_plan(account, plan, when=when, reason=reason)

    foreseen, changed = on_stores(config, work)
    from gateway.edges.api.usage_document import amount, instant

    document = {
        "account_id": account,
        "previous_plan": foreseen.previous_plan_id,
        "plan": foreseen.plan_id,
        "takes_effect": foreseen.takes_effect.value,
        "effective_at": instant(foreseen.effective_ms if changed is None else changed.effective_ms),
        "included": amount(foreseen.included_millicredits),
        "replaced_plan": foreseen.replaced_plan_id,
        "preview": preview,
        **_invoiced(foreseen, changed),
    }
    if as_json:
        print_json(document)
        return
    print(foreseen.sentence(preview=preview))
    if changed is not None and changed.invoice is not None:
        from gateway.domain.money import dollars_text

        print(f"Invoice {changed.invoice.number} over {dollars_text(changed.invoice.total_cents)} is issued.")


def _invoiced(foreseen: "PlanPreview", changed: "PlanChange | None") -> dict[str, object]:
    """The price in cents: as told, or as invoiced. 0 where nothing is invoiced now."""
    from gateway.edges.api.usage_document import instant
    from gateway.edges.documents.invoice_json import line_json
    from gateway.flows.invoice_document import line_document

    if changed is not None:
        invoice = changed.invoice
        return {
            "total_cents": 0 if invoice is None else invoice.total_cents,
            "invoice": None if invoice is None else invoice.number,
        }
    price = foreseen.price
    if price is None:
        return {"total_cents": 0, "lines": [], "honoured_until": None}
    return {
        "total_cents": price.sums.total_cents,
        "lines": [line_json(line_document(line)) for line in price.lines],
        "honoured_until": None if price.honoured_until_ms is None else instant(price.honoured_until_ms),
    }


@app.command("adjust")
def adjust(
    account: AccountId,
    credits_: Annotated[
        int,
        typer.Option("--credits", metavar="±CREDITS", help="+500 gives, -500 takes back.", parser=signed_millicredits),
    ],
    reason: Reason,
    config: ConfigFile = DEFAULT_CONFIG,
    as_json: AsJson = False,
) -> None:
    """Correct the credits of the current period, with a reason, in the books for good."""

    async def work(stores: "Stores") -> "Adjusted":
        return await accounts(stores).adjust(account, credits_, reason=reason)

    adjusted = on_stores(config, work)
    from gateway.domain.credits import credits_text
    from gateway.edges.api.usage_document import amount, instant

    if as_json:
        print_json(
            {
                "account_id": account,
                "grant_id": adjusted.grant_id,
                "credits": amount(credits_),
                "period_start": instant(adjusted.period_start_ms),
                "included": amount(adjusted.granted_millicredits),
            }
        )
    else:
        included = credits_text(adjusted.granted_millicredits)
        print(f"{account} now has {included} credits for the period from {instant(adjusted.period_start_ms)}.")
