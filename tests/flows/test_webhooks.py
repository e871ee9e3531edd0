"""Webhook endpoints: who may have which, what is kept of their secrets, and what the audit log says."""

import pytest
from sqlalchemy import select

from gateway.books import audit
from gateway.books.books import Books
from gateway.books.tables import webhook_deliveries, webhook_endpoints, webhook_messages
from gateway.domain.instant import epoch_ms
from gateway.domain.webhook import EventType
from gateway.flows.accounts import Accounts
from gateway.flows.change_plan import ChangeAt
from gateway.flows.faults import CallerFault, NoSuchThing, WrongParameter
from gateway.flows.invoices import Invoices
from gateway.flows.tell_account import emit
from gateway.flows.webhooks import MOST_ENDPOINTS, MOST_TESTS_AN_HOUR, Webhooks
from tests.billing import billing_over
from tests.made_up import Clock

PEPPER = b"a pepper for tests"
URL = "https://hooks.example.com/gateway"


@pytest.fixture
def hooks(books: Books, clock: Clock) -> Webhooks:
    return Webhooks(books=books, pepper=PEPPER, clock=clock)


@pytest.fixture
async def acme(accounts: Accounts) -> str:
    return (await accounts.create("Acme", "starter")).id


async def told(books: Books, account_id: str) -> list[str]:
    """The types of what was written down for the account, in the order in which it happened."""
    query = select(webhook_messages.c.type).where(webhook_messages.c.account_id == account_id)
    async with books.read() as conn:
        return list((await conn.execute(query.order_by(webhook_messages.c.id))).scalars())


async def test_the_secret_is_shown_once_and_is_not_in_the_books(books: Books, hooks: Webhooks, acme: str) -> None:
    made = await hooks.create(acme, URL)
    assert made.secret.startswith("whsec_")
    assert made.secret not in repr(made)
    async with books.read() as conn:
        (row,) = (await conn.execute(select(webhook_endpoints))).all()
    assert made.secret.removeprefix("whsec_") not in str(row)
    (listed,) = await hooks.of_account(acme)
    assert listed == made.endpoint
    assert listed.seed not in repr(listed)


async def test_tests_are_sent_so_often_an_hour_and_not_more(hooks: Webhooks, acme: str, clock: Clock) -> None:
    made = (await hooks.create(acme, URL)).endpoint
    for _ in range(MOST_TESTS_AN_HOUR):
        await hooks.send_test(made.id)
    with pytest.raises(CallerFault, match="60 tests an hour"):
        await hooks.send_test(made.id)
    clock.forward(minutes=61)
    await hooks.send_test(made.id)


async def test_an_endpoint_hears_of_what_it_subscribed_to_and_of_nothing_else(
    books: Books, hooks: Webhooks, acme: str, clock: Clock
) -> None:
    await hooks.create(acme, URL, event_types=["invoice.paid"])
    everything = await hooks.create(acme, URL)
    async with books.begin() as conn:
        await emit(conn, acme, EventType.INVOICE_PAID, {}, epoch_ms(clock()))
        await emit(conn, acme, EventType.PLAN_CHANGED, {}, epoch_ms(clock()))
    async with books.read() as conn:
        sent = list((await conn.execute(select(webhook_deliveries.c.endpoint_id))).scalars())
    assert len(sent) == 3
    assert sent.count(everything.endpoint.id) == 2


async def test_what_nobody_wants_to_hear_of_is_not_written_down(
    books: Books, hooks: Webhooks, acme: str, clock: Clock
) -> None:
    await hooks.disable((await hooks.create(acme, URL)).endpoint.id)
    async with books.begin() as conn:
        assert await emit(conn, acme, EventType.INVOICE_PAID, {}, epoch_ms(clock())) is None
    assert await told(books, acme) == []


async def test_an_undone_change_tells_nobody(books: Books, hooks: Webhooks, acme: str, clock: Clock) -> None:
    await hooks.create(acme, URL)

    async def change_and_fail() -> None:
        async with books.begin() as conn:
            assert await emit(conn, acme, EventType.PLAN_CHANGED, {}, epoch_ms(clock()))
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await change_and_fail()
    assert await told(books, acme) == []


async def test_an_upgrade_tells_of_the_invoice_and_of_the_plan_and_a_payment_of_itself(
    books: Books, hooks: Webhooks, acme: str, accounts: Accounts, clock: Clock
) -> None:
    endpoint = (await hooks.create(acme, URL)).endpoint
    clock.forward(days=1)
    change = await accounts.change_plan(acme, "pro", when=ChangeAt.NOW)
    assert change.invoice is not None
    await Invoices(billing_over(books, clock)).pay(change.invoice.number)
    assert await told(books, acme) == ["invoice.issued", "plan.changed", "invoice.paid"]
    body = (await hooks.delivery((await hooks.deliveries(endpoint.id))[0].id)).body
    assert f'"number":"{change.invoice.number}","status":"paid"' in body


async def test_an_account_has_at_most_ten_endpoints(hooks: Webhooks, acme: str) -> None:
    last, *_ = [await hooks.create(acme, URL) for _ in range(MOST_ENDPOINTS)]
    with pytest.raises(CallerFault, match="at most 10"):
        await hooks.create(acme, URL)
    await hooks.remove(last.endpoint.id)
    await hooks.create(acme, URL)


@pytest.mark.parametrize(
    ("url", "event_types", "description", "parameter"),
    [
        ("http://example.com/", None, "", "url"),
        ("https://10.0.0.1/", None, "", "url"),
        (URL, ["invoice.lost"], "", "event_types"),
        (URL, [], "", "event_types"),
        (URL, None, "x" * 201, "description"),
        (URL, None, "two\nlines", "description"),
    ],
)
async def test_a_wrong_endpoint_is_refused_by_the_name_of_what_is_wrong(
    hooks: Webhooks, acme: str, url: str, event_types: list[str] | None, description: str, parameter: str
) -> None:
    with pytest.raises(WrongParameter) as wrong:
        await hooks.create(acme, url, event_types=event_types, description=description)
    assert wrong.value.name == parameter


async def test_a_change_leaves_what_it_does_not_name(hooks: Webhooks, acme: str) -> None:
    made = (await hooks.create(acme, URL, event_types=["invoice.paid"], description="books")).endpoint
    changed = await hooks.update(made.id, url=URL + "/2")
    assert (changed.url, changed.event_types, changed.description) == (URL + "/2", frozenset({"invoice.paid"}), "books")
    assert (await hooks.update(made.id, all_events=True)).event_types is None
    assert (await hooks.update(made.id, event_types=["alert.raised"])).event_types == frozenset({"alert.raised"})


async def test_every_change_is_in_the_audit_log_without_any_secret(books: Books, hooks: Webhooks, acme: str) -> None:
    made = await hooks.create(acme, URL, actor="Ada")
    endpoint_id = made.endpoint.id
    await hooks.update(endpoint_id, description="new", actor="Ada")
    rotated = await hooks.rotate(endpoint_id, actor="Ada")
    test = await hooks.send_test(endpoint_id, actor="Ada")
    await hooks.replay(test.id, actor="Ada")
    await hooks.disable(endpoint_id, reason="moved", actor="Ada")
    await hooks.enable(endpoint_id, actor="Ada")
    await hooks.remove(endpoint_id, actor="Ada")
    async with books.read() as conn:
        entries = [one for one in await audit.of_account(conn, acme) if one.subject_id == endpoint_id]
    assert sorted(one.action.removeprefix("webhook.") for one in entries) == sorted(
        ["create", "update", "rotate", "test", "replay", "disable", "enable", "remove"]
    )
    assert {one.actor for one in entries} == {"Ada"}
    for secret in (made.secret, rotated.secret, made.endpoint.seed, rotated.endpoint.seed):
        assert secret not in str(entries)


async def test_another_accounts_endpoints_and_deliveries_are_not_there(
    hooks: Webhooks, acme: str, accounts: Accounts
) -> None:
    other = (await accounts.create("Other", "free")).id
    made = (await hooks.create(acme, URL)).endpoint
    delivery = await hooks.send_test(made.id)
    attempts = [
        hooks.show(made.id, account_id=other),
        hooks.update(made.id, url=URL, account_id=other),
        hooks.rotate(made.id, account_id=other),
        hooks.enable(made.id, account_id=other),
        hooks.disable(made.id, account_id=other),
        hooks.remove(made.id, account_id=other),
        hooks.deliveries(made.id, account_id=other),
        hooks.delivery(delivery.id, account_id=other),
        hooks.replay(delivery.id, account_id=other),
        hooks.replay_failed(made.id, since_ms=0, account_id=other),
        hooks.send_test(made.id, account_id=other),
    ]
    for attempt in attempts:
        with pytest.raises(NoSuchThing):
            await attempt
    assert (await hooks.show(made.id, account_id=acme)).disabled_ms is None


async def test_nothing_is_sent_to_a_disabled_endpoint_by_hand_either(hooks: Webhooks, acme: str) -> None:
    made = (await hooks.create(acme, URL)).endpoint
    delivery = await hooks.send_test(made.id)
    await hooks.disable(made.id)
    for attempt in (hooks.send_test(made.id), hooks.replay(delivery.id), hooks.replay_failed(made.id, since_ms=0)):
        with pytest.raises(CallerFault, match="enable it first"):
            await attempt


async def test_a_removed_endpoint_takes_its_log_with_it(books: Books, hooks: Webhooks, acme: str) -> None:
    made = (await hooks.create(acme, URL)).endpoint
    await hooks.send_test(made.id)
    await hooks.remove(made.id)
    async with books.read() as conn:
        assert (await conn.execute(select(webhook_deliveries))).all() == []
    with pytest.raises(NoSuchThing):
        await hooks.show(made.id)


async def test_the_log_is_read_page_by_page(hooks: Webhooks, acme: str) -> None:
    made = (await hooks.create(acme, URL)).endpoint
    sent = [(await hooks.send_test(made.id)).id for _ in range(5)]
    first = await hooks.deliveries(made.id, limit=3)
    second = await hooks.deliveries(made.id, limit=3, before=first[-1].id)
    assert [one.id for one in [*first, *second]] == sent[::-1]
    with pytest.raises(WrongParameter):
        await hooks.deliveries(made.id, status="lost")


@pytest.mark.parametrize("overlap_ms", [-1, 7 * 86_400_000 + 1])
async def test_an_overlap_has_bounds(hooks: Webhooks, acme: str, overlap_ms: int) -> None:
    made = (await hooks.create(acme, URL)).endpoint
    with pytest.raises(WrongParameter):
        await hooks.rotate(made.id, overlap_ms=overlap_ms)


async def test_a_closed_account_gets_no_endpoint(hooks: Webhooks, acme: str, accounts: Accounts) -> None:
    await accounts.close(acme)
    with pytest.raises(CallerFault, match="closed"):
        await hooks.create(acme, URL)
    with pytest.raises(NoSuchThing):
        await hooks.create("acc_nobody", URL)
