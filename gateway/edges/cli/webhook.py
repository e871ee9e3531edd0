"""`gateway webhook …`: where an account hears of events, what was sent there, and sending it again."""

from typing import TYPE_CHECKING, Annotated

import typer

from gateway.edges.cli.amounts import duration, names
from gateway.edges.cli.options import DEFAULT_CONFIG, AsJson, ConfigFile, OfAccount
from gateway.edges.cli.printing import print_facts, print_json, print_table
from gateway.edges.cli.running import on_stores

if TYPE_CHECKING:
    from gateway.books.webhook_endpoints import Endpoint
    from gateway.books.webhooks import Delivery
    from gateway.flows.webhooks import DeliveryView, ShownEndpoint, Webhooks
    from gateway.stores import Stores

app = typer.Typer(no_args_is_help=True, help="Webhooks: signed events to an account's own addresses.")

WebhookId = Annotated[str, typer.Argument(metavar="WEBHOOK", help="The endpoint's id, whk_…")]
Events = Annotated[
    str | None,
    typer.Option("--events", metavar="alert.raised,invoice.paid", help="What it hears of.", show_default="everything"),
]
Description = Annotated[str | None, typer.Option("--description", metavar="TEXT", help="What people call it.")]
_DELIVERY_COLUMNS = ("id", "type", "status", "attempts", "last_status", "last_fault", "created_at", "next_at")


@app.command("create")
def create(
    account: OfAccount,
    url: Annotated[str, typer.Option("--url", metavar="https://…", help="Where events are posted.")],
    *,
    events: Events = None,
    description: Description = None,
    config: ConfigFile = DEFAULT_CONFIG,
    as_json: AsJson = False,
) -> None:
    """Add an endpoint and print its signing secret, once."""

    async def work(stores: "Stores") -> "ShownEndpoint":
        return await _webhooks(stores).create(account, url, event_types=_chosen(events), description=description or "")

    _print_shown(on_stores(config, work), as_json=as_json)


@app.command("list")
def list_(account: OfAccount, config: ConfigFile = DEFAULT_CONFIG, as_json: AsJson = False) -> None:
    """An account's endpoints, oldest first, without their secrets."""

    async def work(stores: "Stores") -> "list[Endpoint]":
        return await _webhooks(stores).of_account(account)

    found = on_stores(config, work)
    rows = [_row(endpoint) for endpoint in found]
    if as_json:
        print_json({"account_id": account, "webhooks": rows})
        return
    columns = ("id", "url", "status", "events", "failing_since", "description")
    for endpoint, row in zip(found, rows, strict=True):
        row["events"] = "all" if endpoint.event_types is None else ",".join(sorted(endpoint.event_types))
    print_table(columns, [[row[column] for column in columns] for row in rows])


@app.command("update")
def update(
    webhook: WebhookId,
    *,
    url: Annotated[str | None, typer.Option("--url", metavar="https://…", help="Another address.")] = None,
    events: Annotated[
        str | None, typer.Option("--events", metavar="alert.raised,…", help="Another choice; `all` for everything.")
    ] = None,
    description: Description = None,
    config: ConfigFile = DEFAULT_CONFIG,
    as_json: AsJson = False,
) -> None:
    """Change an endpoint; what is left out stays."""

    async def work(stores: "Stores") -> "Endpoint":
        return await _webhooks(stores).update(
            webhook,
            url=url,
            event_types=None if events == "all" else _chosen(events),
            all_events=events == "all",
            description=description,
        )

    _print_endpoint(on_stores(config, work), as_json=as_json)


@app.command("rotate")
def rotate(
    webhook: WebhookId,
    overlap: Annotated[
        str, typer.Option("--overlap", metavar="24h", help="How long the old secret signs beside the new one.")
    ] = "24h",
    config: ConfigFile = DEFAULT_CONFIG,
    as_json: AsJson = False,
) -> None:
    """Make another signing secret and print it, once."""
    overlap_ms = duration(overlap)

    async def work(stores: "Stores") -> "ShownEndpoint":
        return await _webhooks(stores).rotate(webhook, overlap_ms=overlap_ms)

    _print_shown(on_stores(config, work), as_json=as_json)


@app.command("enable")
def enable(webhook: WebhookId, config: ConfigFile = DEFAULT_CONFIG, as_json: AsJson = False) -> None:
    """Use a disabled endpoint again. What failed meanwhile: `gateway webhook replay --failed-since`."""

    async def work(stores: "Stores") -> "Endpoint":
        return await _webhooks(stores).enable(webhook)

    _print_endpoint(on_stores(config, work), as_json=as_json)


@app.command("disable")
def disable(
    webhook: WebhookId,
    reason: Annotated[str, typer.Option("--reason", metavar="TEXT", help="Why.")] = "",
    config: ConfigFile = DEFAULT_CONFIG,
    as_json: AsJson = False,
) -> None:
    """Send nothing to an endpoint any more; what waits for it fails."""

    async def work(stores: "Stores") -> "Endpoint":
        return await _webhooks(stores).disable(webhook, reason=reason)

    _print_endpoint(on_stores(config, work), as_json=as_json)


@app.command("remove")
def remove(webhook: WebhookId, config: ConfigFile = DEFAULT_CONFIG, as_json: AsJson = False) -> None:
    """Forget an endpoint, its secret and its delivery log."""

    async def work(stores: "Stores") -> None:
        await _webhooks(stores).remove(webhook)

    on_stores(config, work)
    if as_json:
        print_json({"id": webhook, "removed": True})
    else:
        print(f"{webhook} is removed.")


@app.command("test")
def send_test(webhook: WebhookId, config: ConfigFile = DEFAULT_CONFIG, as_json: AsJson = False) -> None:
    """Have a running gateway send a test event; `gateway webhook deliveries` shows what came of it."""

    async def work(stores: "Stores") -> "Delivery":
        return await _webhooks(stores).send_test(webhook)

    _print_delivery(on_stores(config, work), as_json=as_json)


@app.command("deliveries")
def deliveries(
    webhook: Annotated[
        str, typer.Argument(metavar="WEBHOOK|DELIVERY", help="An endpoint, whk_…, or one delivery, dlv_…")
    ],
    *,
    status: Annotated[
        str | None, typer.Option("--status", metavar="failed", help="waiting, delivered or failed.", show_default="all")
    ] = None,
    limit: Annotated[int, typer.Option("--limit", min=1, max=200, help="How many of the newest.")] = 50,
    config: ConfigFile = DEFAULT_CONFIG,
    as_json: AsJson = False,
) -> None:
    """What was sent to an endpoint, newest first; or one delivery with every try, the answers, and its body."""
    if webhook.startswith("dlv_"):
        _print_view(on_stores(config, lambda stores: _webhooks(stores).delivery(webhook)), as_json=as_json)
        return

    async def work(stores: "Stores") -> "list[Delivery]":
        return await _webhooks(stores).deliveries(webhook, status=status, limit=limit)

    rows = [_delivery_row(delivery) for delivery in on_stores(config, work)]
    if as_json:
        print_json({"webhook_id": webhook, "deliveries": rows})
        return
    print_table(
        _DELIVERY_COLUMNS, [[row[column] for column in _DELIVERY_COLUMNS] for row in rows], numbers=["attempts"]
    )


@app.command("replay")
def replay(
    webhook: Annotated[str, typer.Argument(metavar="DELIVERY|WEBHOOK", help="One delivery, dlv_…, or an endpoint.")],
    failed_since: Annotated[
        str | None,
        typer.Option("--failed-since", metavar="24h", help="Of an endpoint: everything so young that failed."),
    ] = None,
    config: ConfigFile = DEFAULT_CONFIG,
    as_json: AsJson = False,
) -> None:
    """Send a delivery again, or all of an endpoint's that failed; same id, same body."""
    if webhook.startswith("dlv_"):
        _print_delivery(on_stores(config, lambda stores: _webhooks(stores).replay(webhook)), as_json=as_json)
        return
    if failed_since is None:
        raise typer.BadParameter("an endpoint's deliveries need --failed-since, such as 24h")
    since = duration(failed_since)

    async def work(stores: "Stores") -> int:
        from gateway.domain.instant import epoch_ms

        return await _webhooks(stores).replay_failed(webhook, since_ms=epoch_ms(stores.clock()) - since)

    replayed = on_stores(config, work)
    if as_json:
        print_json({"webhook_id": webhook, "replayed": replayed})
    else:
        print(f"{replayed} deliveries are sent again.")


def _webhooks(stores: "Stores") -> "Webhooks":
    from gateway.flows.webhooks import Webhooks

    return Webhooks(
        books=stores.books, pepper=stores.pepper, clock=stores.clock, allow_private=stores.webhooks.allow_private
    )


def _chosen(events: str | None) -> list[str] | None:
    return None if events is None else names(events)


def _print_shown(shown: "ShownEndpoint", *, as_json: bool) -> None:
    document = {**_row(shown.endpoint), "secret": shown.secret}
    if as_json:
        print_json(document)
        return
    print_facts(document)
    from gateway.edges.cli.faults import complain

    complain("Keep the secret now: it cannot be shown again. Receivers verify with it (docs/webhooks.md).")


def _print_endpoint(endpoint: "Endpoint", *, as_json: bool) -> None:
    (print_json if as_json else print_facts)(_row(endpoint))


def _print_delivery(delivery: "Delivery", *, as_json: bool) -> None:
    (print_json if as_json else print_facts)(_delivery_row(delivery))


def _print_view(view: "DeliveryView", *, as_json: bool) -> None:
    from gateway.edges.api.usage_document import instant

    tries = [
        {
            "number": one.number,
            "at": instant(one.at_ms),
            "status": one.status,
            "duration_ms": one.duration_ms,
            "fault": one.fault,
            "reply": one.reply,
        }
        for one in view.attempts
    ]
    if as_json:
        import orjson

        print_json({**_delivery_row(view.delivery), "tries": tries, "body": orjson.loads(view.body or "null")})
        return
    print_facts({**_delivery_row(view.delivery), "body": view.body})
    print_table(("number", "at", "status", "duration_ms", "fault", "reply"), [list(one.values()) for one in tries])


def _row(endpoint: "Endpoint") -> dict[str, object]:
    from gateway.edges.api.usage_document import instant

    failing, previous = endpoint.failing_since_ms, endpoint.previous_until_ms
    return {
        "id": endpoint.id,
        "account_id": endpoint.account_id,
        "url": endpoint.url,
        "status": "enabled" if endpoint.disabled_ms is None else f"disabled: {endpoint.disabled_reason}",
        "event_types": None if endpoint.event_types is None else sorted(endpoint.event_types),
        "description": endpoint.description,
        "created_at": instant(endpoint.created_ms),
        "failing_since": None if failing is None else instant(failing),
        "previous_secret_until": None if previous is None else instant(previous),
    }


def _delivery_row(delivery: "Delivery") -> dict[str, object]:
    from gateway.edges.api.usage_document import instant

    return {
        "id": delivery.id,
        "webhook_id": delivery.endpoint_id,
        "message_id": delivery.message_id,
        "type": delivery.type,
        "status": str(delivery.status),
        "attempts": delivery.attempts,
        "last_status": delivery.last_status,
        "last_fault": delivery.last_fault,
        "created_at": instant(delivery.created_ms),
        "next_at": None if delivery.next_ms is None else instant(delivery.next_ms),
        "ended_at": None if delivery.ended_ms is None else instant(delivery.ended_ms),
    }
