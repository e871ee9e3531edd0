"""Payment methods: what is shown, who may change it, and that a card is added once."""

import pytest

from gateway.flows.payments import Payments
from gateway.payments.fake import Fake
from gateway.payments.provider import Adding, AddingKind
from tests.edges.dashboard.conftest import BILLING, Running
from tests.edges.dashboard.forms import form, text

METHODS = f"{BILLING}/payment-methods"
ADD = f"{METHODS}/add"


async def test_a_card_is_added_once_made_the_default_and_removed(with_cards: Running) -> None:
    one = await with_cards.someone("free")
    methods = with_cards.desk.payment_methods
    async with with_cards.signed_in(one) as client:
        assert "No payment method yet" in (await client.get(METHODS)).text
        fields = {**form((await client.get(ADD)).text, ADD), "test_card": "fake_ok"}
        for _ in range(2):
            assert (await client.post(ADD, data=fields)).headers["location"] == METHODS
        (first,) = await methods.of_account(one.id)
        await methods.add_fake(one.id, "fake_3ds", actor="test")
        listed = text((await client.get(METHODS)).text)
        assert listed.index("ending in 3155 Default") < listed.index("ending in 4242")
        assert "Expires 12/2034" in listed
        default = f"{METHODS}/{first.id}/default"
        await client.post(default, data=form((await client.get(METHODS)).text, default))
        assert (await methods.of_account(one.id))[0].id == first.id
        remove = f"{METHODS}/{first.id}/remove"
        asked = (await client.get(remove)).text
        assert "Another of yours takes its place" in asked
        await client.post(remove, data=form(asked, remove))
        assert "Visa ending in 4242 was removed." in (await client.get(METHODS)).text
        assert [one.last4 for one in await methods.of_account(one.id)] == ["3155"]
        assert (await client.post(remove, data=form(asked, remove))).status_code == 404


async def test_no_card_or_an_unknown_one_is_asked_for_again_and_the_form_still_counts(with_cards: Running) -> None:
    one = await with_cards.someone("free")
    async with with_cards.signed_in(one) as client:
        fields = form((await client.get(ADD)).text, ADD)
        for card, says in (("", "Choose a card."), ("gold", "There is no test card")):
            reply = await client.post(ADD, data={**fields, "test_card": card})
            assert reply.status_code == 422
            assert says in text(reply.text)
        await client.post(ADD, data={**fields, "test_card": "fake_ok"})
    assert len(await with_cards.desk.payment_methods.of_account(one.id)) == 1


async def test_the_last_method_of_a_paid_plan_stays(with_cards: Running) -> None:
    one = await with_cards.someone("starter")
    method = await with_cards.desk.payment_methods.add_fake(one.id, "fake_ok", actor="test")
    remove = f"{METHODS}/{method.id}/remove"
    async with with_cards.signed_in(one) as client:
        await client.post(remove, data=form((await client.get(remove)).text, remove))
        assert "Nothing was removed: plan Starter is paid by this" in (await client.get(METHODS)).text
    assert len(await with_cards.desk.payment_methods.of_account(one.id)) == 1


async def test_the_methods_of_others_are_not_there_and_members_only_look(with_cards: Running) -> None:
    theirs = await with_cards.desk.payment_methods.add_fake(
        (await with_cards.someone("free")).id, "fake_ok", actor="test"
    )
    mine = await with_cards.someone("free")
    async with with_cards.signed_in(mine) as client:
        fields = form((await client.get(ADD)).text, ADD)
        for path in (f"{METHODS}/{theirs.id}/default", f"{METHODS}/{theirs.id}/remove"):
            assert (await client.post(path, data=fields)).status_code == 404
        assert (await client.get(f"{METHODS}/{theirs.id}/remove")).status_code == 404
    member = await with_cards.someone("free", products=frozenset({"parse"}))
    own = await with_cards.desk.payment_methods.add_fake(member.id, "fake_ok", actor="test")
    async with with_cards.signed_in(member) as client:
        page = (await client.get(METHODS)).text
        assert "4242" in page
        assert "<form" not in page.partition("<main")[2]
        assert "/add" not in page
        token = {"form_token": form(page, "/settings/sign-out")["form_token"]}
        for path in (ADD, f"{METHODS}/{own.id}/default", f"{METHODS}/{own.id}/remove"):
            assert (await client.post(path, data=token)).status_code == 403
        assert (await client.get(ADD)).status_code == 403


async def test_a_provider_with_a_page_of_its_own_is_linked_to(
    with_cards: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = await with_cards.someone("free")
    asked: list[str] = []

    async def elsewhere(_: Fake, __: object, *, return_url: str) -> Adding:
        asked.append(return_url)
        return Adding(AddingKind.REDIRECT, url="https://pay.example/session?a=1")

    async with with_cards.signed_in(one) as client:
        monkeypatch.setattr(Fake, "begin_adding", elsewhere)
        page = (await client.get(ADD)).text
    assert 'href="https://pay.example/session?a=1"' in page
    assert asked == [f"http://gateway{METHODS}"]


async def test_where_nothing_is_charged_it_says_how_to_pay(running: Running) -> None:
    one = await running.someone("starter")
    assert isinstance(running.desk.payments, Payments)
    async with running.signed_in(one) as client:
        for path in (METHODS, ADD):
            page = text((await client.get(path)).text)
            assert "with the invoice's number as the reference" in page.replace("&#39;", "'")
        assert (await client.get(f"{METHODS}/bank_transfer/remove")).status_code == 404
