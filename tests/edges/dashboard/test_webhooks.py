"""Webhook endpoints and their log: a secret is seen once, nothing of others is there, and what failed goes again."""

import re

import httpx
import pytest

from gateway.flows.webhooks import MOST_ENDPOINTS
from tests.edges.dashboard.conftest import BILLING, Running, Someone
from tests.edges.dashboard.forms import form, text

HOOKS = f"{BILLING}/webhooks"
NEW = f"{HOOKS}/new"
URL = "https://hooks.example/billing"


def secrets_in(page: str) -> set[str]:
    return set(re.findall(r"whsec_[\w+/=]{8,}", page))


async def typed(client: httpx.AsyncClient, **fields: str | list[str]) -> dict[str, str | list[str]]:
    """The form of a new endpoint, filled in."""
    sent: dict[str, str | list[str]] = {**form((await client.get(NEW)).text, HOOKS), "hears_of": "all", "url": URL}
    del sent["event"]
    return sent | fields


async def made(running: Running, one: Someone) -> str:
    return (await running.desk.webhooks.create(one.id, URL, description="Books & co")).endpoint.id


async def test_a_new_secret_is_shown_once_and_on_no_later_page(running: Running) -> None:
    one = await running.someone("free")
    async with running.signed_in(one) as client:
        assert "No webhook endpoint yet" in (await client.get(HOOKS)).text
        fields = await typed(client, hears_of="some", event=["alert.raised", "invoice.paid"], description="Mine")
        reply = await client.post(HOOKS, data=fields)
        assert reply.status_code == 200
        assert reply.headers["cache-control"] == "no-store"
        assert "set-cookie" not in reply.headers
        (secret,) = secrets_in(reply.text)
        assert (await client.post(HOOKS, data=fields)).headers["location"] == HOOKS
        (endpoint,) = await running.desk.webhooks.of_account(one.id)
        assert endpoint.event_types == frozenset({"alert.raised", "invoice.paid"})
        listed = (await client.get(HOOKS)).text
        assert "alert.raised, invoice.paid" in listed
        assert "Nothing sent yet" in listed
        shown = (await client.get(f"{HOOKS}/{endpoint.id}")).text
        assert not secrets_in(listed + shown)

        rotate = f"{HOOKS}/{endpoint.id}/rotate"
        again = form((await client.get(rotate)).text, rotate)
        assert (await client.post(rotate, data={**again, "overlap": "9y"})).status_code == 422
        replaced = await client.post(rotate, data={**again, "overlap": "24h"})
        assert "The old one signs too for 24 hours." in replaced.text
        assert secrets_in(replaced.text) not in (set(), {secret})
        seed = (await running.desk.webhooks.show(endpoint.id)).seed
        assert (await client.post(rotate, data={**again, "overlap": "0"})).status_code == 303
        assert (await running.desk.webhooks.show(endpoint.id)).seed == seed
        assert "Old secret signs too" in (await client.get(f"{HOOKS}/{endpoint.id}")).text


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"url": ""}, "Write the address"),
        ({"url": "http://hooks.example"}, "https"),
        ({"url": "https://127.0.0.1/x"}, "public"),
        ({"url": "https://" + "x" * 2_048}, "At most 2048 characters."),
        ({"description": "x" * 201}, "At most 200 printable characters."),
        ({"hears_of": "some"}, "Tick what it hears of"),
        ({"hears_of": "some", "event": "gold"}, "There is no event type"),
    ],
)
async def test_what_is_wrong_is_said_at_its_field_and_what_was_typed_stays(
    running: Running, wrong: dict[str, str], says: str
) -> None:
    one = await running.someone("free")
    async with running.signed_in(one) as client:
        reply = await client.post(HOOKS, data=await typed(client, **{"description": "Kept", **wrong}))
    assert reply.status_code == 422
    assert says in text(reply.text)
    assert ('value="Kept"' in reply.text) == ("description" not in wrong)
    assert not await running.desk.webhooks.of_account(one.id)


async def test_an_endpoint_is_changed_switched_off_and_on_and_removed(running: Running) -> None:
    one = await running.someone("free")
    endpoint_id = await made(running, one)
    here = f"{HOOKS}/{endpoint_id}"
    webhooks = running.desk.webhooks
    async with running.signed_in(one) as client:
        fields = form((await client.get(f"{here}/edit")).text, f"{here}/edit")
        assert fields["url"] == URL
        sent = {**fields, "url": "https://hooks.example/v2", "hears_of": "some", "event": "plan.changed"}
        assert (await client.post(f"{here}/edit", data={**sent, "url": "nowhere"})).status_code == 422
        for _ in range(2):
            assert (await client.post(f"{here}/edit", data=sent)).headers["location"] == here
        changed = await webhooks.show(endpoint_id)
        assert (changed.url, changed.event_types) == ("https://hooks.example/v2", frozenset({"plan.changed"}))
        await client.post(f"{here}/edit", data={**sent, "hears_of": "all"})
        assert (await webhooks.show(endpoint_id)).event_types is None

        token = {"form_token": fields["form_token"]}
        for _ in range(2):
            await client.post(f"{here}/disable", data=token)
        off = (await client.get(here)).text
        assert "Off since" in off
        assert f"{here}/test" not in off
        assert (await client.post(f"{here}/test", data={**token, "once": "a"})).status_code == 303
        assert "enable it first" in (await client.get(here)).text
        for _ in range(2):
            await client.post(f"{here}/enable", data=token)
        assert (await webhooks.show(endpoint_id)).disabled_ms is None

        asked = (await client.get(f"{here}/remove")).text
        assert "delivery log are forgotten" in asked
        removed = await client.post(f"{here}/remove", data=form(asked, f"{here}/remove"))
        assert removed.headers["location"] == HOOKS
        assert (await client.get(here)).status_code == 404
        assert (await client.post(f"{here}/remove", data=token)).status_code == 404


async def test_a_test_event_is_sent_logged_and_sent_again(running: Running) -> None:
    one = await running.someone("free")
    here = f"{HOOKS}/{await made(running, one)}"
    async with running.signed_in(one) as client:
        fields = form((await client.get(here)).text, f"{here}/test")
        for _ in range(2):
            await client.post(f"{here}/test", data=fields)
        assert await running.deliver_webhooks(503, b"<b>busy</b>") == 1
        log = (await client.get(here)).text
        assert "Waiting" in text(log)
        assert "Failing" in text(log)
        found = re.search(rf"{here}/deliveries/dlv_\w+", log)
        assert found is not None
        delivery = found[0]
        shown = (await client.get(delivery)).text
        assert "Answered 503" in shown
        assert "&lt;b&gt;busy&lt;/b&gt;" in shown
        assert "webhook.test" in shown
        again = form(shown, f"{delivery}/replay")
        for _ in range(2):
            assert (await client.post(f"{delivery}/replay", data=again)).headers["location"] == delivery
        assert await running.deliver_webhooks(204) == 1
        assert "Answered 204" in (await client.get(delivery)).text
        assert "webhook.test" in (await client.get(f"{here}?status=delivered")).text
        assert "None of these" in (await client.get(f"{here}?status=failed")).text
        assert (await client.get(f"{here}?status=gold")).status_code == 400
        assert (await client.get(f"{here}?before={'x' * 99}")).status_code == 400


async def test_everything_that_failed_since_then_is_sent_again(running: Running) -> None:
    one = await running.someone("free")
    endpoint_id = await made(running, one)
    here = f"{HOOKS}/{endpoint_id}"
    webhooks = running.desk.webhooks
    for _ in range(30):
        await webhooks.send_test(endpoint_id)
    await webhooks.disable(endpoint_id)
    await webhooks.enable(endpoint_id)
    async with running.signed_in(one) as client:
        log = (await client.get(f"{here}?status=failed")).text
        assert log.count("/deliveries/dlv_") == 25
        older = re.search(r'href="([^"]*before=[^"]*)"', log)
        assert older is not None
        assert (await client.get(older[1].replace("&amp;", "&"))).text.count("/deliveries/dlv_") == 5
        fields = form(log, f"{here}/replay")
        await client.post(f"{here}/replay", data={**fields, "since": "ever"})
        assert "Choose since when." in (await client.get(here)).text
        await client.post(f"{here}/replay", data={**fields, "since": "1h"})
        assert "30 deliveries are sent again." in (await client.get(here)).text
        await client.post(f"{here}/replay", data={**fields, "since": "30d"})
        assert "Nothing has failed since then." in (await client.get(here)).text


async def test_no_more_endpoints_than_an_account_may_have(running: Running) -> None:
    one = await running.someone("free")
    for _ in range(MOST_ENDPOINTS):
        await made(running, one)
    async with running.signed_in(one) as client:
        assert NEW not in (await client.get(HOOKS)).text
        reply = await client.post(HOOKS, data=await typed(client))
    assert reply.status_code == 422
    assert "remove one first" in reply.text


async def test_the_endpoints_of_others_are_not_there_and_members_only_look(running: Running) -> None:
    theirs, mine = await running.someone("free"), await running.someone("free")
    endpoint_id, own_id = await made(running, theirs), await made(running, mine)
    delivery = (await running.desk.webhooks.send_test(endpoint_id)).id
    changes = ("edit", "rotate", "enable", "disable", "remove", "test", "replay")
    async with running.signed_in(mine) as client:
        fields = await typed(client, overlap="0", since="1h")
        for path in ("", "/edit", "/rotate", "/remove", f"/deliveries/{delivery}"):
            assert (await client.get(f"{HOOKS}/{endpoint_id}{path}")).status_code == 404
        assert (await client.get(f"{HOOKS}/{own_id}/deliveries/{delivery}")).status_code == 404
        for change in (*changes, f"deliveries/{delivery}/replay"):
            for of in (endpoint_id, "whk_none"):
                assert (await client.post(f"{HOOKS}/{of}/{change}", data=fields)).status_code == 404
        assert (await client.post(f"{HOOKS}/{own_id}/deliveries/{delivery}/replay", data=fields)).status_code == 404
    member = await running.someone("free", products=frozenset({"parse"}))
    here = f"{HOOKS}/{await made(running, member)}"
    delivery = (await running.desk.webhooks.send_test(here.rpartition("/")[2])).id
    async with running.signed_in(member) as client:
        for path in (HOOKS, here, f"{here}/deliveries/{delivery}"):
            page = (await client.get(path)).text
            assert "Books &amp; co" in page
            assert "<form" not in page.partition("<main")[2]
            assert "/edit" not in page
        token = {"form_token": form((await client.get(HOOKS)).text, "/settings/sign-out")["form_token"]}
        for path in (HOOKS, *(f"{here}/{change}" for change in changes), f"{here}/deliveries/{delivery}/replay"):
            assert (await client.post(path, data=token)).status_code == 403
        assert (await client.get(NEW)).status_code == 403
