"""Keys and projects: a secret is seen once, changes act on the visitor's own keys alone, and once for each form."""

import re

import httpx
import pytest

from gateway.books import audit
from gateway.books.accounts import set_clock
from gateway.domain.instant import DAY_MS, HOUR_MS, epoch_ms
from gateway.edges.dashboard.formats import ago
from tests.edges.dashboard.conftest import BILLING, Running
from tests.edges.dashboard.forms import form, text

KEYS = f"{BILLING}/keys"
NEW = f"{KEYS}/new"
PROJECTS = f"{KEYS}/projects"


def secret_in(page: str) -> str:
    found = set(re.findall(r"cgw_live_\w+", page))
    assert len(found) == 1, found
    return found.pop()


async def typed(client: httpx.AsyncClient, **fields: str | list[str]) -> dict[str, str | list[str]]:
    """The form of a new key, filled in."""
    page = (await client.get(NEW)).text
    sent: dict[str, str | list[str]] = {**form(page, KEYS), "good_for": "all", "expiry": "never"}
    del sent["product"]
    return sent | fields


async def test_a_new_secret_is_shown_once_works_and_is_on_no_later_page(running: Running) -> None:
    one = await running.someone("starter")
    other = await running.desk.accounts.create_project(one.id, "Team <b>")
    async with running.signed_in(one) as client:
        fields = await typed(client, name="CI & tests", project=other.id, good_for="some", expiry="30d")
        reply = await client.post(KEYS, data={**fields, "product": ["parse", "extract"]})
        assert reply.status_code == 200
        assert reply.headers["cache-control"] == "no-store"
        secret = secret_in(reply.text)
        assert "set-cookie" not in reply.headers
        again = await client.post(KEYS, data={**fields, "product": ["parse", "extract"]})
        assert again.status_code == 303
        listed = (await client.get(KEYS)).text
        assert "a secret is shown once" in listed
        assert "cgw_live_" not in listed
        assert "CI &amp; tests" in listed
        assert "Extract, Parse" in text(listed)
        assert "Team &lt;b&gt;" in listed
        assert "cgw_live_" not in (await client.get(KEYS)).text + (await client.get(NEW)).text
    _, made = await running.desk.keys.of_account(one.id)
    assert (made.project_id, made.products) == (other.id, frozenset({"parse", "extract"}))
    assert made.expires_ms == epoch_ms(running.clock()) + 30 * DAY_MS
    async with running.books.read() as conn:
        created = [each for each in await audit.of_account(conn, one.id) if each.action == "key.create"]
    assert f"dashboard:{one.key_id}" in {each.actor for each in created}
    assert secret not in repr(created)
    assert await running.parts.sign_ins.with_key(secret) is not None


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"name": "x" * 201}, "A name has at most 200 characters"),
        ({"name": "a\x07b"}, "can be printed"),
        ({"good_for": "some"}, "Tick what the key is for"),
        ({"good_for": "some", "product": "gold"}, "not there any more"),
        ({"expiry": "soon"}, "Choose when the key ends."),
        ({"project": "prj_none"}, "There is no project"),
    ],
)
async def test_what_is_wrong_is_said_at_its_field_and_what_was_typed_stays(
    running: Running, wrong: dict[str, str], says: str
) -> None:
    one = await running.someone("free")
    async with running.signed_in(one) as client:
        reply = await client.post(KEYS, data=await typed(client, **{"name": "My key", **wrong}))
    assert reply.status_code == 422
    assert says in text(reply.text)
    assert ('value="My key"' in reply.text) == ("name" not in wrong)
    assert len(await running.desk.keys.of_account(one.id)) == 1


async def test_the_old_key_goes_on_for_the_overlap_and_is_replaced_once(running: Running) -> None:
    one = await running.someone("free")
    rotate = f"{KEYS}/{one.key_id}/rotate"
    async with running.signed_in(one) as client:
        asked = (await client.get(rotate)).text
        assert "You are signed in with this key." in text(asked)
        fields = form(asked, rotate)
        assert "Choose how long" in (await client.post(rotate, data={**fields, "overlap": "99d"})).text
        fields = form((await client.get(rotate)).text, rotate)
        reply = await client.post(rotate, data={**fields, "overlap": "1h"})
        assert "The old key goes on for 1 hour." in reply.text
        secret = secret_in(reply.text)
        assert (await client.post(rotate, data={**fields, "overlap": "0"})).status_code == 303
        assert (await client.get(rotate)).headers["location"] == KEYS
        assert "Being replaced" in (await client.get(KEYS)).text
        old, new = await running.desk.keys.of_account(one.id)
        assert (old.replaced_by, old.expires_ms) == (new.id, epoch_ms(running.clock()) + HOUR_MS)
        running.clock.forward(hours=2)
        assert "/sign-in" in (await client.get(KEYS)).headers["location"]
    assert await running.parts.sign_ins.with_key(secret) is not None


async def test_revoking_asks_first_says_what_stops_and_signs_out_who_used_it(running: Running) -> None:
    one = await running.someone("free")
    spare = await running.desk.keys.create(one.id, name="Spare", products=frozenset({"parse"}))
    await running.used(one, 5, days_ago=0.1)
    async with running.signed_in(one) as client:
        revoke = f"{KEYS}/{spare.id}/revoke"
        asked = (await client.get(revoke)).text
        assert "Calls with it to Parse are refused at once." in asked
        assert "charged for nothing so far" in asked
        for _ in range(2):
            await client.post(revoke, data=form(asked, revoke))
        listed = text((await client.get(KEYS)).text)
        assert "Spare is revoked" in listed
        assert "1 key that ended" in listed
        assert (await client.get(revoke)).status_code == 400
        own = f"{KEYS}/{one.key_id}/revoke"
        asked = (await client.get(own)).text
        assert "Revoking it signs you out" in asked
        assert "It was last used 2 hours ago." in asked
        gone = await client.post(own, data=form(asked, own))
        way_in = (await client.get(gone.headers["location"])).headers["location"]
        assert "is revoked" in (await client.get(way_in)).text
    assert not any(each.usable(epoch_ms(running.clock())) for each in await running.desk.keys.of_account(one.id))


async def test_projects_are_made_once_by_name(running: Running) -> None:
    one = await running.someone("free")
    async with running.signed_in(one) as client:
        token = form((await client.get(KEYS)).text, PROJECTS)
        made = await client.post(PROJECTS, data={**token, "project_name": "Claims"})
        assert made.headers["location"] == KEYS
        again = await client.post(PROJECTS, data={**token, "project_name": "Claims"})
        assert again.status_code == 422
        assert "There is a project of this name." in again.text
        assert 'value="Claims"' in again.text
        assert (await client.post(PROJECTS, data={**token, "project_name": ""})).status_code == 422
        assert "Claims" in (await client.get(NEW)).text
    assert [each.name for each in await running.desk.accounts.projects(one.id)] == ["default", "Claims"]


async def test_the_keys_of_others_are_not_there_and_members_only_look(running: Running) -> None:
    theirs, mine = await running.someone("free"), await running.someone("free")
    async with running.signed_in(mine) as client:
        fields = {**form((await client.get(NEW)).text, KEYS), "overlap": "0"}
        for change in ("rotate", "revoke"):
            for key_id in (theirs.key_id, "key_none"):
                assert (await client.get(f"{KEYS}/{key_id}/{change}")).status_code == 404
                assert (await client.post(f"{KEYS}/{key_id}/{change}", data=fields)).status_code == 404
        elsewhere = await typed(client, project=theirs.account.project_id)
        assert (await client.post(KEYS, data=elsewhere)).status_code == 422
    (key,) = await running.desk.keys.of_account(theirs.id)
    assert key.revoked_ms is None
    assert key.replaced_by is None
    member = await running.someone("free", products=frozenset({"parse"}))
    async with running.signed_in(member) as client:
        page = (await client.get(KEYS)).text
        assert "<form" not in page.partition("<main")[2]
        assert "/rotate" not in page
        token = {"form_token": form(page, "/settings/sign-out")["form_token"]}
        for path in (KEYS, PROJECTS, f"{KEYS}/{member.key_id}/rotate", f"{KEYS}/{member.key_id}/revoke"):
            assert (await client.post(path, data=token)).status_code == 403
        for path in (NEW, f"{KEYS}/{member.key_id}/rotate"):
            assert (await client.get(path)).status_code == 403


async def test_keys_of_a_sandbox_end_by_the_worlds_clock_that_callers_are_let_in_by(running: Running) -> None:
    one = await running.someone("free")
    now_ms = epoch_ms(running.clock())
    made = await running.desk.keys.create(one.id, name="For a day", expires_ms=now_ms + DAY_MS)
    async with running.books.begin() as conn:
        await set_clock(conn, one.id, 40 * DAY_MS)
    async with running.signed_in(one) as client:
        page = (await client.get(f"{BILLING}/keys")).text
    assert ago(now_ms + DAY_MS, now_ms) in page
    assert ago(now_ms + DAY_MS, now_ms + 40 * DAY_MS) not in page
    assert made.id in page
