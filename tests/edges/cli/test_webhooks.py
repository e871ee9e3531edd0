"""`gateway webhook …` as it is typed."""

from prometheus_client import CollectorRegistry

from gateway.configuration import load
from gateway.observe import Metrics
from gateway.stores import Stores
from gateway.wire.standard_webhook import PREFIX
from gateway.wiring import open_gateway
from tests.edges.cli.conftest import Terminal
from tests.flows.calls import calls

URL = "https://hooks.example.com/"


def test_an_endpoint_is_made_shown_changed_and_removed(terminal: Terminal) -> None:
    account = terminal.account()
    words = ("webhook", "create", "--account", account, "--url", URL, "--events", "alert.raised,invoice.paid")
    made = terminal(*words, "--json").json
    assert made["secret"].startswith(PREFIX)
    webhook = made["id"]
    (listed,) = terminal("webhook", "list", "--account", account, "--json").json["webhooks"]
    assert listed == {name: value for name, value in made.items() if name != "secret"}
    assert (listed["event_types"], listed["status"]) == (["alert.raised", "invoice.paid"], "enabled")
    assert terminal("webhook", "update", webhook, "--events", "all", "--json").json["event_types"] is None
    rotated = terminal("webhook", "rotate", webhook, "--overlap", "1h", "--json").json
    assert rotated["secret"] != made["secret"]
    assert rotated["previous_secret_until"] is not None
    assert terminal("webhook", "disable", webhook, "--reason", "moved", "--json").json["status"] == "disabled: moved"
    assert terminal("webhook", "enable", webhook, "--json").json["status"] == "enabled"
    assert webhook in terminal("webhook", "list", "--account", account).out
    assert terminal("webhook", "remove", webhook, "--json").json == {"id": webhook, "removed": True}
    assert terminal("webhook", "remove", webhook).code == 1


def test_a_test_event_is_in_the_delivery_log_and_can_be_replayed(terminal: Terminal) -> None:
    account = terminal.account()
    webhook = terminal("webhook", "create", "--account", account, "--url", URL, "--json").json["id"]
    sent = terminal("webhook", "test", webhook, "--json").json
    (listed,) = terminal("webhook", "deliveries", webhook, "--json").json["deliveries"]
    assert listed == sent
    shown = terminal("webhook", "deliveries", sent["id"], "--json").json
    assert (shown["tries"], shown["body"]["type"]) == ([], "webhook.test")
    assert terminal("webhook", "replay", sent["id"], "--json").json["status"] == "waiting"
    terminal("webhook", "disable", webhook)
    terminal("webhook", "enable", webhook)
    assert terminal("webhook", "replay", webhook, "--failed-since", "1h", "--json").json["replayed"] == 1
    assert sent["id"] in terminal("webhook", "deliveries", webhook, "--status", "waiting").out
    assert "webhook.test" in terminal("webhook", "deliveries", sent["id"]).out


def test_what_cannot_be_is_told_in_a_sentence(terminal: Terminal) -> None:
    account = terminal.account()
    private = terminal("webhook", "create", "--account", account, "--url", "https://127.0.0.1/")
    assert (private.code, private.out) == (1, "")
    assert "not a public address" in private.err
    assert (
        "there is no event type"
        in terminal("webhook", "create", "--account", account, "--url", URL, "--events", "invoice.lost").err
    )
    assert terminal("webhook", "replay", "whk_1").code == 2


def test_the_relay_of_a_serving_gateway_raises_alerts_and_writes_down_their_webhooks(terminal: Terminal) -> None:
    account = terminal.account()
    webhook = terminal("webhook", "create", "--account", account, "--url", URL, "--json").json["id"]
    terminal("account", "adjust", account, "--credits=-39960", "--reason", "a small account for a test")

    async def work(stores: Stores) -> None:
        settings = load(terminal.config).settings
        metrics = Metrics(CollectorRegistry())
        async with open_gateway(settings, stores, record=lambda *_: None, tell=metrics) as gateway:
            terms = await stores.billing.terms_of(account, stores.clock())
            assert terms is not None
            await stores.rebuild(account)
            await calls(stores.ledger, terms, 1, 1)
            while await gateway.background.relay.drain_once():
                pass

    terminal.beside(work)
    listed = terminal("webhook", "deliveries", webhook, "--json").json["deliveries"]
    assert [one["type"] for one in listed] == ["alert.raised"]
    body = terminal("webhook", "deliveries", listed[0]["id"], "--json").json["body"]
    assert (body["data"]["name"], body["data"]["threshold"]) == ("allowance_threshold", {"percent": 50})
