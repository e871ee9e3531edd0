"""`gateway account payment-method …`: how an account pays. `gateway invoice collect`: charge an invoice now."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from gateway.edges.cli.options import DEFAULT_CONFIG, AccountId, AsJson, ConfigFile
from gateway.edges.cli.printing import print_facts, print_json, print_table
from gateway.edges.cli.running import on_stores

if TYPE_CHECKING:
    from gateway.domain.payment import PaymentMethod
    from gateway.payments.provider import Adding, Outcome
    from gateway.stores import Stores

app = typer.Typer(no_args_is_help=True, help="How an account pays: list, add, default, remove.")

MethodId = Annotated[str, typer.Argument(metavar="METHOD", help="Its id, pm_…")]
InvoiceName = Annotated[str, typer.Argument(metavar="INVOICE", help="Its id, inv_…, or its number.")]
ACTOR = "cli"


@app.command("list")
def list_(account: AccountId, config: ConfigFile = DEFAULT_CONFIG, as_json: AsJson = False) -> None:
    """An account's payment methods, the default first."""

    async def work(stores: "Stores") -> "list[PaymentMethod]":
        return await stores.till.methods.of_account(account)

    methods = [method_document(one) for one in on_stores(config, work)]
    if as_json:
        print_json({"payment_methods": methods})
        return
    columns = ("id", "kind", "brand", "last4", "expires", "default")
    print_table(columns, [[one[column] for column in columns] for one in methods])


@app.command("add")
def add(
    account: AccountId,
    *,
    card: Annotated[
        str | None,
        typer.Option("--card", metavar="TEST_CARD", help="With the fake provider: which test card, such as fake_ok."),
    ] = None,
    config: ConfigFile = DEFAULT_CONFIG,
    as_json: AsJson = False,
) -> None:
    """Begin to add a payment method: prints the provider's page for it, or adds a test card."""

    async def work(stores: "Stores") -> "PaymentMethod | Adding":
        methods = stores.till.methods
        if card is not None:
            return await methods.add_fake(account, card, actor=ACTOR)
        return await methods.begin_adding(account, return_url=stores.billing_url)

    made = on_stores(config, work)
    from gateway.domain.payment import PaymentMethod

    if isinstance(made, PaymentMethod):
        (print_json if as_json else print_facts)(method_document(made))
        return
    document = {"kind": made.kind.value, "url": made.url, "test_cards": made.fields}
    if as_json:
        print_json(document)
    elif made.url is not None:
        print(f"Open this page to add a card; it works for a day:\n{made.url}")
    elif made.fields:
        print("Name a test card with --card:")
        print_table(("card", "what it is"), made.fields.items())
    else:
        print("Invoices are paid by bank transfer here, and noted with `gateway invoice pay`: there is nothing to add.")


@app.command("default")
def default(account: AccountId, method: MethodId, config: ConfigFile = DEFAULT_CONFIG, as_json: AsJson = False) -> None:
    """Charge this one from now on. What is past due is tried with it at once."""

    async def work(stores: "Stores") -> "list[PaymentMethod]":
        await stores.till.methods.set_default(account, method, ACTOR)
        return await stores.till.methods.of_account(account)

    _print_changed(on_stores(config, work), as_json=as_json)


@app.command("remove")
def remove(account: AccountId, method: MethodId, config: ConfigFile = DEFAULT_CONFIG, as_json: AsJson = False) -> None:
    """Forget a payment method. The last one of a paid plan stays until there is another."""

    async def work(stores: "Stores") -> "list[PaymentMethod]":
        await stores.till.methods.remove(account, method, ACTOR)
        return await stores.till.methods.of_account(account)

    _print_changed(on_stores(config, work), as_json=as_json)


def collect(invoice: InvoiceName, config: ConfigFile = DEFAULT_CONFIG, as_json: AsJson = False) -> None:
    """Charge an invoice by the account's default payment method, now. Exit code 1 where it was not paid."""

    async def work(stores: "Stores") -> "tuple[Outcome, str]":
        from gateway.edges.cli.running import invoices

        view = await invoices(stores).find(invoice)
        outcome = await stores.till.payments.pay_now(view.document["account_id"], view.id, ACTOR)
        return outcome, str(view.document["number"])

    outcome, number = on_stores(config, work)
    document = outcome_document(outcome)
    if as_json:
        print_json({"invoice": number, **document})
    else:
        reason = f": {document['reason']}" if document["reason"] else ""
        print(f"Invoice {number}: {document['outcome'].replace('_', ' ')}{reason}.")
    if document["outcome"] != "paid":
        raise typer.Exit(1)


def method_document(method: "PaymentMethod") -> dict[str, Any]:
    """One method as programs read it."""
    expires = None if method.exp_month is None else f"{method.exp_year}-{method.exp_month:02d}"
    return {
        "id": method.id,
        "kind": method.kind.value,
        "brand": method.brand or None,
        "last4": method.last4 or None,
        "expires": expires,
        "default": method.default,
    }


def outcome_document(outcome: "Outcome") -> dict[str, Any]:
    """What became of a charge as programs read it."""
    from gateway.payments.provider import ActionRequired, Failed, Paid, Pending

    match outcome:
        case Paid():
            return {"outcome": "paid", "reason": None, "action_url": None}
        case Failed(reason=reason):
            return {"outcome": "failed", "reason": reason, "action_url": None}
        case ActionRequired(url=url):
            return {"outcome": "action_required", "reason": "the owner must confirm", "action_url": url}
        case Pending():
            return {"outcome": "pending", "reason": "the bank takes its time", "action_url": None}


def _print_changed(methods: "list[PaymentMethod]", *, as_json: bool) -> None:
    shown = [method_document(one) for one in methods]
    if as_json:
        print_json({"payment_methods": shown})
    else:
        default_ = next((one for one in shown if one["default"]), None)
        print("No payment method is left." if default_ is None else f"{default_['id']} is charged from now on.")
