"""`gateway invoice …`: drafts and issued invoices, what becomes of them, and the files that they are."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gateway.edges.cli.amounts import cents, parts_per_million
from gateway.edges.cli.faults import complain, exit_for_faults
from gateway.edges.cli.options import DEFAULT_CONFIG, AsJson, ConfigFile, OfAccount
from gateway.edges.cli.printing import print_csv, print_facts, print_json, print_table
from gateway.edges.cli.running import closer, invoices, on_stores

if TYPE_CHECKING:
    from gateway.books.billing_details import BillingDetails
    from gateway.books.invoices import BookedInvoice, CreditNote
    from gateway.edges.documents.verify import Claimed
    from gateway.flows.invoice_view import InvoiceView
    from gateway.stores import Stores

app = typer.Typer(no_args_is_help=True, help="Invoices: drafts, issued ones, and their files.")

InvoiceName = Annotated[str, typer.Argument(metavar="INVOICE", help="Its id, inv_…, or its number.")]
Reason = Annotated[str, typer.Option("--reason", metavar="TEXT", help="Kept in the audit log.")]
Out = Annotated[Path | None, typer.Option("--out", metavar="FILE", help="Where to write it; - is standard output.")]
COLUMNS = ("number", "status", "period", "total", "due", "id")


@app.command("list")
def list_(account: OfAccount, config: ConfigFile = DEFAULT_CONFIG, as_json: AsJson = False) -> None:
    """An account's draft, then its invoices, newest first."""

    async def work(stores: "Stores") -> "list[InvoiceView]":
        return await invoices(stores).of_account(account)

    _print_list(on_stores(config, work), as_json=as_json)


@app.command("show")
def show(invoice: InvoiceName, config: ConfigFile = DEFAULT_CONFIG, as_json: AsJson = False) -> None:
    """One invoice, each cent down to product and mode."""

    async def work(stores: "Stores") -> "InvoiceView":
        return await invoices(stores).find(invoice)

    _print_one(on_stores(config, work), as_json=as_json)


@app.command("issue")
def issue(
    account: Annotated[
        str | None, typer.Option("--account", metavar="ACCOUNT", help="Only this one.", show_default="all")
    ] = None,
    config: ConfigFile = DEFAULT_CONFIG,
    as_json: AsJson = False,
) -> None:
    """Issue everything that is due; the gateway does the same once a minute."""

    async def work(stores: "Stores") -> "list[InvoiceView]":
        from gateway.flows.faults import CallerFault, InvoicingStopped

        due = closer(stores)
        try:
            issued: list[BookedInvoice] = await (due.close_due() if account is None else due.close_account(account))
        except InvoicingStopped as stopped:
            raise CallerFault(str(stopped)) from stopped
        return [await invoices(stores).find(one.id) for one in issued]

    issued = on_stores(config, work)
    if as_json or issued:
        _print_list(issued, as_json=as_json)
    else:
        print("Nothing is due.")


@app.command("pay")
def pay(
    invoice: InvoiceName, reason: Reason = "", config: ConfigFile = DEFAULT_CONFIG, as_json: AsJson = False
) -> None:
    """Note that everything due was paid, in whatever way."""

    async def work(stores: "Stores") -> "InvoiceView":
        return await invoices(stores).pay(invoice, reason=reason)

    _print_one(on_stores(config, work), as_json=as_json)


@app.command("void")
def void(invoice: InvoiceName, reason: Reason, config: ConfigFile = DEFAULT_CONFIG, as_json: AsJson = False) -> None:
    """Make an unpaid invoice as if it had never been asked for. Its usage is charged nowhere else."""

    async def work(stores: "Stores") -> "InvoiceView":
        return await invoices(stores).void(invoice, reason=reason)

    _print_one(on_stores(config, work), as_json=as_json)


@app.command("uncollectible")
def uncollectible(
    invoice: InvoiceName, reason: Reason, config: ConfigFile = DEFAULT_CONFIG, as_json: AsJson = False
) -> None:
    """Give up hope that an invoice will be paid."""

    async def work(stores: "Stores") -> "InvoiceView":
        return await invoices(stores).write_off(invoice, reason=reason)

    _print_one(on_stores(config, work), as_json=as_json)


@app.command("credit")
def credit(
    invoice: InvoiceName,
    usd: Annotated[int, typer.Option("--usd", metavar="AMOUNT", help="How much to give back.", parser=cents)],
    reason: Reason,
    config: ConfigFile = DEFAULT_CONFIG,
    as_json: AsJson = False,
) -> None:
    """Give money back on an invoice by a credit note."""

    async def work(stores: "Stores") -> "tuple[CreditNote, InvoiceView]":
        flow = invoices(stores)
        note = await flow.credit(invoice, usd, reason=reason)
        return note, await flow.find(invoice)

    note, view = on_stores(config, work)
    if not as_json:
        complain(f"Credit note {note.number} is issued.")
    _print_one(view, as_json=as_json)


@app.command("pdf")
def pdf(
    invoice: InvoiceName,
    out: Out = None,
    config: ConfigFile = DEFAULT_CONFIG,
) -> None:
    """Write an issued invoice as PDF, its data attached."""

    async def work(stores: "Stores") -> tuple[str, bytes]:
        from gateway.edges.documents.invoice_pdf import invoice_pdf

        view = _issued(await invoices(stores).find(invoice))
        return view.document["number"], await invoice_pdf(view.frozen or "", view.content_hash or "")

    number, drawn = on_stores(config, work)
    _write(out, f"{number}.pdf", drawn)


@app.command("csv")
def csv(invoice: InvoiceName, config: ConfigFile = DEFAULT_CONFIG) -> None:
    """Every usage event behind an issued invoice, as CSV."""
    from gateway.edges.documents.invoice_csv import COLUMNS as EVENT_COLUMNS
    from gateway.edges.documents.invoice_csv import row

    async def work(stores: "Stores") -> list[list[object]]:
        flow = invoices(stores)
        _issued(await flow.find(invoice))
        return [row(event) async for event in flow.events(invoice)]

    print_csv(EVENT_COLUMNS, on_stores(config, work))


@app.command("export")
def export(invoice: InvoiceName, out: Out = None, config: ConfigFile = DEFAULT_CONFIG) -> None:
    """Write an issued invoice as JSON that can be verified."""

    async def work(stores: "Stores") -> tuple[str, bytes]:
        from gateway.edges.documents.invoice_json import export

        view = _issued(await invoices(stores).find(invoice))
        return view.document["number"], export(view)

    number, exported = on_stores(config, work)
    _write(out, f"{number}.json", exported)


@app.command("verify")
def verify(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A PDF or JSON export of an invoice.")],
    config: ConfigFile = DEFAULT_CONFIG,
    as_json: AsJson = False,
) -> None:
    """Prove that a file is an invoice as it was issued: hash, sums, and the books. Exit code 1 where it is not."""

    async def work(stores: "Stores") -> "tuple[Claimed, list[str]]":
        from gateway.edges.documents.verify import NoInvoice, claimed, faults
        from gateway.flows.faults import CallerFault, NoSuchThing

        try:
            said = claimed(file.read_bytes())
        except NoInvoice as wrong:
            raise CallerFault(f"{file}: {wrong}") from wrong
        try:
            booked = (await invoices(stores).find(str(said.document.get("id")))).content_hash
        except NoSuchThing:
            booked = None
        return said, faults(said, booked)

    said, wrong = on_stores(config, work)
    number = said.document.get("number")
    if as_json:
        print_json({"ok": not wrong, "number": number, "content_hash": said.content_hash, "faults": wrong})
    elif not wrong:
        print(f"Invoice {number} is as it was issued ({said.content_hash}).")
    for fault in wrong:
        complain(f"Invoice {number}: {fault}.")
    raise typer.Exit(1 if wrong else 0)


@app.command("check")
def check(
    account: Annotated[
        str | None, typer.Option("--account", metavar="ACCOUNT", help="Only this one.", show_default="all")
    ] = None,
    config: ConfigFile = DEFAULT_CONFIG,
    as_json: AsJson = False,
) -> None:
    """Prove from the books that every credit used is charged once and no invoice has changed. Exit code 1 if not."""

    async def work(stores: "Stores") -> list[str]:
        from gateway.flows.prove_invoices import prove_invoices

        return await prove_invoices(stores.books, None if account is None else [account])

    wrong = on_stores(config, work)
    if as_json:
        print_json({"ok": not wrong, "faults": wrong})
    elif not wrong:
        print("All invoices are right.")
    for fault in wrong:
        complain(fault)
    raise typer.Exit(1 if wrong else 0)


@app.command("details")
def details(
    party: Annotated[str, typer.Argument(metavar="ACCOUNT|seller", help="Whose: an account's id, or `seller`.")],
    *,
    name: Annotated[str | None, typer.Option("--name", metavar="NAME")] = None,
    address: Annotated[str | None, typer.Option("--address", metavar="TEXT", help="With line breaks.")] = None,
    email: Annotated[str | None, typer.Option("--email", metavar="ADDRESS")] = None,
    tax_id: Annotated[str | None, typer.Option("--tax-id", metavar="ID")] = None,
    tax_name: Annotated[
        str | None, typer.Option("--tax-name", metavar="NAME", help="As it stands on invoices; empty: none.")
    ] = None,
    tax_percent: Annotated[
        int | None, typer.Option("--tax-percent", metavar="PERCENT", parser=parts_per_million)
    ] = None,
    config: ConfigFile = DEFAULT_CONFIG,
    as_json: AsJson = False,
) -> None:
    """Show or change who stands on invoices from now on. The seller's tax is for accounts without one of their own."""
    told: dict[str, Any] = {
        "name": name,
        "address": address,
        "email": email,
        "tax_id": tax_id,
        "tax_name": tax_name,
        "tax_parts_per_million": tax_percent,
    }
    changes = {field: value for field, value in told.items() if value is not None}

    async def work(stores: "Stores") -> "BillingDetails":
        flow = invoices(stores)
        return await flow.change_details(party, changes) if changes else await flow.details(party)

    known = on_stores(config, work)
    document = {field: getattr(known, field) for field in ("party", *told)}
    (print_json if as_json else print_facts)(document)


def _issued(view: "InvoiceView") -> "InvoiceView":
    if view.frozen is None:
        from gateway.flows.faults import CallerFault

        raise CallerFault("a draft changes until it is issued; it is no document yet")
    return view


def _write(out: Path | None, name: str, content: bytes) -> None:
    if out == Path("-"):
        sys.stdout.buffer.write(content)
        sys.stdout.buffer.flush()
        return
    target = out or Path(name)
    with exit_for_faults():
        target.write_bytes(content)
    complain(f"Written to {target}.")


def _print_list(views: "list[InvoiceView]", *, as_json: bool) -> None:
    from gateway.domain.money import dollars_text
    from gateway.edges.documents.invoice_json import invoice_json

    shown = [invoice_json(view) for view in views]
    if as_json:
        print_json({"invoices": shown})
        return
    rows = [
        [
            one["number"],
            one["status"],
            _period(one["period"]),
            dollars_text(one["total_cents"]),
            dollars_text(one["due_cents"]),
            one["id"],
        ]
        for one in shown
    ]
    print_table(COLUMNS, rows, numbers=("total", "due"))


def _print_one(view: "InvoiceView", *, as_json: bool) -> None:
    from gateway.domain.money import dollars_text
    from gateway.edges.documents.invoice_json import invoice_json

    shown = invoice_json(view)
    if as_json:
        print_json(shown)
        return
    facts = {name: shown[name] for name in ("id", "number", "account_id", "status", "issued_at")}
    facts["period"] = _period(shown["period"])
    for name in ("subtotal", "tax", "total", "credited", "paid", "due"):
        facts[name] = dollars_text(shown[f"{name}_cents"])
    print_facts(facts)
    print()
    rows: list[list[object]] = []
    for line in view.document["lines"]:
        rows.append([line["description"], line["credits"], dollars_text(line["amount_cents"])])
        rows += [
            [f"  {part['product']} {part['mode']}", part["credits"], dollars_text(part["amount_cents"])]
            for part in line["sub_lines"]
        ]
    print_table(("charge", "credits", "amount"), rows, numbers=("credits", "amount"))


def _period(period: dict[str, str]) -> str:
    return f"{period['start'][:10]} to {period['end'][:10]}"
